"""What is asked of every backend, asked of the Triton kernels: the tests of the other kernels, called with these.

Run by test_interpreter.py, with TRITON_INTERPRET=1. Those that take longest under the interpreter are slow tests.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from tests.kernels import test_masked, test_nearest_code, test_ols, test_omp_correct, test_omp_traps, test_topk
from tests.kernels.patches import test_fold, test_fold_at, test_unfold, test_unfold_at
from tests.kernels.triton.backend import TritonKernel, limits

# Not for these kernels, since it says how the CPU's do it; and what takes minutes here, and sizes.py asks of less.
ELSEWHERE = ("gram_would_be_too_large", "sort_ties_and_all", "codebook_itself", "batches_or", "32_bits")
# Nor for small blocks, which take the longest.
NOT_IN_BLOCKS = (
    "prefixes",
    "strides_do_not_matter",
    "asked_for_than",
    "at_the_first_step",
    "equal_atoms_tie",
    "exactly",
)
# Which of those of a file are quick enough to be always run, by parts of their names; with 64-bit floats too where the
# part ends in "*".
QUICK = {
    "omp-tile": ("zero_signal", "repeats", "nearly_equal*", "infinite_atom",
                 "below_the_rounding", "span_of_few*", "large_atom*", "empty_batch", "does_not_follow",
                 "unequal_norms"),
    "omp-blocks": ("nearly_equal*", "span_of_few", "does_not_follow"),
    "ols-tile": ("differs_from_omp*", "passed_over*", "equal_atoms"),
    "ols-blocks": ("differs_from_omp", "passed_over*"),
    "masked-blocks": ("which_nothing_or",),
    "topk-tile": ("keep_their_order", "orthonormal"),
    "nearest_code-tile": ("powers_of_two", "ties"),
    "unfold-tile": ("far_outside", "corners_of_a_grid", "nothing_of_nothing"),
    "fold-tile": ("summed_exactly*", "sums_are_exact*", "rounded_to_even", "rounded_once_and", "weights_sum_to_zero",
                  "far_outside", "nothing_of_nothing"),
}  # fmt: skip
FILES: tuple[tuple[ModuleType, str], ...] = (
    (test_omp_traps, "omp"),
    (test_omp_correct, "omp"),
    (test_ols, "ols"),
    (test_masked, "masked"),
    (test_topk, "topk"),
    (test_nearest_code, "nearest_code"),
    (test_unfold, "unfold"),
    (test_unfold_at, "unfold"),
    (test_fold, "fold"),
    (test_fold_at, "fold"),
)


class Case(NamedTuple):
    function: Callable[..., None]
    kernel: TritonKernel
    arguments: dict[str, Any]

    def is_quick(self) -> bool:
        for part in QUICK.get(str(self.kernel), ()):
            if part.rstrip("*") in self.function.__name__:
                wide = str(self.arguments.get("dtype", "float32")).find("64") >= 0
                return part.endswith("*") or not wide
        return False

    def __str__(self) -> str:
        values = [getattr(value, "__name__", str(value)) for value in self.arguments.values()]
        where = "at-" * self.function.__module__.endswith("_at")
        return "-".join([str(self.kernel), where + self.function.__name__.removeprefix("test_"), *values])


def cases() -> Iterator[Case]:
    for (module, name), path in itertools.product(FILES, ("tile", "blocks")):
        if (name, path) == ("masked", "tile"):  # which has one path
            continue
        for function in vars(module).values():
            marks = [mark for mark in getattr(function, "pytestmark", ()) if mark.name == "parametrize"]
            without = ELSEWHERE + (NOT_IN_BLOCKS if path == "blocks" else ())
            if all(mark.args[0] != "kernel" for mark in marks) or any(part in function.__name__ for part in without):
                continue
            others = [mark.args for mark in marks if mark.args[0] != "kernel"]
            for values in itertools.product(*(of for _, of in others)):
                arguments = dict(zip((argument for argument, _ in others), values, strict=True))
                yield Case(function, TritonKernel("triton", name=name, path=path), arguments)


def marked(case: Case) -> Any:
    return pytest.param(case, id=str(case), marks=() if case.is_quick() else pytest.mark.slow)


@pytest.mark.filterwarnings("ignore:.*linear dependence.*:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:(invalid value|overflow) encountered:RuntimeWarning")
@pytest.mark.parametrize("case", [marked(case) for case in cases()])
def test_as_every_backend(case: Case) -> None:
    with limits(case.kernel.path):
        case.function(kernel=case.kernel, **case.arguments)
