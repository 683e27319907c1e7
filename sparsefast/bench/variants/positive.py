"""`omp(positive=True)`: coefficients above zero."""

from __future__ import annotations

from typing import Any

from sparsefast.bench import peers
from sparsefast.bench.case import Case, Problem
from sparsefast.bench.checks.positive import PositiveChecker
from sparsefast.bench.variant import Variant, code_bytes
from sparsefast.bench.variants import omp


def call(problem: Problem, dictionary: Any, **options: Any) -> Any:
    import sparsefast

    return sparsefast.omp(problem.signals, dictionary, problem.n_nonzero, positive=True, **options)


VARIANT = Variant(
    name="positive",
    call=call,
    cases=(
        Case("C1", (8, 8), False, 256, 8, most=1 << 17),
        Case("C3", (8, 8), True, 1024, 10, most=1 << 16),
    ),
    tiny=omp.TINY,
    # An atom that is dropped costs another step, which a lucky signal does without.
    flops=omp.flops,
    bytes=code_bytes,
    checker=PositiveChecker,
    peers={"scipy": peers.positive.scipy, "torch": peers.positive.torch},
)
