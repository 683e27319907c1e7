"""`sparsefast plot`: figures of what a trained model has learned."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sparsefast.commands.common import add_overrides, add_run, require_packages
from sparsefast.images.commands.common import say

# Those that a run has are drawn, in this order.
_CURVES = (
    "train/loss",
    "train/recon_loss",
    "train/psnr",
    "train/ssim",
    "train/sparsity",
    "val/psnr",
    "val/ssim",
    "val/usage_entropy",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `sparsefast plot`."""
    add_overrides(parser, "model= and data= choose a run; data= and data.* may be others than in training")
    add_run(parser)
    parser.add_argument("--out", metavar="DIR", help="folder of the PNG files (default: plots, in the run's)")
    parser.add_argument("--n", type=int, default=64, metavar="N", help="held-out pictures (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """`sparsefast plot`."""
    if not 1 <= args.n <= 4096:
        raise ValueError(f"--n {args.n} must be 1 to 4096")
    if args.out is not None and Path(args.out).exists() and not Path(args.out).is_dir():
        raise ValueError(f"--out {args.out} is a file; it must be a folder")
    require_packages()
    from sparsefast.commands.trained import load_trained
    from sparsefast.files import replace_file
    from sparsefast.training.curves import plot_curves
    from sparsefast.training.figures import figure_png, new_figure

    new_figure(1, 1)  # what is missing is said before the work
    trained = load_trained(args)
    out = Path(args.out) if args.out is not None else trained.path.parent / "plots"
    drawn = _figures(trained, args.n)
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for name, figure in drawn.items():
        replace_file(out / f"{name}.png", figure_png(figure))
        written.append(out / f"{name}.png")
    metrics = trained.path.parent / "metrics.jsonl"
    if keys := _keys(metrics):
        plot_curves({trained.path.parent.name: metrics}, out / "curves.png", keys)
        written.append(out / "curves.png")
    say(
        [
            ("model", f"{trained.config.model.name}, step {trained.step} of {trained.path}"),
            *(("written", str(path)) for path in written),
        ]
    )
    return 0


def _figures(trained: Any, n: int) -> dict[str, Any]:
    """The figures of the model, of held-out pictures from all over the set."""
    import numpy as np
    import torch

    from sparsefast.data.image_set import open_set
    from sparsefast.training.evaluation import autocast, some, to_device

    task = trained.task
    held_out = open_set(trained.config.data, "held-out")
    if held_out.image_shape[0] != task.image_shape[0]:
        raise ValueError(
            f"data.channels={held_out.image_shape[0]}: {trained.path} was trained on {task.image_shape[0]} channels"
        )
    indices = np.unique(np.linspace(0, len(held_out) - 1, min(n, len(held_out))).astype(np.int64))
    batch = task.as_input(to_device(some(held_out, indices, trained.config.seed), trained.device))
    with torch.no_grad(), autocast(trained.config.train.precision, trained.device):
        return task.figures(batch["image"])


def _keys(metrics: Path) -> list[str]:
    """Those of the curves that a file of metrics has; none without the file."""
    from sparsefast.training.run_folder import read_metrics

    if not metrics.exists():
        return []
    lines = read_metrics(metrics, partial=True)
    return [key for key in _CURVES if any(key in line for line in lines)]
