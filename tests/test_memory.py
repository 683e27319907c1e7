"""Memory of large outputs is used again, and never while anybody still holds it."""

import gc
import os
import pickle
import threading

import numpy as np
import pytest

import sparsefast

native = pytest.importorskip("sparsefast._C", exc_type=ImportError)
LARGE = (1 << 18,)


def address(a):
    return a.__array_interface__["data"][0]


@pytest.fixture(autouse=True)
def nothing_kept():
    sparsefast.release_memory()
    yield
    sparsefast.release_memory()


def problem(n=20_000):
    rng = np.random.default_rng(3)
    dictionary = rng.standard_normal((16, 3)).astype(np.float32)
    return rng.standard_normal((n, 3)).astype(np.float32), dictionary / np.linalg.norm(
        dictionary, axis=1, keepdims=True
    )


def test_a_freed_block_is_used_again_and_a_held_one_is_not():
    first = native.empty(LARGE, np.dtype(np.float32))
    held = address(first)
    assert address(native.empty(LARGE, np.dtype(np.float32))) != held
    view = first[10:20]
    del first
    assert address(native.empty(LARGE, np.dtype(np.float32))) != held
    del view
    # The last block freed is the first taken; its sizes are rounded, so another dtype and shape may fit.
    assert address(native.empty((1 << 15, 4), np.dtype(np.float64))) == held


def test_codes_survive_later_calls_when_one_part_of_them_is_kept():
    signals, dictionary = problem()
    kept = sparsefast.omp(signals, dictionary, 4).values
    expected = kept.copy()
    for scale in (2, 3, 4):
        sparsefast.omp(scale * signals, dictionary, 4)
    np.testing.assert_array_equal(kept, expected)


def test_tensors_survive_later_calls():
    torch = pytest.importorskip("torch")
    signals, dictionary = (torch.from_numpy(a) for a in problem())
    kept = sparsefast.omp(signals, dictionary, 4).indices[100:]
    expected = kept.clone()
    for _ in range(3):
        sparsefast.omp(-signals.flip(0), dictionary, 4)
    assert torch.equal(kept, expected)


def test_threads_that_allocate_at_once_never_share_a_block():
    failures = []

    def work(mark):
        rng = np.random.default_rng(mark)
        held = []
        for turn in range(300):
            a = native.empty((int(rng.integers(1, 4)) << 15,), np.dtype(np.int64))
            a[:] = mark * 1000 + turn
            held.append((a, mark * 1000 + turn))
            if len(held) > 4:
                old, value = held.pop(int(rng.integers(len(held))))
                if not (old == value).all():
                    failures.append(value)

    threads = [threading.Thread(target=work, args=(mark,)) for mark in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_what_is_kept_is_bounded_and_given_back():
    arrays = [native.empty((1 << 25,), np.dtype(np.uint8)) for _ in range(12)]  # 384 MiB, untouched
    del arrays
    gc.collect()
    released = sparsefast.release_memory()
    assert (1 << 27) < released <= (1 << 28)
    assert sparsefast.release_memory() == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_uses_and_frees_blocks_of_its_own():
    parents = native.empty(LARGE, np.dtype(np.float32))
    parents[:] = 7
    child = os.fork()
    if child == 0:
        mine = native.empty(LARGE, np.dtype(np.float32))
        mine[:] = 9
        del mine
        os._exit(0 if (parents == 7).all() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert (parents == 7).all()


def test_large_outputs_pickle_and_are_writeable():
    signals, dictionary = problem()
    code = sparsefast.omp(signals, dictionary, 4)
    again = pickle.loads(pickle.dumps(code))
    np.testing.assert_array_equal(again.values, code.values)
    code.values[0] = 0  # as any array that a function has made


@pytest.mark.parametrize(
    ("shape", "dtype", "error"),
    [((-1,), "float32", ValueError), ((1 << 40, 1 << 40), "float64", MemoryError), ((4,), "object", TypeError)],
    ids=["negative", "too-large", "objects"],
)
def test_impossible_arrays_are_refused(shape, dtype, error):
    with pytest.raises(error):
        native.empty(shape, np.dtype(dtype))


def test_bytes_are_compared_and_not_numbers():
    a = np.array([[1.0, np.nan], [0.0, -0.0]])
    assert native.same_bytes(a, a.copy())
    b = a.copy()
    b[1, 1] = 0.0
    assert not native.same_bytes(a, b)
    assert not native.same_bytes(a, a[:1].copy())
    with pytest.raises(ValueError, match="C-contiguous"):
        native.same_bytes(a, a.T)
