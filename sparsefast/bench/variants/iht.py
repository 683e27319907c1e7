"""`iht` with the normalised step, and a fixed number of iterations."""

from __future__ import annotations

from typing import Any

from sparsefast.bench import peers
from sparsefast.bench.case import Case, Problem
from sparsefast.bench.checks.iht import IhtChecker
from sparsefast.bench.variant import Variant, code_bytes

ITERATIONS = 20


def call(problem: Problem, dictionary: Any, **options: Any) -> Any:
    import sparsefast

    return sparsefast.iht(problem.signals, dictionary, problem.n_nonzero, n_iterations=problem.n_iterations, **options)


def flops(case: Case) -> int:
    """FLOPs for a signal: 2FK for D x, 2SK in all iterations but the first for a G, and 2K in each for a + mu c.

    G = D D^T is shared. Comparisons, and what has no factor K, are not counted; nor is a step that has to be halved.
    """
    through_gram = 2 * case.limit * case.n_atoms * (case.n_iterations - 1)
    return 2 * case.n_features * case.n_atoms + through_gram + 2 * case.n_atoms * case.n_iterations


VARIANT = Variant(
    name="iht",
    call=call,
    cases=(
        Case("C1", (8, 8), False, 256, 8, most=1 << 17, n_iterations=ITERATIONS),
        Case("C2", (8, 8), False, 512, 8, most=1 << 17, n_iterations=ITERATIONS),
    ),
    tiny=Case("tiny", (3, 3), False, 20, 3, most=200, n_iterations=6),
    flops=flops,
    bytes=code_bytes,
    checker=IhtChecker,
    peers={"torch": peers.iht.torch},
)
