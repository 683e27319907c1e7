"""Seconds of the bottlenecks, forward and back, in turns in one process: of the processor, which others that share it
do not stretch."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

PEER = "torch VQ"
# Of each contender at least so many turns.
_LEAST_TURNS = 3


@dataclass(frozen=True)
class Size:
    """C channels, K codes, s atoms, and the height and width of the latent."""

    name: str
    channels: int
    n_codes: int
    n_nonzero: int
    side: int
    goal: float
    """How many times as fast as the peer the dictionary bottlenecks are to be."""


# Three atoms reach every colour: a signal of three features has no more, whatever was asked for.
SIZES = (Size("3/16/4", 3, 16, 3, 128, 5.0), Size("64/512/8", 64, 512, 8, 32, 2.0))
BATCHES = (1, 4, 8, 16)


@dataclass
class Row:
    """Milliseconds of the processor for one layer at one size: medians over the turns."""

    size: str
    batch: int
    contender: str
    forward: float
    both: float
    """Forward and backward."""
    times: float
    """The peer's time over ours, forward and backward: the median of the ratios within a turn."""
    times_forward: float


def layers(size: Size) -> dict[str, Any]:
    """The contenders by name, in training mode."""
    from sparsefast.bench.laser.peers import PlainVectorQuantizer
    from sparsefast.nn import SparseBottleneck, VectorQuantizer

    def sparse(gradient: str) -> Any:
        # Dead atoms begin anew once in a hundred calls, in either quantiser: not within these.
        return SparseBottleneck(
            size.n_codes, size.channels, size.n_nonzero, gradient=gradient, coefficient_bits=None, revive_every=0
        )

    return {
        PEER: PlainVectorQuantizer(size.n_codes, size.channels),
        "VQ": VectorQuantizer(size.n_codes, size.channels, revive_every=0),
        "DL ste": sparse("ste"),
        "DL implicit": sparse("implicit"),
    }


def measure(size: Size, batch: int, seconds: float) -> list[Row]:
    """Measure all contenders on one latent of Gaussian numbers, for about so many seconds each."""
    import torch

    torch.manual_seed(0)
    chosen = layers(size)
    latent = torch.randn(batch, size.channels, size.side, size.side)
    for layer in chosen.values():
        if hasattr(layer, "initialize"):
            layer.initialize(latent)
    grad = torch.randn_like(latent)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in chosen}
    until = time.process_time() + seconds * len(chosen)
    for layer in chosen.values():
        _turn(layer, latent, grad)
    while time.process_time() < until or len(times[PEER]) < _LEAST_TURNS:
        for name, layer in chosen.items():
            times[name].append(_turn(layer, latent, grad))
    return [_row(size, batch, name, times[name], times[PEER]) for name in chosen]


def _turn(layer: Callable[..., Any], latent: Any, grad: Any) -> tuple[float, float]:
    import torch

    z = latent.detach().requires_grad_()
    start = time.process_time()
    out, loss, _ = layer(z)
    between = time.process_time()
    torch.autograd.backward([out, loss], [grad, torch.ones_like(loss)])
    return between - start, time.process_time() - start


def _row(
    size: Size, batch: int, name: str, own: Sequence[tuple[float, float]], peer: Sequence[tuple[float, float]]
) -> Row:
    forward, both = (statistics.median(t[i] for t in own) for i in (0, 1))
    ratios = [statistics.median(p[i] / t[i] for p, t in zip(peer, own, strict=True)) for i in (0, 1)]
    return Row(size.name, batch, name, 1e3 * forward, 1e3 * both, ratios[1], ratios[0])
