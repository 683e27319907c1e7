"""What only a GPU can show of the ops that learn a dictionary, as test_gpu.py does of the coders: arrays of the device
in and out, its streams and graphs; and nothing waits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import sparsefast
from sparsefast import DictionaryStats, SparseCode, dispatch, ksvd_update, mod_update, online_update, replace_atoms
from tests.kernels.ksvd_cases import case

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no GPU"),
]

UPDATES: dict[str, dict[str, Any]] = {
    "approx": {},
    "exact": {"method": "exact"},
    "parallel": {"parallel": True},
    "parallel-exact": {"parallel": True, "method": "exact"},
}
every_update = pytest.mark.parametrize("options", UPDATES.values(), ids=UPDATES)
# A Gram matrix of one block of elements and of several, rows for which there is none, and features that fill no lanes.
SIZES = [(5000, 64, 96, 6), (3000, 100, 40, 4), (700, 200, 24, 3), (4000, 3, 9, 2)]


def problem(*size: int, dtype: str = "float32") -> tuple[torch.Tensor, torch.Tensor, SparseCode]:
    c = case(*(size or SIZES[0]), dtype=dtype, index="int64")
    fields = (torch.from_numpy(x).cuda() for x in (c.indices, c.values, c.counts, np.zeros(len(c.counts), np.uint8)))
    x, d = (torch.from_numpy(a).cuda() for a in (c.signals, c.dictionary))
    return x, d, SparseCode._make(*fields, len(d))


def on_cpu(code: SparseCode) -> SparseCode:
    return SparseCode._make(*(t.cpu() for t in (code.indices, code.values, code.counts, code.status)), code.n_atoms)


def everything(x: torch.Tensor, d: torch.Tensor, code: SparseCode, stats: DictionaryStats) -> list[torch.Tensor]:
    found = [ksvd_update(x, d, code, **options) for options in UPDATES.values()]
    stats.add(x, code, forgetting=0.5)
    atoms = online_update(stats, d, n_iterations=2)
    return [t for f in found for t in (f.dictionary, f.code.values, f.errors, f.usage)] + [atoms, stats.A, stats.B]


def test_the_extension_has_its_kernels_here() -> None:
    for op in ("ksvd_update", "dictionary_stats", "online_update"):
        assert dispatch.why_not(op, "cuda") is None


@every_update
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_answers_are_those_of_the_cpu(options: dict[str, Any], size: tuple[int, ...]) -> None:
    x, d, code = problem(*size, dtype="float64")
    found = ksvd_update(x, d, code, **options)
    wanted = ksvd_update(x.cpu(), d.cpu(), on_cpu(code), **options)
    # A singular vector is known to the solver's residual over its gap.
    atol = 1e-6 if options.get("method") == "exact" else 1e-10
    assert found.dictionary.is_cuda and found.code.values.is_cuda
    torch.testing.assert_close(found.dictionary.cpu(), wanted.dictionary, rtol=0, atol=atol)
    torch.testing.assert_close(found.errors.cpu(), wanted.errors, rtol=0, atol=10 * atol)
    assert torch.equal(found.usage.cpu(), wanted.usage)


@pytest.mark.parametrize("method", ["approx", "exact"])
def test_float32_leaves_the_error_that_the_cpu_leaves(method: str) -> None:
    x, d, code = problem()
    found = ksvd_update(x, d, code, method=method)
    wanted = ksvd_update(x.cpu(), d.cpu(), on_cpu(code), method=method)
    assert float(found.errors.double().norm()) == pytest.approx(float(wanted.errors.double().norm()), rel=3e-5)
    residual = (x - found.code.decode(found.dictionary)).norm(dim=1)
    torch.testing.assert_close(found.errors, residual, rtol=1e-3, atol=1e-4)


@every_update
def test_every_run_gives_the_same_bits(options: dict[str, Any]) -> None:
    x, d, code = problem(20000, 64, 32, 4)
    first = ksvd_update(x, d, code, **options)
    for _ in range(5):
        again = ksvd_update(x, d, code, **options)
        assert torch.equal(again.dictionary, first.dictionary) and torch.equal(again.errors, first.errors)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_statistics_and_their_atoms_are_those_of_the_cpu(dtype: str) -> None:
    x, d, code = problem(dtype=dtype)
    x[3, 5], x[9, 0] = torch.nan, torch.inf
    stats = DictionaryStats(*d.shape, like=x).add(x, code)
    wanted = DictionaryStats(*d.shape, like=x.cpu()).add(x.cpu(), on_cpu(code))
    for name in ("A", "B", "usage", "totals"):
        torch.testing.assert_close(getattr(stats, name).cpu(), getattr(wanted, name), rtol=1e-12, atol=1e-9)
    assert stats.n_signals == len(x) - 2
    for constraint in ("ball", "sphere"):
        found = online_update(stats, d, constraint=constraint, n_iterations=2)
        there = online_update(wanted, d.cpu(), constraint=constraint, n_iterations=2)
        torch.testing.assert_close(found.cpu(), there, rtol=0, atol=1e-6 if dtype == "float32" else 1e-11)


def test_arrays_of_any_strides_and_types() -> None:
    x, d, code = problem(600, 49, 30, 3)
    expected = ksvd_update(x, d, code)
    for signals, dictionary in (
        (x.t().contiguous().t(), d.t().contiguous().t()),
        (x.repeat_interleave(2, 1)[:, ::2], d),
    ):
        found = ksvd_update(signals, dictionary, code)
        assert torch.equal(found.dictionary, expected.dictionary) and torch.equal(found.errors, expected.errors)
    half = ksvd_update(x.bfloat16(), d.bfloat16(), code.to(torch.bfloat16))
    wide = ksvd_update(x.bfloat16().float(), d.bfloat16().float(), code.to(torch.bfloat16).to(torch.float32))
    assert torch.equal(half.dictionary, wide.dictionary.bfloat16())


def test_entries_that_name_no_atom_are_left_out() -> None:
    x, d, code = problem(600, 49, 30, 3)
    bad = code.indices.clone()
    rows = torch.nonzero(code.counts == 3)[:, 0]
    bad[rows, 2] = torch.tensor([-1, 30, 2**40, -(2**62)], device="cuda").repeat(len(rows))[: len(rows)]
    counts = code.counts.clone()
    counts[rows] = 2
    found = ksvd_update(x, d, SparseCode._make(bad, code.values, code.counts, code.status, 30))
    wanted = ksvd_update(x, d, SparseCode._make(code.indices, code.values, counts, code.status, 30))
    assert torch.equal(found.dictionary, wanted.dictionary) and torch.equal(found.errors, wanted.errors)


def test_nothing_waits_for_the_device() -> None:
    given = problem(1500, 64, 48, 4)
    stats = DictionaryStats(48, 64, like=given[0])
    everything(*given, stats)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        everything(*given, stats)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_calls_can_be_captured_in_a_graph() -> None:
    x, d, code = problem(1500, 64, 48, 4)
    expected = everything(x, d, code, DictionaryStats(48, 64, like=x))
    stats = DictionaryStats(48, 64, like=x)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = everything(x, d, code, stats)
    for t in (stats.A, stats.B, stats.usage, stats.totals):
        t.zero_()
    graph.replay()
    for a, b in zip(captured, expected, strict=True):
        assert torch.equal(a, b)
    x.mul_(2)
    graph.replay()
    torch.testing.assert_close(captured[2], ksvd_update(x, d, code).errors, rtol=0, atol=0)


def test_calls_on_another_stream_see_what_was_queued_there() -> None:
    x, d, code = problem(1500, 64, 48, 4)
    expected = ksvd_update(3 * x, d, code)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        busy = torch.randn(4096, 4096, device="cuda")
        for _ in range(4):
            busy = busy @ busy
        found = ksvd_update(3 * x, d, code)
    stream.synchronize()
    assert torch.equal(found.dictionary, expected.dictionary)


def test_a_learning_loop_on_the_device() -> None:
    x, d, _ = problem(5000, 64, 96, 5, dtype="float64")
    totals = []
    for _ in range(3):
        found = ksvd_update(x, d, sparsefast.omp(x, d, 5))
        totals.append(float(found.errors.square().sum()))
        d, _ = replace_atoms(x, found.dictionary, found.errors, found.usage)
    assert totals[2] < totals[0]
    mod = mod_update(x, d, sparsefast.omp(x, d, 5))
    assert mod.dictionary.is_cuda
    torch.testing.assert_close(mod.errors, (x - mod.code.decode(mod.dictionary)).norm(dim=1), rtol=1e-9, atol=1e-10)


def test_cupy_arrays_are_taken_and_given_back() -> None:
    cupy = pytest.importorskip("cupy")
    x, d, code = problem(600, 49, 30, 3)
    fields = (cupy.asarray(t) for t in (code.indices, code.values, code.counts, code.status))
    found = ksvd_update(cupy.asarray(x), cupy.asarray(d), SparseCode._make(*fields, 30))
    assert isinstance(found.dictionary, cupy.ndarray)
    np.testing.assert_array_equal(cupy.asnumpy(found.dictionary), ksvd_update(x, d, code).dictionary.cpu().numpy())
