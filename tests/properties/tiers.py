"""How many examples a property is tried on, and how Hypothesis tries it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.properties.calls import CELLS

EXAMPLES = {"cpu": 200, "reference": 200, "numba": 25, "cuda-emulated": 25, "cuda-device": 50}
# The reference and Numba share what is shared; their kernels are small, and the first is a loop in Python.
MANY_EXAMPLES = {"cpu": 10_000, "reference": 1000, "numba": 1000, "cuda-emulated": 1000, "cuda-device": 1000}
MOST_SIGNALS = {"cpu": 70, "reference": 3, "numba": 70, "cuda-emulated": 40}

# Each op on each backend, with the number of examples: few always, many where slow tests run.
each_op = pytest.mark.parametrize(
    ("op", "backend", "n_examples"),
    [pytest.param(op, b, EXAMPLES[b], id=f"{op}-{b}") for op, b in CELLS]
    + [pytest.param(op, b, MANY_EXAMPLES[b], id=f"{op}-{b}-many", marks=pytest.mark.slow) for op, b in CELLS],
)


def for_all(examples: st.SearchStrategy[Any], n_examples: int, holds: Callable[[Any], None]) -> None:
    """Try what holds on so many examples: the same ones every time in the default tier, others in each long run."""

    @settings(
        max_examples=n_examples,
        deadline=None,
        derandomize=n_examples <= max(EXAMPLES.values()),
        database=None,
        print_blob=True,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(examples)
    def test(example: Any) -> None:
        holds(example)

    test()
