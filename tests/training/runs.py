"""Small runs for tests: a fraction of a second each, on photographs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from sparsefast.cli import main
from sparsefast.training.run_folder import read_metrics

ROOT = Path(__file__).parents[2]
DATA = ["data.size=16", "data.epoch_images=64", "data.batch_size=8", "data.eval_images=12"]
TRAIN = [
    "train.max_steps=12", "train.max_epochs=0", "train.checkpoint_every=4", "train.log_every=1", "train.warmup_steps=2",
    "train.samples=2", "train.metrics=[psnr]", "train.progress=false", "logger=none",
]  # fmt: skip
MODELS = {
    "denoiser": ["model=denoiser", "model.width=8", "model.blocks=1", "model.sample_steps=2"],
    "vqvae": ["model=vqvae", "model.num_hiddens=8", "model.num_embeddings=8", "model.revive_every=5"],
    "dlvae": ["model=dlvae", "model.num_hiddens=8", "model.num_embeddings=16", "model.revive_every=5"],
    "laser": ["model=laser", "model.num_hiddens=8", "model.num_embeddings=16", "model.revive_every=5"],
    "hybridvae": ["model=hybridvae", "model.num_hiddens=8", "model.num_embeddings=16", "model.revive_every=5"],
}
# What no two runs share.
TIMES = ("seconds", "images_per_second")


def words(model, out, *more):
    """The command line of a small run."""
    given = {word.split("=")[0] for word in more}
    small = [word for word in (*MODELS[model], *DATA, *TRAIN) if word.split("=")[0] not in given]
    return ["train", *small, f"out={out}", *more]


def trained(model, out, *more):
    """The folder of a run that this process does."""
    before = set(Path(out).glob("*/"))
    assert main(words(model, out, *more)) == 0
    (folder,) = set(Path(out).glob("*/")) - before
    return folder


def command(*arguments, **variables):
    """`sparsefast` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "sparsefast", *map(str, arguments)], env=environment(**variables), text=True,
        capture_output=True, timeout=300, cwd=variables.get("PWD"),
    )  # fmt: skip


def environment(**variables):
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **variables}


def started(*arguments, **variables):
    """The same, which is not waited for."""
    return subprocess.Popen(
        [sys.executable, "-m", "sparsefast", *map(str, arguments)], env=environment(**variables), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def curve(folder):
    """The lines of metrics.jsonl without what the clock says."""
    lines = read_metrics(Path(folder) / "metrics.jsonl")
    return [{key: value for key, value in line.items() if key not in TIMES} for line in lines]


def losses(folder, key="train/loss"):
    return [line[key] for line in curve(folder) if key in line]


def largest_difference(a, b):
    """Of two curves with the same keys: the largest relative difference of any number."""
    assert [list(line) for line in a] == [list(line) for line in b]
    x, y = (np.array([value for line in lines for value in line.values()]) for lines in (a, b))
    return np.max(np.abs(x - y) / np.maximum(np.abs(x), 1e-3))


def one_line(done, *parts):
    """Whether a command ended as it should after an error: code 2, and one line that has these parts."""
    assert done.returncode == 2, done
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("sparsefast: error: ")
    for part in parts:
        assert part in lines[0]
    return lines[0]


def summary(out):
    import csv

    with (Path(out) / "summary.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def dumped(value):
    return json.dumps(value, sort_keys=True)
