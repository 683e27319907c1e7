"""`sparsefast sample`: new pictures of a trained model."""

from __future__ import annotations

import argparse

from sparsefast.commands.common import add_overrides, add_run, require_packages
from sparsefast.images.commands import common
from sparsefast.images.commands.common import say
from sparsefast.images.writing import check_target


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `sparsefast sample`."""
    add_overrides(parser, "model= and data= choose a run")
    add_run(parser)
    parser.add_argument("--n", type=int, default=16, metavar="N", help="pictures (default: %(default)s)")
    parser.add_argument("--out", default="samples.png", metavar="FILE", help="the grid of them (default: %(default)s)")
    common.add_seed(parser)


def run(args: argparse.Namespace) -> int:
    """`sparsefast sample`."""
    if not 1 <= args.n <= 4096:
        raise ValueError(f"--n {args.n} must be 1 to 4096")
    common.check_seed(args.seed)
    check_target(args.out)
    require_packages()
    import math

    import torch

    from sparsefast.commands.trained import load_trained
    from sparsefast.images import Picture, write
    from sparsefast.training.evaluation import autocast
    from sparsefast.training.pictures import picture_grid

    trained = load_trained(args)
    with torch.no_grad(), autocast(trained.config.train.precision, trained.device):
        pictures = trained.task.sample(args.n, args.seed or 0)
    columns = math.ceil(math.sqrt(args.n))
    rows = {" " * i: part for i, part in enumerate(pictures.split(columns))}
    write(args.out, Picture(picture_grid(rows)))
    say(
        [
            ("model", f"{trained.config.model.name}, step {trained.step} of {trained.path}"),
            ("written", f"{args.out}, {args.n} pictures, seed {args.seed or 0}"),
        ]
    )
    return 0
