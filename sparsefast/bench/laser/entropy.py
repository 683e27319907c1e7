"""What symbols cost: ideal code lengths of static models, as an arithmetic coder reaches them.

A symbol may have a context, something that the decoder knows before it: then a model is one of

    p(s | c) = (n(s, c) + a p(s)) / (n(c) + a)        p(s) = (n(s) + 1) / (N + size)

where a, the weight of what holds for all contexts, is what tells the symbols best from which the model is learnt, each
of them left out (D. MacKay, L. Peto, "A hierarchical Dirichlet language model", Natural Language Engineering 1, 1995).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_WEIGHTS = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)


@dataclass(frozen=True)
class Stream:
    """Symbols that share one model."""

    symbols: np.ndarray
    """(N,) integers, 0 to size - 1."""
    size: int
    """How many symbols the alphabet has."""
    contexts: np.ndarray | None = None
    """(N,) integers, 0 to n_contexts - 1; None: all 0."""
    n_contexts: int = 1


@dataclass(frozen=True)
class Model:
    """Bits of symbols."""

    lengths: np.ndarray
    """(n_contexts, size)"""
    overall: np.ndarray
    """(size,), where the context is not known."""

    def bits(self, stream: Stream) -> float:
        """Of all symbols."""
        return float(self.lengths[_contexts(stream), stream.symbols].sum())


Streams = dict[str, Stream]
Tables = dict[str, Model]


def model_of(stream: Stream) -> Model:
    """The model that is learnt from these symbols."""
    joint = np.zeros((stream.n_contexts, stream.size))
    np.add.at(joint, (_contexts(stream), stream.symbols), 1)
    overall = joint.sum(0) + 1
    overall /= overall.sum()
    if stream.n_contexts == 1:
        return Model(-np.log2(overall)[None], -np.log2(overall))
    weight = min(_WEIGHTS, key=lambda a: _left_out(joint, overall, a))
    lengths = -np.log2((joint + weight * overall) / (joint.sum(1, keepdims=True) + weight))
    return Model(lengths, -np.log2(overall))


def tables_of(streams: Streams) -> Tables:
    """A model for each stream, learnt from these symbols."""
    return {name: model_of(stream) for name, stream in streams.items()}


def bits_of(streams: Streams, tables: Tables) -> float:
    """The bits of all symbols under models that were learnt elsewhere."""
    return float(sum(tables[name].bits(stream) for name, stream in streams.items()))


def joined(streams: list[Stream]) -> Stream:
    """The symbols of all, one stream after the other."""
    first = streams[0]
    contexts = None if first.contexts is None else np.concatenate([_contexts(s) for s in streams])
    return Stream(np.concatenate([s.symbols for s in streams]), first.size, contexts, first.n_contexts)


def _left_out(joint: np.ndarray, overall: np.ndarray, weight: float) -> float:
    """Bits of the symbols, each by the model of all others in its context."""
    of_context = np.broadcast_to(joint.sum(1, keepdims=True), joint.shape)
    seen = joint > 0
    counts = joint[seen]
    p = (counts - 1 + weight * np.broadcast_to(overall, joint.shape)[seen]) / (of_context[seen] - 1 + weight)
    return float(-(counts * np.log2(p)).sum())


def _contexts(stream: Stream) -> np.ndarray:
    return np.zeros(len(stream.symbols), np.int64) if stream.contexts is None else stream.contexts
