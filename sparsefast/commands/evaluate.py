"""`sparsefast eval`: a trained model on the held-out set."""

from __future__ import annotations

import argparse
import json
import time

from sparsefast.commands.common import add_overrides, add_run, require_packages, table
from sparsefast.images.commands.common import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `sparsefast eval`."""
    add_overrides(parser, "model= and data= choose a run; data=, data.* and train.* may be others than in training")
    add_run(parser)
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")


def run(args: argparse.Namespace) -> int:
    """`sparsefast eval`."""
    require_packages()
    from sparsefast.commands.trained import load_trained
    from sparsefast.data.image_set import open_set
    from sparsefast.metrics.image_metrics import ImageMetrics
    from sparsefast.metrics.weights import find_weights
    from sparsefast.training.evaluation import evaluate
    from sparsefast.training.fit import Data
    from sparsefast.training.run_folder import append_summary

    trained = load_trained(args)
    config, task, device = trained.config, trained.task, trained.device
    task.prepare(config.train, max(1, trained.step))
    held_out = open_set(config.data, "held-out")
    if held_out.image_shape[0] != task.image_shape[0]:
        raise ValueError(
            f"data.channels={held_out.image_shape[0]}: {trained.path} was trained on {task.image_shape[0]} channels"
        )
    data = Data(config.data, held_out, held_out)
    metrics = ImageMetrics(config.train.metrics, find_weights(config.train.weights))
    start = time.perf_counter()
    found = evaluate(task, data.held_out_loader(config.seed, device), metrics, device, config.train.precision)
    seconds = time.perf_counter() - start
    if args.json:
        print(json.dumps(found))
    else:
        lines = [("model", f"{config.model.name}, step {trained.step} of {trained.path}")]
        lines.append(("data", f"{config.data.name}, {len(held_out)} held-out images in {seconds:.1f} s"))
        say([*lines, *table({name.removeprefix("val/"): value for name, value in found.items()})])
    row = {
        "run": trained.folder.name,
        "model": config.model.name,
        "data": config.data.name,
        "seed": config.seed,
        "step": trained.step,
        "finished": time.strftime("%Y-%m-%d %H:%M:%S"),
        **found,
    }
    append_summary(trained.folder.parent, row)
    return 0
