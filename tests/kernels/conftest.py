"""Tests here choose the instruction set of the C++ kernels; those elsewhere find it as it was."""

import importlib.util
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def instruction_set() -> Iterator[None]:
    if importlib.util.find_spec("sparsefast._C") is None:
        yield
        return
    from sparsefast import _C

    isa = _C.isa()
    yield
    _C.set_isa(isa)
