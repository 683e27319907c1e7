"""One number for rows and columns, or two."""

from __future__ import annotations

import operator
from typing import Any


def pair(value: Any) -> tuple[int, int]:
    """Rows and columns of an integer, which is both, or of two.

    Raises
    ------
    TypeError, ValueError
        If it is neither.
    """
    if hasattr(value, "__index__"):
        return operator.index(value), operator.index(value)
    rows, columns = value
    return operator.index(rows), operator.index(columns)
