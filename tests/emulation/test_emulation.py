"""What the CUDA emulation promises, so that kernels which pass on it mean something: right results in every order of
threads, and faults that a device would hide are seen. The checks are C++, in checks.cpp, with kernels of their own."""

import importlib.util
import threading

import pytest

if importlib.util.find_spec("sparsefast._emulated") is None:
    pytest.skip("this build has no CUDA emulation (SPARSEFAST_CUDA_EMULATION)", allow_module_level=True)

from sparsefast import _emulated

ORDERS = ("forward", "reversed", "shuffled")


@pytest.fixture
def emulated():
    before = _emulated.order(), _emulated.shared_memory()
    yield _emulated
    _emulated.set_order(before[0])
    _emulated.set_shared_memory(before[1])


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", _emulated.self_test.names())
def test_check(emulated, order, name):
    emulated.set_order(order, seed=7)
    assert emulated.self_test.run(name) == ""


def test_python_threads_launch_at_once(emulated):
    names = ["dynamic_sum", "argmax", "faults_are_told", "static_tile"]
    wrong = []

    def run(name):
        wrong.extend(filter(None, (emulated.self_test.run(name) for _ in range(5))))

    threads = [threading.Thread(target=run, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_order_has_a_name(emulated):
    for order in ORDERS:
        emulated.set_order(order)
        assert emulated.order() == order
    with pytest.raises(ValueError, match="order 'sideways' must be forward, reversed or shuffled"):
        emulated.set_order("sideways")


def test_shared_memory_is_a_size(emulated):
    assert emulated.shared_memory() > 0
    with pytest.raises(ValueError, match="bytes must not be negative"):
        emulated.set_shared_memory(-1)
