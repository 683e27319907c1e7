"""The systems that differentiate least squares coefficients, in CUDA (csrc/cuda/support.cu)."""

from __future__ import annotations

from typing import Any

from sparsefast.kernels.cuda.coders import extension_of
from sparsefast.kernels.cuda.memory import describe, queue_of

__all__ = ["largest_support", "support_solve"]


def largest_support(like: Any) -> int:
    """The most entries that a signal may have here."""
    return int(extension_of(like).cuda_support_most(describe(like)[1], queue_of(like)[0]))


def support_solve(
    dictionary: Any, indices: Any, counts: Any, grad: Any, mask: Any, solved: Any, through: Any = None
) -> None:
    """Write u (N, S) with (A A^T + ridge) u = grad for the atoms A that each of indices (N, S) int64 and counts (N,)
    selects of a finite dictionary (K, F), where mask (N, F) is true if given; and, if asked for, u A (N, F)."""
    extension_of(grad).cuda_support_solve(
        describe(dictionary),
        describe(indices),
        describe(counts),
        describe(grad),
        None if mask is None else describe(mask),
        describe(solved),
        None if through is None else describe(through),
        *queue_of(grad),
    )
