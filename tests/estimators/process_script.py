"""What a process of several does, for test_learners_processes: `process_script.py task folder`, under the variables
that torchrun sets."""

import os
import sys
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch

from sparsefast import KSVD, OnlineDictionaryLearning

LEARNERS = {"ksvd": KSVD, "online": OnlineDictionaryLearning}
PARAMETERS = dict(n_components=24, n_nonzero=3, max_iter=2, batch_size=64, random_state=0)
SPLIT = 170  # of 400 signals: the parts are not alike


def parts(signals, rank):
    return signals[:SPLIT] if rank == 0 else signals[SPLIT:]


def same(folder: Path, rank: int) -> None:
    """Every learner, dtype and source of signals; each process writes what it learned."""
    signals = np.load(folder / "signals.npy")
    found = {}
    for name, learner in LEARNERS.items():
        for dtype in ("float32", "float64"):
            mine = parts(signals, rank).astype(dtype)
            found[f"{name} {dtype}"] = learner(process_group="world", **PARAMETERS).fit(mine).components_
    tensors = OnlineDictionaryLearning(process_group="world", **PARAMETERS)
    found["tensors"] = tensors.fit(torch.from_numpy(parts(signals, rank))).components_.numpy()
    none = signals[: 400 * (rank == 0)]  # all of them are the first one's
    found["none"] = OnlineDictionaryLearning(process_group="world", **PARAMETERS).fit(none).components_
    # Batches of a generator: one process has two more than the other.
    batches = np.array_split(parts(signals, rank), 3 if rank == 0 else 5)
    learner = OnlineDictionaryLearning(process_group="world", **PARAMETERS)
    found["batches"] = learner.fit(batches).components_
    assert learner.n_steps_ == 10
    np.savez(folder / f"found-{rank}.npz", **found)


def killed(folder: Path, rank: int) -> None:
    """Process 1 dies after step 7, without a word."""

    def callback(_, told):
        if rank == 1 and told.step == 7:
            os._exit(9)

    learner = OnlineDictionaryLearning(
        process_group="world",
        checkpoint=folder / "checkpoint",
        checkpoint_every=3,
        callback=callback,
        **PARAMETERS,
    )
    learner.fit(parts(np.load(folder / "signals.npy"), rank))


def resumed(folder: Path, rank: int) -> None:
    learner = OnlineDictionaryLearning.load(folder / "checkpoint").set_params(process_group="world")
    assert learner.n_steps_ == 6
    learner.fit(parts(np.load(folder / "signals.npy"), rank), resume=True)
    np.save(folder / f"resumed-{rank}.npy", learner.components_)


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", timeout=timedelta(seconds=60))
    {"same": same, "killed": killed, "resumed": resumed}[sys.argv[1]](Path(sys.argv[2]), torch.distributed.get_rank())
    torch.distributed.destroy_process_group()
