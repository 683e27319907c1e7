"""`topk`: the atoms of largest correlation, as a k-sparse autoencoder takes them."""

from __future__ import annotations

from typing import Any

from sparsefast.bench import peers
from sparsefast.bench.case import Case, Problem
from sparsefast.bench.checks.topk import TopkChecker
from sparsefast.bench.variant import Variant, code_bytes


def call(problem: Problem, dictionary: Any, **options: Any) -> Any:
    import sparsefast

    return sparsefast.topk(problem.signals, dictionary, problem.n_nonzero, **options)


def flops(case: Case) -> int:
    """FLOPs for a signal: 2FK for D x. Comparisons are not counted."""
    return 2 * case.n_features * case.n_atoms


VARIANT = Variant(
    name="topk",
    call=call,
    cases=(
        Case("C1", (8, 8), False, 256, 8),
        Case("C3", (8, 8), True, 1024, 10, most=1 << 17),
        Case("C5", (8, 8), False, 1024, 16),
    ),
    tiny=Case("tiny", (3, 3), False, 20, 3, most=200),
    flops=flops,
    bytes=code_bytes,
    checker=TopkChecker,
    peers={"torch": peers.topk.torch, "numpy": peers.topk.numpy},
)
