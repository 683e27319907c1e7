"""Which backend runs: the four ways to ask, which goes first, and what a refusal says."""

import asyncio
import os
import subprocess
import sys
import threading
import types

import numpy as np
import pytest

import sparsefast
from sparsefast import arrays, dispatch

X = np.random.default_rng(0).standard_normal((5, 6))
D = np.random.default_rng(1).standard_normal((9, 6))


def python(source, **environment):
    return subprocess.run(
        [sys.executable, "-c", source],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), **environment},
        text=True,
        capture_output=True,
        timeout=120,
    )


@pytest.fixture
def ran(monkeypatch):
    """The backends that ran, in order."""
    calls = []
    for name in sparsefast.backends("omp"):
        module = dispatch.resolve("omp", "cpu", "float64", name).module

        def counted(*args, name=name, kernel=module.omp):
            calls.append(name)
            kernel(*args)

        monkeypatch.setattr(module, "omp", counted)
    return calls


@pytest.fixture
def extra_backend():
    """A new column: one registration and one module."""
    package, module = types.ModuleType("sparsefast.kernels.extra"), types.ModuleType("sparsefast.kernels.extra.omp")
    module.prepare = lambda dictionary, gram, n_threads: dictionary

    def omp(signals, layout, n_nonzero, tol, values, indices, counts, status, n_threads):
        values[...], indices[...], counts[...], status[...] = 7, 0, 1, 0

    module.omp = omp
    sys.modules[package.__name__], sys.modules[module.__name__] = package, module
    row = dispatch._kernels("omp")
    dispatch.register_backend(dispatch.Backend("extra", "cpu", False, lambda: None))
    row["extra"] = dispatch.Kernel("sparsefast.kernels.extra.omp", ("float64",))
    yield "extra"
    del row["extra"], dispatch._BACKENDS["extra"], sys.modules[package.__name__], sys.modules[module.__name__]
    dispatch.clear_cache()


def test_the_order_is_that_of_the_design():
    assert dispatch.backend_names() == ("cuda", "triton", "cpu", "numba", "reference")
    of_signals = ("omp", "ols", "positive", "omp_masked", "topk", "iht", "nearest_code")
    assert dispatch.op_names() == (*of_signals, "unfold", "fold", "ksvd_update", "dictionary_stats", "online_update")


def test_auto_takes_the_first_that_can_run_and_never_the_reference(ran, monkeypatch):
    sparsefast.omp(X, D, 2)
    sparsefast.omp(X, D, 2, backend="auto")
    first = next(name for name in sparsefast.backends("omp", device="cpu") if name != "reference")
    assert ran == [first, first]
    # With neither C++ nor Numba there is an error, not a program that is hundreds of times slower.
    for name in ("cpu", "numba"):
        column = dispatch._BACKENDS[name]._replace(why_not=lambda: "taken away by a test")
        monkeypatch.setitem(dispatch._BACKENDS, name, column)
    dispatch.clear_cache()
    try:
        with pytest.raises(sparsefast.BackendUnavailable) as raised:
            sparsefast.omp(X, D, 2)
    finally:
        monkeypatch.undo()
        dispatch.clear_cache()
    assert str(raised.value).splitlines() == [
        "omp: no backend can run on float64 arrays on CPU:",
        "  cuda: runs on CUDA arrays only",
        "  triton: runs on CUDA arrays only",
        "  cpu: taken away by a test",
        "  numba: taken away by a test",
        '  reference: available, but only when asked for (backend="reference")',
    ]


def test_a_refused_backend_says_why_for_each():
    with pytest.raises(sparsefast.BackendUnavailable) as raised:
        sparsefast.omp(X, D, 2, backend="triton")
    lines = str(raised.value).splitlines()
    assert lines[0] == "omp: backend 'triton' cannot run on float64 arrays on CPU:"
    assert lines[2] == "  triton: runs on CUDA arrays only"
    assert len(lines) == 1 + len(dispatch.backend_names())
    assert issubclass(sparsefast.BackendUnavailable, RuntimeError)


def test_the_argument_goes_before_the_block_and_blocks_nest(ran):
    with sparsefast.use_backend("reference"):
        sparsefast.omp(X, D, 2)
        with sparsefast.use_backend("numba"):
            sparsefast.omp(X, D, 2)
            sparsefast.omp(X, D, 2, backend="reference")
        sparsefast.omp(X, D, 2)
    assert ran == ["reference", "numba", "reference", "reference"]


def test_a_block_ends_with_an_exception_too(ran):
    with pytest.raises(ZeroDivisionError), sparsefast.use_backend("reference"):
        raise ZeroDivisionError
    sparsefast.omp(X, D, 2)
    assert ran != ["reference"]


def test_a_block_works_as_a_decorator(ran):
    @sparsefast.use_backend("reference")
    def code():
        return sparsefast.omp(X, D, 2)

    code(), code()
    assert ran == ["reference", "reference"]


