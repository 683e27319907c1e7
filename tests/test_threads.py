"""How many threads a call uses, and what a fork does to that."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

import sparsefast
from sparsefast import dispatch

COMPILED = [name for name in sparsefast.backends("omp", device="cpu") if name != "reference"]


@pytest.fixture(autouse=True)
def as_it_was():
    before = torch.get_num_threads()
    yield
    sparsefast.set_num_threads(None)
    torch.set_num_threads(before)


def python(source, **environment):
    inherited = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    result = subprocess.run(
        [sys.executable, "-c", source],
        env={**inherited, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), **environment},
        text=True,
        capture_output=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


def test_the_override_goes_before_torch():
    torch.set_num_threads(3)
    assert sparsefast.get_num_threads() == 3
    sparsefast.set_num_threads(np.int64(5))
    assert sparsefast.get_num_threads() == 5
    sparsefast.set_num_threads(None)
    assert sparsefast.get_num_threads() == 3


SHOW = "import sparsefast; print(sparsefast.get_num_threads())"


@pytest.mark.parametrize(("value", "count"), [("3", "3"), ("7,2", "7"), (" 2 ", "2")])
def test_without_torch_it_is_the_environment_variable(value, count):
    assert python(SHOW, OMP_NUM_THREADS=value) == [count]


@pytest.mark.parametrize("value", ["", "0", "-1", "many"])
def test_without_a_usable_variable_it_is_the_affinity(value):
    assert python(SHOW, OMP_NUM_THREADS=value) == [str(len(os.sched_getaffinity(0)))]
    one = "import os; os.sched_setaffinity(0, list(os.sched_getaffinity(0))[:1])\n"
    assert python(one + SHOW, OMP_NUM_THREADS=value) == ["1"]


@pytest.mark.parametrize(
    ("value", "error"), [(0, ValueError), (-2, ValueError), (1.5, TypeError), (True, TypeError), ("2", TypeError)]
)
def test_a_wrong_count_is_refused_with_what_it_was(value, error):
    with pytest.raises(error, match=f"set_num_threads: n_threads={value!r}.*at least 1, or None"):
        sparsefast.set_num_threads(value)


def test_the_count_reaches_the_kernel(monkeypatch):
    module = dispatch.resolve("omp", "cpu", "float64", "reference").module
    kernel, seen = module.omp, []
    monkeypatch.setattr(module, "omp", lambda *args: (seen.append(args[-1]), kernel(*args)))
    sparsefast.set_num_threads(7)
    sparsefast.omp(np.ones((2, 3)), np.eye(3), 1, backend="reference")
    assert seen == [7]


@pytest.mark.parametrize("backend", COMPILED)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_results_do_not_depend_on_the_count(backend, dtype):
    rng = np.random.default_rng(0)
    x, d = rng.standard_normal((20_000, 30)).astype(dtype), rng.standard_normal((70, 30)).astype(dtype)
    sparsefast.set_num_threads(1)
    expected = sparsefast.omp(x, d, 6, backend=backend)
    for count in (2, 3, 8):
        sparsefast.set_num_threads(count)
        assert sparsefast.omp(x, d, 6, backend=backend).equals(expected)


@pytest.mark.parametrize("backend", COMPILED)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_runs_with_one_thread_and_gets_the_same_answers(backend):
    """The parent has used its pool of threads, which the child does not have."""
    source = f"""
import os, signal, numpy as np, sparsefast
sparsefast.set_num_threads(2)
x = np.random.default_rng(0).standard_normal((20_000, 64)).astype("f")
d = sparsefast.prepare(sparsefast.overcomplete_dct(8, 16))
expected = sparsefast.omp(x, d, 6, backend={backend!r})
pid = os.fork()
if pid == 0:
    signal.alarm(60)  # a child that waits for threads that it does not have would wait for ever
    same = sparsefast.omp(x, d, 6, backend={backend!r}).equals(expected)
    sparsefast.set_num_threads(4)
    os._exit(0 if same and sparsefast.get_num_threads() == 1 else 3)
print(os.waitpid(pid, 0)[1], sparsefast.get_num_threads())
"""
    assert python(source) == ["0", "2"]
