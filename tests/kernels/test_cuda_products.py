"""The products of sparse codes in CUDA, on the emulated device in every order of threads and on a real one, against
sums in float64 written out with NumPy."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest

from tests.kernels.helper import DEVICE, ORDERS, has_gpu, on_device

VARIANTS = [*(ORDERS if importlib.util.find_spec("sparsefast._emulated") else ()), *([DEVICE] if has_gpu() else [])]
if not VARIANTS:
    pytest.skip("development builds alone have the emulated device", allow_module_level=True)

from sparsefast.kernels.cuda import products  # noqa: E402

each = pytest.mark.parametrize("variant", [pytest.param(v, id=f"cuda-{v}") for v in VARIANTS])
both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
# Signals, features, atoms and entries: one of all, a list that is cut into parts, atoms without entries, one feature.
SHAPES = ((1, 1, 1, 1), (40, 7, 9, 3), (3000, 3, 4, 3), (5, 65, 300, 2), (33, 1, 5, 4), (260, 300, 3, 1))
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


class Case:
    """Codes whose padding holds what must not be looked at where counts say so, and what they are multiplied with."""

    def __init__(self, shape: tuple[int, int, int, int], dtype: type) -> None:
        n, f, k, s = shape
        rng = np.random.default_rng(0)
        self.dictionary, self.signals, self.others = (rng.standard_normal((m, f)).astype(dtype) for m in (k, n, n))
        self.values, self.less = (rng.standard_normal((n, s)).astype(dtype) for _ in range(2))
        # Most entries name atom 0.
        self.indices = (rng.integers(0, k, (n, s)) * (rng.random((n, s)) < 0.4)).astype(np.int64)
        self.counts = rng.integers(0, s + 1, n).astype(np.int32)
        self.used = np.arange(s) < self.counts[:, None]


def call(variant: str, function: str, out: np.ndarray, *arrays: Any) -> np.ndarray:
    """A function's result, written over numbers that would be seen."""
    out[...] = -7e7
    function_of = getattr(products, function)
    at = 4 if function == "accumulate" else len(arrays)  # where the output stands
    if variant == DEVICE:
        there, given = on_device(out), [on_device(a) for a in arrays]
        function_of(*given[:at], there, *given[at:])
        return np.asarray(there.cpu().numpy())
    from sparsefast import _emulated

    _emulated.set_order(variant)
    function_of(*arrays[:at], out, *arrays[at:])
    return out


def summed(c: Case, weights: np.ndarray, rows: np.ndarray) -> np.ndarray:
    out = np.zeros(c.dictionary.shape)
    np.add.at(out, c.indices[c.used], (weights[..., None] * rows[:, None].astype(np.float64))[c.used])
    return out


def close(found: np.ndarray, expected: np.ndarray, terms: int) -> None:
    eps = float(np.finfo(found.dtype).eps)
    np.testing.assert_allclose(found, expected, rtol=0, atol=4 * eps * (terms + 2) * max(1.0, np.abs(expected).max()))


@each
@both_dtypes
@each_shape
def test_products_are_their_definitions(variant: str, dtype: type, shape: tuple[int, int, int, int]) -> None:
    c, (n, f, k, s) = Case(shape, dtype), shape
    decoded = call(variant, "decode", np.empty((n, f), dtype), c.values, c.indices, c.counts, c.dictionary)
    atoms = c.dictionary.astype(np.float64)[c.indices]
    close(decoded, (c.values[..., None] * atoms).sum(1), s)
    found = call(variant, "correlate", np.empty((n, s), dtype), c.signals, c.indices, c.counts, c.dictionary)
    close(found, np.where(c.used, (atoms * c.signals[:, None]).sum(2), 0), f)
    sums = call(variant, "accumulate", np.empty((k, f), dtype), c.values, c.indices, c.counts, c.signals)
    expected = summed(c, c.values, c.signals)
    close(sums, expected, 1)  # in double precision, and then rounded once
    less = (c.less, c.others)
    sums = call(variant, "accumulate", np.empty((k, f), dtype), c.values, c.indices, c.counts, c.signals, *less)
    close(sums, expected - summed(c, c.less, c.others), 1)


