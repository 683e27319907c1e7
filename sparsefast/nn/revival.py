"""Where codes and atoms that nothing uses begin anew: at the signals of the global batch that are coded worst."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sparsefast.nn.processes import gathered


def worst_signals(signals: Tensor, errors: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """The n signals (n, F) of the global batch with the largest errors, and these (n,), by decreasing error and then in
    the order of the batch; filled up with zeros, of error zero. The same in every process.

    Signals are (N, F) and errors (N,), of this process; an error that is not finite counts as zero.
    """
    errors = errors.nan_to_num(nan=0.0, posinf=0.0)
    errors, order = errors.sort(descending=True, stable=True)
    rows, errors = signals[order[:n]], errors[:n]
    missing = n - len(rows)
    if missing > 0:
        rows = torch.cat([rows, rows.new_zeros(missing, rows.shape[1])])
        errors = torch.cat([errors, errors.new_zeros(missing)])
    rows, errors = gathered(rows), gathered(errors)
    errors, order = errors.sort(descending=True, stable=True)
    return rows[order[:n]], errors[:n]


def farthest_first(signals: Tensor, distances: Tensor, n: int) -> Tensor:
    """Up to n of the signals (m, F), each the farthest from its code and from those chosen before it: int64, as many as
    there are at a distance above zero.

    `distances` (m,) are those from the nearest code. So that not all of them are one region of one image. T. F.
    Gonzalez, "Clustering to minimize the maximum intercluster distance", Theoretical Computer Science 38, 1985.
    """
    # NumPy's argmax takes the first of equals, which PyTorch's does not promise.
    rows = signals.detach().cpu().to(torch.float64).numpy()
    squared = np.square(distances.detach().cpu().to(torch.float64).numpy())
    chosen: list[int] = []
    while len(chosen) < n:
        at = int(squared.argmax()) if len(squared) else 0
        if not len(squared) or squared[at] <= 0:
            break
        chosen.append(at)
        squared = np.minimum(squared, np.square(rows - rows[at]).sum(axis=1))
    return torch.tensor(chosen, dtype=torch.int64)
