"""What is on the report, and the work that it shows: denoising, inpainting, a small LASER trained on photographs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from sparsefast.demo_report.page import Page
from sparsefast.environment import info
from sparsefast.files import replace_file
from sparsefast.images import add_noise, contact_sheet, from_float, psnr, random_mask
from sparsefast.restore import denoise, inpaint

SIGMA, KEEP = 25.0, 0.2
# Of a photograph, from its middle: seconds of work on two cores.
DENOISED, INPAINTED = 384, 192
# About two minutes on two cores, at the end of which pictures can be told.
STEPS = 1000
REPORT = "report.html"


def build(folder: Path, name: str, truth: np.ndarray, steps: int = STEPS) -> Path:
    """Do the work on a photograph (H, W, 3) in [0, 1], and write folder/report.html.

    The run of the training is folder/laser, or laser-2 and so on where that is there already.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    page = Page("sparsefast on this machine")
    page.listing(str(info()))
    _denoising(page, name, truth)
    _inpainting(page, name, truth)
    _training(page, folder, steps)
    path = folder / REPORT
    replace_file(path, page.html().encode())
    return path


def _middle(truth: np.ndarray, size: int) -> np.ndarray:
    top, left = (max(0, (n - size) // 2) for n in truth.shape[:2])
    return truth[top : top + size, left : left + size]


def _sheet(*pictures: np.ndarray, labels: list[str]) -> np.ndarray:
    return contact_sheet([from_float(np.clip(x, 0, 1), np.uint8) for x in pictures], labels)


def _denoising(page: Page, name: str, truth: np.ndarray) -> None:
    crop = _middle(truth, DENOISED)
    noisy = add_noise(crop, SIGMA / 255, 0)
    start = time.perf_counter()
    found = denoise(noisy, SIGMA / 255)
    seconds = time.perf_counter() - start
    before, after = psnr(crop, noisy, 1.0), psnr(crop, found, 1.0)
    page.heading("Denoising")
    page.words(f"K-SVD on the middle of {name}, noise of sigma {SIGMA:g} of 255: sparsefast.restore.denoise.")
    labels = ["original", f"noisy: {before:.1f} dB", f"denoised: {after:.1f} dB"]
    page.picture(_sheet(crop, noisy, found, labels=labels), f"{seconds:.1f} s")
    print(f"denoised         {before:.2f} dB to {after:.2f} dB in {seconds:.1f} s", flush=True)


def _inpainting(page: Page, name: str, truth: np.ndarray) -> None:
    crop = _middle(truth, INPAINTED)
    known = random_mask(crop.shape[:2], KEEP, 0)
    start = time.perf_counter()
    found = inpaint(np.where(known[..., None], crop, 0), known)
    seconds = time.perf_counter() - start
    after = psnr(crop, found, 1.0)
    page.heading("Inpainting")
    page.words(f"The middle of {name} from {KEEP:.0%} of its pixels: sparsefast.restore.inpaint.")
    labels = ["original", f"{KEEP:.0%} known", f"filled in: {after:.1f} dB"]
    page.picture(_sheet(crop, crop * known[..., None], found, labels=labels), f"{seconds:.1f} s")
    print(f"inpainted        {KEEP:.0%} of the pixels to {after:.2f} dB in {seconds:.1f} s", flush=True)


def _training(page: Page, folder: Path, steps: int) -> None:
    from sparsefast.cli import main
    from sparsefast.training.curves import plot_curves
    from sparsefast.training.run_folder import read_metrics

    page.heading("A small LASER, trained on photographs")
    run = next(path for i in range(1, 1000) if not (path := folder / ("laser" if i == 1 else f"laser-{i}")).exists())
    every = max(1, steps // 4)
    words = ["model=dlvae", "data=photos", "train.max_epochs=0", f"train.max_steps={steps}", f"out={folder}"]
    words += [f"train.checkpoint_every={every}", "train.metrics=[psnr,ssim]", f"name={run.name}", "logger=none"]
    page.listing("sparsefast train " + " ".join(words))
    start = time.perf_counter()
    if main(["train", *words]) != 0:
        raise RuntimeError(f"the training of the demonstration failed, see {run / 'log.txt'}")
    seconds = time.perf_counter() - start
    last: dict[str, Any] = [line for line in read_metrics(run / "metrics.jsonl") if "val/psnr" in line][-1]
    page.figures(
        [
            ("held-out PSNR", f"{last['val/psnr']:.2f} dB"),
            ("held-out SSIM", f"{last['val/ssim']:.3f}"),
            ("bits per pixel, codes of fixed length", f"{last['val/bits_per_pixel']:.3f}"),
            ("steps, seconds", f"{steps}, {seconds:.0f}"),
        ]
    )
    sample = sorted((run / "samples").glob("*.png"))[-1]
    page.png(sample.read_bytes(), "held-out crops, their reconstructions, and twice the error")
    curves = run / "curves.png"
    plot_curves({"dlvae": run / "metrics.jsonl"}, curves, keys=("train/loss", "val/psnr"))
    page.png(curves.read_bytes(), "training loss and held-out PSNR")
