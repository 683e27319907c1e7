"""`nearest_code`: vector quantisation of patches and of colours."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsefast.bench import peers
from sparsefast.bench.case import Case, Problem
from sparsefast.bench.checks import Code
from sparsefast.bench.checks.nearest import NearestChecker
from sparsefast.bench.variant import Variant


def call(problem: Problem, dictionary: Any, **options: Any) -> Any:
    import sparsefast

    return sparsefast.nearest_code(problem.signals, dictionary, **options)


def decode(result: Any, problem: Problem) -> Code:
    return Code(result.indices[:, None], result.distances[:, None], np.ones(len(result.indices), dtype=np.int32))


def flops(case: Case) -> int:
    """FLOPs for a signal: 2FK for D x and K to subtract it from ||d||^2 / 2. Comparisons are not counted."""
    return (2 * case.n_features + 1) * case.n_atoms


def bytes_moved(case: Case, itemsize: int) -> int:
    """The signal, an int32 index and a distance."""
    return case.n_features * itemsize + 4 + itemsize


VARIANT = Variant(
    name="nearest_code",
    call=call,
    cases=(
        Case("F64-K512", (8, 8), False, 512, 1, codebook=True),
        Case("F64-K8192", (8, 8), False, 8192, 1, most=1 << 15, codebook=True),
        Case("F3-K16", (1, 1), True, 16, 1, most=1 << 22, codebook=True),
    ),
    tiny=Case("tiny", (3, 3), False, 20, 1, most=200, codebook=True),
    flops=flops,
    bytes=bytes_moved,
    checker=NearestChecker,
    decode=decode,
    peers={
        "scikit-learn": peers.nearest.scikit_learn,
        "scipy": peers.nearest.scipy,
        "torch": peers.nearest.torch,
        "numpy": peers.nearest.numpy,
        "faiss": peers.nearest.faiss,
    },
)