@each
def test_strides_do_not_matter(variant: str) -> None:
    c = Case((50, 6, 11, 3), np.float32)
    wide = np.full((100, 18), np.nan, np.float32)
    wide[::2, ::3] = c.signals
    for name, rows, signals in (
        ("decode", np.asfortranarray(c.dictionary), None),
        ("correlate", np.asfortranarray(c.dictionary), wide[::2, ::3]),
        ("accumulate", wide[::2, ::3], None),
    ):
        plain = c.dictionary if name != "accumulate" else c.signals
        shape = {"decode": (50, 6), "correlate": (50, 3), "accumulate": (11, 6)}[name]
        first = c.values if signals is None else signals
        dense = c.values if signals is None else c.signals
        a = call(variant, name, np.empty(shape, np.float32), first, c.indices, c.counts, rows)
        b = call(variant, name, np.empty(shape, np.float32), dense, c.indices, c.counts, plain)
        np.testing.assert_array_equal(a, b)


@each
def test_indices_that_name_no_atom_reach_no_memory(variant: str) -> None:
    c = Case((6, 4, 5, 2), np.float64)
    c.counts[:], c.used[:] = 2, True
    good = c.indices.copy()
    for row, wrong in enumerate((-1, 5, 2**40, -(2**62))):
        c.indices[row, 1] = wrong
        c.used[row, 1] = False
    decoded = call(variant, "decode", np.empty((6, 4)), c.values, c.indices, c.counts, c.dictionary)
    assert np.isnan(decoded[:4]).all() and np.isfinite(decoded[4:]).all()
    found = call(variant, "correlate", np.empty((6, 2)), c.signals, c.indices, c.counts, c.dictionary)
    assert (np.isnan(found) == ~c.used).all()
    sums = call(variant, "accumulate", np.empty((5, 4)), c.values, c.indices, c.counts, c.signals)
    c.indices = good
    close(sums, summed(c, c.values, c.signals), 1)


@each
def test_signals_that_are_left_out_add_nothing(variant: str) -> None:
    c = Case((20, 3, 4, 2), np.float64)
    c.counts[3], c.used[3], c.values[3], c.signals[3] = 0, False, np.nan, np.inf
    sums = call(variant, "accumulate", np.empty((4, 3)), c.values, c.indices, c.counts, c.signals)
    assert np.isfinite(sums).all()
    decoded = call(variant, "decode", np.empty((20, 3)), c.values, c.indices, c.counts, c.dictionary)
    assert np.isnan(decoded[3]).all() and np.isfinite(decoded[4:]).all()


def test_what_the_extension_refuses() -> None:
    emulated = pytest.importorskip("sparsefast._emulated", reason="development builds alone have the emulated device")
    from sparsefast.kernels.cuda.memory import allocate, describe

    c = Case((6, 4, 5, 2), np.float32)
    out = np.empty((5, 4), np.float32)
    n_bytes = emulated.cuda_accumulate_workspace_bytes("float32", 6, 2, 5, 4)
    good = {
        **{name: describe(getattr(c, name)) for name in ("values", "indices", "counts", "signals")},
        "less_values": None, "less_signals": None, "out": describe(out),
        "workspace": allocate(out, n_bytes).description, "device": 0, "stream": 0,
    }  # fmt: skip
    emulated.cuda_accumulate(**good)
    for change, message in (
        ({"signals": describe(c.signals[:5])}, "signals has the wrong shape"),
        ({"signals": describe(c.signals.astype(np.float16))}, "float32 or float64"),
        ({"values": describe(c.values.astype(np.float64))}, "values must be float32"),
        ({"indices": describe(c.indices[:, :1])}, "C-contiguous|wrong shape"),
        ({"counts": describe(c.counts.astype(np.int64))}, "counts must be int32"),
        ({"less_values": describe(c.less), "less_signals": describe(c.others[:, :2])}, "less_signals has the wrong"),
        ({"out": describe(out[:, :3])}, "C-contiguous|wrong shape"),
        ({"workspace": allocate(out, n_bytes // 2).description}, "too small"),
    ):
        with pytest.raises((ValueError, TypeError), match=message):
            emulated.cuda_accumulate(**{**good, **change})
