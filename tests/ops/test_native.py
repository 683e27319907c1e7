"""The cpu backend is the native module: its Python files only pass arguments on."""

import pytest

import sparsefast
from sparsefast import dispatch
from tests.ops.helper import CELLS, problem


@pytest.mark.parametrize("op", [op for op, backend in CELLS if backend == "cpu"], ids=str)
def test_the_cpu_backend_runs_the_native_kernel(op, monkeypatch):
    module, calls = dispatch.resolve(op.row, "cpu", "float64", "cpu").module, []

    class Counting:
        def __getattr__(self, name):
            def call(*args, **options):
                calls.append(args[0] if name == "code" else name)
                return getattr(sparsefast._native.module, name)(*args, **options)

            return call

    monkeypatch.setattr(module, "extension", Counting())
    op.call(*problem(), backend="cpu")
    assert calls == [op.module]
