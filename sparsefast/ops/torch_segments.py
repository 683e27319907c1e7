"""Sums over the entries of sparse codes, atom by atom, in an order that nothing disturbs.

    out_i = sum over the entries (n, j) with indices[n, j] = i of weights[n, j] * rows[n]

The entries are sorted by atom, stably, so that an atom's entries stand in the order of the signals. They are cut into
segments of at most LENGTH entries of one atom, each of which one thread sums in its order, and the sums of an atom's
segments are summed in theirs: the result depends neither on the number of threads nor, as with atomic additions, on
chance, and rounding grows with LENGTH and not with the number of signals. Nothing of size (N, n_atoms) or
(N, S, n_features) is made. On a CPU signals are taken in parts, whose sums are added up: see `parts`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

LENGTH = 1024
# A CPU takes so many signals at a time: what is made of them stays in its cache, where fresh memory for all at once
# costs more than the sums. At least so many entries, below which PyTorch sorts several times as slowly, and enough for
# each atom, for all of which sums are made each time.
_PART, _PART_ENTRIES, _PART_PER_ATOM = 4096, 1 << 15, 4


def parts(indices: Tensor, n_atoms: int) -> Iterator[slice]:
    """The ranges of signals, of codes with indices (N, S), whose sums are made together."""
    n_signals, n_nonzero = indices.shape
    step = max(_PART, -(-_PART_ENTRIES // n_nonzero), _PART_PER_ATOM * n_atoms)
    if indices.device.type != "cpu":
        step = max(1, n_signals)
    return (slice(start, start + step) for start in range(0, n_signals, step))


def unused(indices: Tensor, counts: Tensor) -> Tensor:
    """Where codes are padding, bool (N, S)."""
    return torch.arange(indices.shape[1], device=indices.device) >= counts.unsqueeze(1)


class Segments(NamedTuple):
    """The entries of codes (N, S), sorted by atom and cut into segments; padding is left out."""

    order: Tensor  # (N * S,) int64: where each entry stands in the flattened codes; padding comes last
    signals: Tensor  # (N * S,) int64: the row of each entry
    starts: Tensor  # (n_segments + 1,) int64: where each segment begins, and then the padding
    first: Tensor  # (n_atoms,) int64: the first segment of each atom

    def sum(self, weights: Tensor, rows: Tensor) -> Tensor:
        """The sums (n_atoms, n_features) for weights (N, S) and rows (N, n_features)."""
        n_atoms, n_segments = self.first.shape[0], self.starts.shape[0] - 1
        if not self.order.shape[0]:
            return rows.new_zeros((n_atoms, rows.shape[1]))
        weights = weights.reshape(-1).take(self.order)
        sums = _bag_sums(self.signals, rows.contiguous(), self.starts, weights)[:-1]
        if n_segments == n_atoms:
            return sums
        return _bag_sums(torch.arange(n_segments, device=rows.device), sums, self.first, None)


def _bag_sums(indices: Tensor, rows: Tensor, starts: Tensor, weights: Tensor | None) -> Tensor:
    return torch.nn.functional.embedding_bag(indices, rows, starts, mode="sum", per_sample_weights=weights)


def sort_by_atom(indices: Tensor, counts: Tensor, n_atoms: int) -> Segments:
    """Sort the entries of codes with indices (N, S) and counts (N,), without waiting for a device."""
    n_entries, device = indices.numel(), indices.device
    keys = indices.masked_fill(unused(indices, counts), n_atoms).reshape(-1)
    if n_atoms <= torch.iinfo(torch.int16).max:
        keys = keys.to(torch.int16)  # sorted three times as fast
    keys, order = torch.sort(keys, stable=True)
    signals = torch.div(order, indices.shape[1], rounding_mode="floor")
    # Where each atom's entries begin, and, last, where the padding does.
    bounds = torch.searchsorted(keys, torch.arange(n_atoms + 1, device=device).to(keys.dtype))
    if n_entries <= LENGTH:  # one segment for each atom
        return Segments(order, signals, bounds, torch.arange(n_atoms, device=device))
    # As many as there could be; those that are not needed are empty and stand behind the others.
    n_segments = n_atoms + n_entries // LENGTH
    needed = torch.div(bounds.diff() + (LENGTH - 1), LENGTH, rounding_mode="floor")
    last = needed.cumsum(0)
    first = last - needed
    segment = torch.arange(n_segments + 1, device=device)
    atom = torch.searchsorted(last, segment, right=True).clamp_max_(n_atoms - 1)
    starts = bounds[atom] + (segment - first[atom]) * LENGTH
    starts = torch.minimum(starts, bounds[-1])
    return Segments(order, signals, starts, first)
