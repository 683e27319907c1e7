"""What is measured: a member of the family `omp`, its sizes, its peers, its check and its costs."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sparsefast.bench.case import Case, Problem
from sparsefast.bench.checks import Checker, Code

if TYPE_CHECKING:
    from sparsefast.bench.contender import Contender


def sparse_code(result: Any, problem: Problem) -> Code:
    """A SparseCode as a Code."""
    return Code(*operator.attrgetter("indices", "values", "counts")(result))


@dataclass(frozen=True)
class Variant:
    """One function and those that are measured beside it."""

    name: str
    """Of the row of the grid of backends: "omp", "topk"."""
    call: Callable[..., Any]
    """(problem, dictionary or PreparedDictionary, backend=...) -> the result of our public function."""
    cases: Sequence[Case]
    tiny: Case
    """For tests: it says nothing about speed."""
    flops: Callable[[Case], int]
    """FLOPs for a signal that no method known to us does without. Peers are held to the same count."""
    bytes: Callable[[Case, int], int]
    """Bytes that must move for a signal, from the size of a value."""
    checker: Callable[[Problem], Checker]
    peers: dict[str, Callable[[], Contender]]
    decode: Callable[[Any, Problem], Code] = sparse_code
    prepared: bool = False
    """Whether a row shows what preparing the dictionary saves."""

    def case(self, name: str) -> Case | None:
        """The case of that name, if there is one."""
        return next((case for case in (*self.cases, self.tiny) if case.name == name), None)


def code_bytes(case: Case, itemsize: int) -> int:
    """Bytes of a signal and its code: the signal, S values and int32 indices, a count and a status."""
    return case.n_features * itemsize + case.n_nonzero * (itemsize + 4) + 4 + 1
