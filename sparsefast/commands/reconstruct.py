"""`sparsefast reconstruct`: photographs through a trained model, and how much that changes them."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from sparsefast.commands.common import add_overrides, add_run, require_packages
from sparsefast.images.commands import common
from sparsefast.images.commands.common import say

# Of a photograph that is put through at once, in pixels, and what is seen around it: more than the networks' receptive
# fields, and a multiple of what their strides and patches divide a picture into.
TILE, HALO = 1024, 64


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `sparsefast reconstruct`."""
    add_overrides(parser, "photographs, of any size; and model= and data=, which choose a run")
    add_run(parser)
    parser.add_argument(
        "--out",
        metavar="FILE",
        help="of one photograph its reconstruction (default: FILE-reconstructed.png); without photographs a grid of "
        "held-out ones (default: reconstructions.png)",
    )
    parser.add_argument("--n", type=int, default=8, metavar="N", help="held-out pictures in the grid (default: 8)")
    common.add_force(parser)


def run(args: argparse.Namespace) -> int:
    """`sparsefast reconstruct`."""
    files = [word for word in args.overrides if "=" not in word]
    args.overrides = [word for word in args.overrides if "=" in word]
    if len(files) > 1 and args.out is not None:
        raise ValueError(f"--out {args.out} names one file, and there are {len(files)} photographs")
    if not 1 <= args.n <= 256:
        raise ValueError(f"--n {args.n} must be 1 to 256")
    require_packages()
    if not files:
        return _held_out(args)
    outs = [args.out or str(common.beside(file, "reconstructed")) for file in files]
    for file, out in zip(files, outs, strict=True):
        common.check_out(out, file, args.force)
    from sparsefast.commands.trained import load_trained

    trained = load_trained(args)
    say([("model", f"{trained.config.model.name}, step {trained.step} of {trained.path}")])
    for file, out in zip(files, outs, strict=True):
        _photograph(trained, file, out)
    return 0


def _photograph(trained: Any, file: str, out: str) -> None:
    from sparsefast.images import from_float, psnr, ssim, to_float, write

    picture = common.read_quietly(file)
    found, numbers = _in_tiles(trained, to_float(picture.pixels))
    result = picture.with_pixels(from_float(np.clip(found, 0, 1), picture.pixels.dtype))
    scale = picture.full_scale
    lines = common.describe("photo", file, picture)
    lines.append(("PSNR", f"{psnr(picture.pixels, result.pixels, scale):.2f} dB"))
    if min(picture.pixels.shape[:2]) >= 11:
        lines.append(("SSIM", f"{ssim(picture.pixels, result.pixels, scale):.4f}"))
    lines += [(name.replace("_", " "), f"{value:.4g}") for name, value in numbers.items()]
    left_out = write(out, result)
    say([*lines, *(("note", note) for note in left_out), ("written", out)])


def _in_tiles(trained: Any, pixels: np.ndarray) -> tuple[np.ndarray, dict[str, float]]:
    """The same with the memory of a tile."""
    from sparsefast.images import apply_tiled

    numbers: dict[str, float] = {}

    def through(tile: np.ndarray) -> np.ndarray:
        found, said = _reconstructed(trained, tile)
        if not numbers:  # rates, which are those of every tile
            numbers.update(said)
        return found

    return apply_tiled(through, pixels, TILE, HALO), numbers


def _reconstructed(trained: Any, pixels: np.ndarray) -> tuple[np.ndarray, dict[str, float]]:
    """A picture (H, W) or (H, W, 3) in [0, 1] through the model: of the same shape, and the model's numbers."""
    import torch

    from sparsefast.training.evaluation import autocast

    channels = trained.task.image_shape[0]
    planes = np.atleast_3d(pixels).transpose(2, 0, 1).astype(np.float32)
    if len(planes) == channels:
        batch = planes[None]
    elif len(planes) == 1:
        batch = np.repeat(planes, channels, axis=0)[None]  # grey to a model of colours
    else:
        batch = planes[:, None]  # each colour by itself to a model of grey
    x = torch.from_numpy(np.ascontiguousarray(batch)).to(trained.device) * 2 - 1
    with torch.no_grad(), autocast(trained.config.train.precision, trained.device):
        y, numbers = trained.task.reconstruct(x)
    y = ((y.float() + 1) / 2).cpu().numpy()
    if batch.shape[1] != len(planes):
        y = y.mean(axis=1, keepdims=True)  # grey again
    out = y.reshape(-1, *y.shape[2:])[: len(planes)].transpose(1, 2, 0)
    return (out[..., 0] if pixels.ndim == 2 else out), numbers


def _held_out(args: argparse.Namespace) -> int:
    import torch

    from sparsefast.commands.trained import load_trained
    from sparsefast.data.image_set import open_set
    from sparsefast.images import Picture, check_target, write
    from sparsefast.training.evaluation import autocast, some, to_device
    from sparsefast.training.pictures import picture_grid

    out = args.out or "reconstructions.png"
    check_target(out)
    trained = load_trained(args)
    task = trained.task
    held_out = open_set(trained.config.data, "held-out")
    n = min(args.n, len(held_out))
    indices = np.unique(np.linspace(0, len(held_out) - 1, n).astype(np.int64))
    images = task.as_input(to_device(some(held_out, indices, trained.config.seed), trained.device))["image"]
    with torch.no_grad(), autocast(trained.config.train.precision, trained.device):
        found, numbers = task.reconstruct(images)
    error = (2 * (found.float() - images.float()).abs() - 1).clamp(-1, 1)
    grid = picture_grid({"held out": images, "reconstruction": found, "error, twice": error})
    write(out, Picture(grid))
    mse = ((found.float() - images.float()) / 2).square().mean(dim=(1, 2, 3))
    psnr = float((-10 * mse.log10()).mean())
    say(
        [
            ("model", f"{trained.config.model.name}, step {trained.step} of {trained.path}"),
            ("PSNR", f"{psnr:.2f} dB, the mean of these {len(images)}"),
            *((name.replace("_", " "), f"{value:.4g}") for name, value in numbers.items()),
            ("written", out),
        ]
    )
    return 0
