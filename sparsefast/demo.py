"""`sparsefast demo`: a photograph from the sparse codes of its overlapping patches, and freed of noise by them."""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sparsefast.dictionaries import overcomplete_dct
from sparsefast.dispatch import resolve
from sparsefast.images.commands.common import read_quietly
from sparsefast.images.metrics import psnr
from sparsefast.images.picture import Picture
from sparsefast.images.sheets import contact_sheet
from sparsefast.images.values import to_float
from sparsefast.images.writing import check_not_input, check_target, write
from sparsefast.ops.fold import fold
from sparsefast.ops.omp import omp
from sparsefast.ops.patch_places import coverage_map
from sparsefast.ops.unfold import unfold
from sparsefast.prepared import PreparedDictionary, prepare

PATCH = 8
ATOMS_PER_AXIS = 16
# Grey levels of 256 that a pixel may be off, as a root mean square over a patch: about what a JPEG leaves.
DEFAULT_ERROR = 2.0
# Rows of patches coded in one call: bounds the memory for photographs of any size.
BAND = 64
# How much the error is magnified in the picture, to be seen at all.
ERROR_GAIN = 4
# What is denoised of a photograph, from its middle, at most: some seconds of work.
DENOISED = 512


class Coded(NamedTuple):
    """What sparse coding made of a photograph."""

    image: np.ndarray
    n_signals: int
    n_atoms: int
    seconds: float


