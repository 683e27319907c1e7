"""What symbols cost: ideal code lengths of static models, as an arithmetic coder reaches them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Stream:
    """Symbols that share one model."""

    symbols: np.ndarray
    """(N,) integers, 0 to size - 1."""
    size: int
    """How many symbols the alphabet has."""


Streams = dict[str, Stream]
Tables = dict[str, np.ndarray]


def lengths_of(stream: Stream) -> np.ndarray:
    """Bits of each symbol of the alphabet, (size,): -log2 p with p = (n + 1) / (N + size), Laplace's rule."""
    counts = np.bincount(stream.symbols, minlength=stream.size) + 1.0
    return -np.log2(counts / counts.sum())


def tables_of(streams: Streams) -> Tables:
    """A model for each stream, learnt from these symbols."""
    return {name: lengths_of(stream) for name, stream in streams.items()}


def bits_of(streams: Streams, tables: Tables) -> float:
    """The bits of all symbols under models that were learnt elsewhere."""
    return float(sum(tables[name][stream.symbols].sum() for name, stream in streams.items()))