def test_neither_a_thread_nor_a_task_sees_the_block_of_another(ran):
    inside, outside = threading.Event(), threading.Event()

    def other():
        inside.wait(10)
        sparsefast.omp(X, D, 2, backend=None)
        outside.set()

    thread = threading.Thread(target=other)
    thread.start()
    with sparsefast.use_backend("reference"):
        inside.set()
        assert outside.wait(60)
    thread.join()
    assert ran != ["reference"]
    ran.clear()

    async def task(name):
        with sparsefast.use_backend(name):
            await asyncio.sleep(0)
            sparsefast.omp(X, D, 2)
            await asyncio.sleep(0)
            sparsefast.omp(X, D, 2)

    async def both():
        await asyncio.gather(task("reference"), task("numba"))

    asyncio.run(both())
    assert ran == ["reference", "numba"] * 2


def test_a_wrong_name_is_refused_where_it_is_written():
    with pytest.raises(ValueError, match="use_backend: name='gpu' is not a backend; it must be one of auto, cuda"):
        sparsefast.use_backend("gpu")
    with pytest.raises(TypeError, match="use_backend: name=None"):
        sparsefast.use_backend(None)
    with pytest.raises(ValueError, match="op='idct' is not one of omp"):
        sparsefast.backends("idct")


SHOW = """
import numpy as np, sparsefast
from sparsefast import dispatch
def which(**options): print(dispatch.resolve("omp", "cpu", "float64", options.get("backend")).backend)
"""


def test_the_environment_variable_is_used_and_everything_else_goes_before_it():
    result = python(
        SHOW + 'which()\nwhich(backend="numba")\nwith sparsefast.use_backend("numba"): which()\nwhich()',
        SPARSEFAST_BACKEND="reference",
    )
    assert result.stdout.split() == ["reference", "numba", "numba", "reference"], result.stderr
    assert python(SHOW + "which()", SPARSEFAST_BACKEND="").stdout.split()[0] in ("cpu", "numba")


def test_a_wrong_environment_variable_is_named_with_what_is_allowed():
    result = python(SHOW + "which()", SPARSEFAST_BACKEND="fastest")
    assert result.stderr.splitlines()[-1] == (
        "ValueError: SPARSEFAST_BACKEND='fastest' is not a backend; "
        "it must be one of auto, cuda, triton, cpu, numba, reference"
    )


def test_resolving_happens_once_for_each_combination(monkeypatch):
    sparsefast.omp(X, D, 2)
    monkeypatch.setattr(dispatch, "_resolve", lambda *key: pytest.fail(f"resolved again: {key}"))
    sparsefast.omp(X, D, 2)


def test_a_new_backend_is_one_registration_and_one_module(extra_backend):
    assert sparsefast.backends("omp")[-1] == "extra"
    assert (sparsefast.omp(X, D, 2, backend="extra").values == 7).all()
    with pytest.raises(sparsefast.BackendUnavailable, match="extra: takes float64, not float32"):
        sparsefast.omp(X.astype("f"), D.astype("f"), 2, backend="extra")
    # 16-bit numbers are computed in float32, which it does not take either.
    with pytest.raises(sparsefast.BackendUnavailable, match="extra: takes float64, not float16"):
        sparsefast.omp(X.astype("e"), D.astype("e"), 2, backend="extra")
    assert "extra" not in sparsefast.backends("omp", dtype="float32")
    assert "extra" in sparsefast.info()["ops"]["omp"]


def test_no_backend_is_listed_for_a_device_that_none_takes_yet():
    assert sparsefast.backends("omp", device="cuda") == []
    assert sparsefast.backends("omp", device="cpu", dtype="int8") == []
    assert "reference" in sparsefast.backends("omp", device="cpu", dtype="float32")


def test_a_kernel_that_cannot_be_loaded_is_a_reason(extra_backend, monkeypatch):
    row = dispatch._kernels("omp")
    monkeypatch.setitem(row, "extra", dispatch.Kernel("sparsefast.kernels.extra.missing", ("float64",)))
    dispatch.clear_cache()
    assert "its kernel cannot be loaded (ModuleNotFoundError" in dispatch.why_not("omp", "extra")


def test_cupy_arrays_are_recognised_and_refused_with_reasons():
    """Only the recognition: without CuPy, a class that is named as its array is stands for it."""
    fake = type("ndarray", (), {})
    fake.__module__ = "cupy"
    array = fake()
    array.shape, array.dtype, array.device = (5, 6), np.dtype("float64"), types.SimpleNamespace(id=1)
    assert arrays.kind_of(array, "omp: signals").words == "a CuPy array"
    with pytest.raises(TypeError, match="signals is a CuPy array and dictionary a NumPy array"):
        sparsefast.omp(array, D, 2)
    dictionary = fake()
    dictionary.shape, dictionary.dtype, dictionary.device = (9, 6), array.dtype, array.device
    why = dispatch.why_not("omp", "cuda", "cuda", "float64")
    if why is None:
        pytest.skip("a GPU is there, and would be asked to read what is no array")
    with pytest.raises(sparsefast.BackendUnavailable) as raised:
        sparsefast.omp(array, dictionary, 2)
    assert str(raised.value).startswith(f"omp: no backend can run on float64 arrays on CUDA:\n  cuda: {why}\n")
