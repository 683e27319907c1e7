"""Is a contender's result right? A result that is wrong has no speed.

A checker for each kind of result, all in float64 and on the contender's own answer, from the definition and not from
our kernels. Two answers that rounding cannot tell apart are both right; each checker says what rounding is.
"""

from sparsefast.bench.checks.checker import Checker, Terms
from sparsefast.bench.checks.code import Code, from_csc, from_dense, residuals, sample_rows

__all__ = ["Checker", "Code", "Terms", "from_csc", "from_dense", "residuals", "sample_rows"]
