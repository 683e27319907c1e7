"""Why the pursuit of a signal ended: the codes in `SparseCode.status`, the same numbers in every backend."""

from enum import IntEnum


class Status(IntEnum):
    """Why the pursuit of a signal ended (`SparseCode.status`, uint8)."""

    def __new__(cls, value: int, doc: str) -> "Status":
        member = int.__new__(cls, value)
        member._value_ = value
        member.__doc__ = doc
        return member

    COMPLETE = 0, "n_nonzero atoms were selected."
    TOLERANCE = 1, "The norm of the residual is at most tol; said whenever it is true at the end of a finite signal."
    EXHAUSTED = 2, "min(n_features, n_atoms) atoms were selected, and n_nonzero asked for more."
    ORTHOGONAL = 3, "No atom correlates with the residual beyond rounding: a zero signal, or one fully represented."
    DEPENDENT = 4, "The best atom lies, to rounding, in the span of those selected."
    NONFINITE = 5, "The signal holds NaN or infinity: no atoms, its row of values all NaN."