def code_channel(channel: np.ndarray, dictionary: PreparedDictionary, n_nonzero: int, tol: float) -> Coded:
    """Sparse-code all overlapping patches of one channel and average what they say of each pixel.

    Parameters
    ----------
    channel : array of shape (height, width), float32, 0 to 1
    dictionary : PreparedDictionary of patches of PATCH x PATCH pixels
    n_nonzero : int
        The most atoms for a patch.
    tol : float
        The norm of a patch's residual at which it stops.
    """
    height, width = channel.shape
    total = np.zeros((height, width), np.float32)
    n_signals = n_atoms = 0
    seconds = 0.0
    for top in range(0, height - PATCH + 1, BAND):
        band = channel[top : top + BAND + PATCH - 1]
        signals = unfold(band[None], PATCH, layout="signals")
        mean = signals.mean(axis=1, keepdims=True)
        signals = signals - mean
        start = time.perf_counter()
        code = omp(signals, dictionary, n_nonzero, tol=tol)
        seconds += time.perf_counter() - start
        n_signals += len(code)
        n_atoms += int(code.counts.sum())
        patches = code.decode(dictionary) + mean
        total[top : top + len(band)] += fold(patches, band.shape, PATCH, layout="signals", normalize=False)[0]
    weight = coverage_map(channel.shape, PATCH).astype(np.float32)
    return Coded(np.clip(total / weight, 0, 1), n_signals, n_atoms, seconds)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `sparsefast demo`."""
    parser.add_argument("--photo", metavar="FILE", help="a picture (default: china.jpg, which scikit-learn ships)")
    parser.add_argument(
        "--out", metavar="FILE", default="sparsefast-demo.png", help="the PNG to write (default: %(default)s)"
    )
    parser.add_argument(
        "--n-nonzero", type=int, default=8, metavar="N", help="the most atoms for a patch (default: %(default)s)"
    )
    parser.add_argument(
        "--error",
        type=float,
        default=DEFAULT_ERROR,
        metavar="LEVELS",
        help="stop a patch at this root mean square error, in grey levels of 256 (default: %(default)s)",
    )
    parser.add_argument(
        "--sigma",
        type=float,
        default=25.0,
        metavar="LEVELS",
        help="the noise that is added and taken out, in grey levels of 256; 0: none (default: %(default)s)",
    )

    parser.add_argument(
        "--report",
        metavar="FOLDER",
        help="also inpaint, train a small model on photographs (two minutes), and write FOLDER/report.html",
    )


class Denoised(NamedTuple):
    """What denoising made of a noisy crop of a photograph; all (height, width, n_channels), 0 to 1."""

    truth: np.ndarray
    noisy: np.ndarray
    image: np.ndarray
    seconds: float


def denoise_crop(truth: np.ndarray, sigma: float) -> Denoised:
    """Add noise to the middle of a photograph (height, width, n_channels), 0 to 1, and take it out again."""
    from sparsefast.images.noise import add_noise
    from sparsefast.restore import denoise

    top, left = (max(0, (size - DENOISED) // 2) for size in truth.shape[:2])
    crop = truth[top : top + DENOISED, left : left + DENOISED]
    noisy = add_noise(crop, sigma / 255, 0)
    start = time.perf_counter()
    image = denoise(noisy if truth.shape[2] == 3 else noisy[:, :, 0], sigma / 255)
    return Denoised(crop, noisy, np.atleast_3d(image), time.perf_counter() - start)


def run(args: argparse.Namespace) -> int:
    """`sparsefast demo`."""
    if not math.isfinite(args.error) or args.error < 0:
        raise ValueError(f"--error {args.error} must be at least 0")
    if not 0 <= args.sigma <= 255:
        raise ValueError(f"--sigma {args.sigma} must be 0 to 255")
    out = Path(args.out)
    if out.suffix.lower() != ".png":
        raise ValueError(f"{out} must end in .png")
    check_target(out)
    if args.photo is None:
        from sparsefast.images.photos import photos

        name, picture = "china.jpg of scikit-learn", photos()["china"]
    else:
        check_not_input(out, args.photo)
        name, picture = args.photo, read_quietly(args.photo).pixels
    if min(picture.shape[:2]) < PATCH:
        raise ValueError(f"{name} is {picture.shape[1]} x {picture.shape[0]} pixels; a patch needs {PATCH} x {PATCH}")
    truth = np.atleast_3d(to_float(picture))
    dictionary = prepare(overcomplete_dct(PATCH, ATOMS_PER_AXIS))
    backend = resolve("omp", "cpu", "float32", None).backend
    tol = args.error / 255 * PATCH
    # Packing the dictionary and compiling (Numba) happen once, and are no part of the speed.
    omp(np.ones((1, PATCH * PATCH), np.float32), dictionary, args.n_nonzero, tol=tol)
    channels = [
        code_channel(np.ascontiguousarray(truth[:, :, c]), dictionary, args.n_nonzero, tol)
        for c in range(truth.shape[2])
    ]
    image = np.stack([coded.image for coded in channels], axis=2)
    n_signals, n_atoms = sum(c.n_signals for c in channels), sum(c.n_atoms for c in channels)
    seconds = sum(c.seconds for c in channels)

    shown_error = np.clip(np.abs(image - truth) * ERROR_GAIN, 0, 1)
    panes = [truth, image, shown_error]
    labels = ["original", f"{n_atoms / n_signals:.1f} atoms a patch", f"error x {ERROR_GAIN}"]
    found = denoise_crop(truth, args.sigma) if args.sigma else None
    if found is not None:
        panes += [found.truth, found.noisy, found.image]
        labels += [
            "original",
            f"noise of sigma {args.sigma:g}: {psnr(found.truth, found.noisy, 1.0):.1f} dB",
            f"denoised by K-SVD: {psnr(found.truth, found.image, 1.0):.1f} dB",
        ]
    write(out, Picture(contact_sheet(panes, labels, columns=3)))
    height, width = picture.shape[:2]
    print(f"photo            {name}, {width} x {height}, {truth.shape[2]} channel{'s' if truth.shape[2] > 1 else ''}")
    print(f"patches          {n_signals} of {PATCH} x {PATCH} pixels, mean removed")
    print(f"dictionary       {ATOMS_PER_AXIS**2} atoms, overcomplete DCT")
    print(f"atoms a patch    {n_atoms / n_signals:.2f} on average, at most {args.n_nonzero}")
    print(f"PSNR             {psnr(truth, image, 1.0):.2f} dB (data range 1, all channels)")
    print(f"speed            {n_signals / seconds:,.0f} signals/s in omp, backend {backend}")
    if found is not None:
        before, after = (psnr(found.truth, x, 1.0) for x in (found.noisy, found.image))
        height, width = found.truth.shape[:2]
        print(f"denoised         {width} x {height} of it, K-SVD, sigma {args.sigma:g}, {found.seconds:.1f} s")
        print(f"PSNR             {before:.2f} dB before and {after:.2f} dB after")
    print(f"written          {out}", flush=True)
    if args.report is not None:
        from sparsefast.commands.common import require_packages
        from sparsefast.demo_report.build import build

        require_packages()
        colours = truth if truth.shape[2] == 3 else np.repeat(truth, 3, axis=2)
        print(f"written          {build(Path(args.report), name, colours)}")
    return 0
