"""Globals of the Triton kernels. Each launch compares them with what they were when the kernel was compiled, and is
refused where they differ; neither the interpreter nor the compiler does so."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

triton = pytest.importorskip("triton", reason="triton cannot be imported: pip install triton (it is for Linux alone)")

from sparsefast.kernels import triton as kernels  # noqa: E402


@pytest.mark.parametrize("name", [module.name for module in pkgutil.iter_modules(kernels.__path__)])
def test_no_constant_differs_from_itself(name: str) -> None:
    module = importlib.import_module(f"{kernels.__name__}.{name}")
    constants = {name: x for name, x in vars(module).items() if isinstance(x, triton.language.constexpr)}
    assert [name for name, x in constants.items() if not x.value == x.value] == []  # noqa: SIM201
