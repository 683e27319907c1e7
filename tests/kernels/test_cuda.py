"""What only the CUDA kernels have: forms that sizes choose, memory of several kinds, and a border that takes numbers
for arrays. On the emulated device."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.data import sparse_problem
from tests.kernels.helper import ORDERS, Kernel
from tests.kernels.replay import check_choices, check_least_squares

emulated = pytest.importorskip("sparsefast._emulated", reason="development builds alone have the emulated device")
CODERS = ("omp", "ols", "masked", "topk")
in_every_order = pytest.mark.parametrize("order", ORDERS)


@pytest.fixture(autouse=True)
def shared_memory() -> Iterator[None]:
    yield
    emulated.set_shared_memory(227 << 10)


def code(order: str, coder: str, problem: Any, n_nonzero: int = 4, **more: Any) -> Any:
    if coder == "masked":
        more["mask"] = np.random.default_rng(2).random(problem.signals.shape) < 0.8
    return Kernel("cuda", order, coder).code(problem.signals, problem.dictionary, n_nonzero, **more)


@in_every_order
@pytest.mark.parametrize("n_atoms", [90, 530], ids=["warp a signal", "block a signal"])
@pytest.mark.parametrize("coder", CODERS)
def test_where_arrays_lie_changes_no_bit(order: str, coder: str, n_atoms: int) -> None:
    # omp in single precision has a kernel of its own, which keeps all in shared memory.
    p = sparse_problem(21, 12, n_atoms, 3, 0.1).astype(np.float64 if coder == "omp" else np.float32)
    in_shared = code(order, coder, p)
    emulated.set_shared_memory(6 << 10)
    in_workspace = code(order, coder, p)
    assert in_workspace.same_bits(in_shared)


@in_every_order
@pytest.mark.parametrize("n_atoms", [90, 530], ids=["warp a signal", "block a signal"])
@pytest.mark.parametrize("coder", ["omp", "ols"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_without_a_gram_matrix_choices_are_as_good(order: str, dtype: type, coder: str, n_atoms: int) -> None:
    from sparsefast.kernels.cuda.coders import prepare_atoms

    p = sparse_problem(21, 12, n_atoms, 3, 0.1).astype(dtype)
    layout = prepare_atoms(p.dictionary, None, 1)
    assert layout.dictionary.method == "residual"
    found = code(order, coder, p, layout=layout)
    eps = float(np.finfo(dtype).eps)
    check_least_squares(p.signals, p.dictionary, found, eps)
    check_choices(p.signals, p.dictionary, found, 4, eps, coder)


@pytest.mark.parametrize("coder", ["omp", "ols"])
@pytest.mark.parametrize(("n_features", "method"), [(3, "small"), (4, "small"), (8, "small"), (9, "gram")])
def test_more_atoms_than_pass_at_once(coder: str, n_features: int, method: str) -> None:
    p = sparse_problem(9, n_features, 2100, 2, 0.2).astype(np.float32)
    kernel = Kernel("cuda", "forward", coder)
    assert kernel.prepare(p.dictionary).dictionary.method == method
    found = kernel.code(p.signals, p.dictionary, 2)
    eps = float(np.finfo(np.float32).eps)
    check_least_squares(p.signals, p.dictionary, found, eps)
    check_choices(p.signals, p.dictionary, found, 2, eps, coder)


@in_every_order
@pytest.mark.parametrize("index_dtype", [np.int32, np.int64])
@pytest.mark.parametrize("n_features", [3, 4])
def test_rows_of_four_are_those_of_longer_rows(order: str, n_features: int, index_dtype: type) -> None:
    # Blocks of 128 signals write rows of four in wide stores, for which threads exchange indices; the last does not.
    p = sparse_problem(299, n_features, 21, 2, 0.2).astype(np.float32)
    p.signals[[3, 130]] = np.nan
    fours, fives = (code(order, "omp", p, n, index_dtype=index_dtype) for n in (4, 5))
    np.testing.assert_array_equal(fours.values, fives.values[:, :4])
    np.testing.assert_array_equal(fours.indices, fives.indices[:, :4])
    np.testing.assert_array_equal(fours.counts, fives.counts)
    assert len(np.unique(fours.indices[:, 0])) > 10


@pytest.mark.parametrize("n_features", [3, 7, 20])
def test_the_nearest_of_more_atoms_than_pass_at_once(n_features: int) -> None:
    rng = np.random.default_rng(0)
    signals, codebook = rng.standard_normal((70, n_features)), rng.standard_normal((2100, n_features))
    found = Kernel("cuda", "reversed", "nearest_code").nearest(signals, codebook)
    distances = np.linalg.norm(signals[:, None] - codebook, axis=2)
    np.testing.assert_array_equal(found.indices, distances.argmin(axis=1))
    np.testing.assert_allclose(found.distances, distances.min(axis=1), rtol=1e-14)


@pytest.mark.parametrize(("n_atoms", "n_signals"), [(90, 16900), (300, 8500), (700, 4300)])
def test_tiles_of_many_signals_have_the_largest_correlations_of_few(n_atoms: int, n_signals: int) -> None:
    p = sparse_problem(n_signals, 10, n_atoms, 3, 0.1).astype(np.float32)
    p.signals[[0, 77, n_signals - 1]] = np.nan
    p.dictionary[[8, 60]] = p.dictionary[5]
    kernel = Kernel("cuda", "shuffled", "topk")
    layout = kernel.prepare(p.dictionary)
    rows = np.arange(n_signals - 200, n_signals)
    many, few = (kernel.code(x, p.dictionary, 40, layout=layout) for x in (p.signals, p.signals[rows]))
    assert few.same_bits(many, rows)
    sizes = np.abs(p.signals[rows[:-1]].astype(np.float64) @ p.dictionary.T.astype(np.float64))
    np.testing.assert_allclose(np.abs(few.values[:-1]), -np.sort(-sizes)[:, :40], atol=1e-5)


@in_every_order
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_many_signals_have_the_nearest_codes_of_few(order: str, dtype: type) -> None:
    # From 8192 signals on, tiles of signals and atoms; their last ones are not full, and one has room for 16 features.
    p = sparse_problem(8300, 21, 150, 3, 0.1).astype(dtype)
    p.signals[[0, 77, 8299]] = np.nan
    p.dictionary[[3, 149], 20] = np.inf
    p.dictionary[[140, 90]] = p.dictionary[5]
    kernel = Kernel("cuda", order, "nearest_code")
    layout = kernel.prepare(p.dictionary)
    few = kernel.nearest(p.signals[-500:], p.dictionary, layout=layout)
    assert len(np.unique(few.indices)) > 100
    for shared_memory in (227 << 10, 56 << 10):
        emulated.set_shared_memory(shared_memory)
        many = kernel.nearest(p.signals, p.dictionary, layout=layout)
        assert few.same_bits(many, np.arange(7800, 8300))
        distances = np.linalg.norm(p.signals[1:70, None] - p.dictionary, axis=2)
        distances[~np.isfinite(distances)] = np.inf
        np.testing.assert_allclose(many.distances[1:70], distances.min(axis=1), rtol=20 * np.finfo(dtype).eps)


def test_a_method_for_each_size() -> None:
    def method(n_atoms: int, n_features: int, dtype: str, **more: bool) -> str:
        given = {"with_gram": True, "gram_given": False, **more}
        return str(emulated.CudaDictionary(n_atoms, n_features, dtype, *given.values()).method)

    assert method(100, 8, "float32") == "small"
    assert method(100, 8, "float64") == "gram"
    assert method(16384, 64, "float32") == "gram"
    assert method(16385, 64, "float32") == "residual"
    assert method(16385, 64, "float32", gram_given=True) == "gram"
    assert method(100, 64, "float32", with_gram=False) == "residual"


def test_the_border_refuses_what_does_not_fit() -> None:
    from sparsefast.kernels.cuda.coders import prepare_gram
    from sparsefast.kernels.cuda.memory import allocate, describe

    p = sparse_problem(5, 12, 20, 2, 0.1).astype(np.float32)
    layout = prepare_gram(p.dictionary, None, 1)
    good: dict[str, Any] = {
        "coder": "omp",
        "signals": describe(p.signals),
        "dictionary": layout.dictionary,
        "packed": layout.packed.on_stream(0),
        "n_nonzero": 2,
        "tol": None,
        "values": describe(values := np.empty((5, 2), np.float32)),
        "indices": describe(indices := np.empty((5, 2), np.int32)),
        "counts": describe(counts := np.empty(5, np.int32)),
        "status": describe(status := np.empty(5, np.uint8)),
        "allocate": lambda n_bytes: allocate(p.signals, 0),
        "device": 0,
        "stream": 0,
    }
    emulated.cuda_code(**good)
    address, dtype, shape, strides = good["signals"]
    few = np.zeros(16, np.float32)
    for change, message in (
        ({"signals": (address, "float64", shape, strides)}, "dictionary's dtype"),
        ({"signals": (address + 1, dtype, shape, strides)}, "not aligned"),
        ({"signals": (address, dtype, shape, strides[:1])}, "stride for each"),
        ({"signals": (address, "int8", shape, strides)}, "has dtype int8"),
        ({"signals": describe(few.reshape(2, 8))}, "dictionary's features"),
        ({"packed": describe(np.zeros(64, np.uint8))}, "too small"),
        ({"n_nonzero": 0}, "1 to n_atoms"),
        ({"n_nonzero": 21}, "1 to n_atoms"),
        ({"values": describe(values[:4])}, "wrong shape"),
        ({"values": describe(np.empty((2, 5), np.float32).T)}, "C-contiguous"),
        ({"indices": describe(indices.astype(np.int16))}, "must be int32, not int16"),
        ({"counts": describe(counts.astype(np.int64))}, "must be int32"),
        ({"status": describe(status[:4])}, "wrong shape"),
        ({"tol": describe(few[:4])}, "wrong shape"),
        ({"coder": "masked"}, "mask must be given"),
        ({"coder": "iht"}, "no CUDA kernel"),
        ({"coder": "lasso"}, "must be omp"),
    ):
        with pytest.raises((ValueError, TypeError, RuntimeError), match=message):
            emulated.cuda_code(**{**good, **change})
    emulated.set_shared_memory(1 << 10)
    with pytest.raises(ValueError, match="workspace is too small"):
        emulated.cuda_code(**good)
