"""Why the coding of a signal ended: the codes in `SparseCode.status`, the same numbers in every op and backend."""

from enum import IntEnum


class Status(IntEnum):
    """Why the coding of a signal ended (`SparseCode.status`, uint8)."""

    def __new__(cls, value: int, doc: str) -> "Status":
        member = int.__new__(cls, value)
        member._value_ = value
        member.__doc__ = doc
        return member

    COMPLETE = 0, "n_nonzero atoms were selected. For iht it does not say whether the iteration converged."
    TOLERANCE = (
        1,
        "The norm of the residual, over the observed features for omp_masked, is at most tol; said whenever it is true "
        "at the end of a finite signal.",
    )
    EXHAUSTED = (
        2,
        "n_nonzero asked for more than the min(n_features, n_atoms) atoms that can be independent, and so many were "
        "selected; for omp_masked only observed features count. With positive=True also after four times as many "
        "additions, when atoms kept being dropped again.",
    )
    ORTHOGONAL = (
        3,
        "No further atom correlates with the residual beyond rounding: a zero signal, or one fully represented. With "
        "positive=True no atom correlates positively. For topk and iht: fewer than n_nonzero atoms have a coefficient "
        "other than zero.",
    )
    DEPENDENT = (
        4,
        "The best atom lies, to rounding, in the span of those selected; with selection='ols', all that still "
        "correlate do.",
    )
    NONFINITE = 5, "The signal holds NaN or infinity: no atoms, its row of values all NaN."
