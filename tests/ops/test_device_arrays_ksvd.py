"""The way of tensors on a GPU through the ops that learn a dictionary, walked without one, as test_device_arrays.py
walks that of the coders. What only a device can show is in test_gpu_ksvd.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import sparsefast
from sparsefast import DictionaryStats, device_kinds, dispatch, ksvd_update, mod_update, online_update, replace_atoms
from sparsefast.ops.ksvd_update import DictionaryUpdate
from tests.ops.helper import F, K, S, problem

pytest.importorskip("sparsefast._emulated", reason="development builds alone have the emulated device")
pytestmark = pytest.mark.usefixtures("gpu")

UPDATES: dict[str, dict[str, Any]] = {"approx": {}, "exact": {"method": "exact"}, "parallel": {"parallel": True}}
every_update = pytest.mark.parametrize("options", UPDATES.values(), ids=UPDATES)


def coded(dtype: str = "float32") -> tuple[torch.Tensor, torch.Tensor, sparsefast.SparseCode]:
    """Coded there, with int64 indices."""
    signals, dictionary = (torch.from_numpy(x) for x in problem(dtype))
    return signals, dictionary, sparsefast.omp(signals, dictionary, S)


def on_the_emulated(
    signals: torch.Tensor, dictionary: torch.Tensor, code: sparsefast.SparseCode, **options: Any
) -> DictionaryUpdate:
    fields = (np.asarray(x) for x in (code.indices, code.values, code.counts, code.status))
    here = sparsefast.SparseCode._make(*fields, code.n_atoms)
    return ksvd_update(signals.numpy(), dictionary.numpy(), here, backend="cuda-emulated", **options)


def parts(update: DictionaryUpdate) -> tuple[Any, ...]:
    return update.dictionary, update.code.values, update.errors, update.usage


def assert_same(found: DictionaryUpdate, wanted: DictionaryUpdate) -> None:
    for a, b in zip(parts(found), parts(wanted), strict=True):
        assert isinstance(a, torch.Tensor)
        np.testing.assert_array_equal(a.numpy().reshape(b.shape), b)


def forbid_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on nothing may be read back."""

    def read(*_: Any) -> None:
        raise AssertionError("the device was waited for")

    monkeypatch.setattr(device_kinds.TorchDeviceKind, "to_numpy", read)
    for name in ("item", "tolist", "cpu", "__bool__", "__float__", "__int__", "__index__", "nonzero"):
        monkeypatch.setattr(torch.Tensor, name, read)


@every_update
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_tensors_go_to_the_kernel_and_come_back_as_tensors(options: dict[str, Any], dtype: str) -> None:
    x, d, code = coded(dtype)
    wanted = on_the_emulated(x, d, code, **options)
    assert_same(ksvd_update(x, d, code, **options), wanted)
    assert_same(ksvd_update(x.repeat_interleave(2, 1)[:, ::2], sparsefast.prepare(d), code, **options), wanted)
    batch = sparsefast.SparseCode._make(
        *(t[:36].reshape(4, 9, *t.shape[1:]) for t in (code.indices, code.values, code.counts, code.status)), K
    )
    found = ksvd_update(x[:36].reshape(4, 9, F), d, batch, **options)
    assert found.errors.shape == (4, 9)
    assert_same(found, on_the_emulated(x[:36], d, code[:36], **options))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_16_bits_are_computed_in_float32_and_rounded_once(dtype: torch.dtype) -> None:
    x, d, code = coded()
    x, d, code = x.to(dtype), d.to(dtype), code.to(dtype)
    found, wide = ksvd_update(x, d, code), ksvd_update(x.float(), d.float(), code.to(torch.float32))
    for a, b in zip(parts(found)[:3], parts(wide)[:3], strict=True):
        assert a.dtype == dtype and torch.equal(a, b.to(dtype))


def test_nothing_waits_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    x, d, code = coded()
    stats = DictionaryStats(K, F, like=x)
    forbid_waiting(monkeypatch)
    for options in UPDATES.values():
        ksvd_update(x, d, code, **options)
    stats.add(x, code, forgetting=0.5)
    online_update(stats, d, n_iterations=2)
    with pytest.raises(AssertionError, match="waited for"):  # as its docstring says
        mod_update(x, d, code)


def test_check_finite_looks_at_all_arguments() -> None:
    x, d, code = coded()
    ksvd_update(x, d, code, check_finite=True)
    bad = x.clone()
    bad[7, 3] = torch.inf
    with pytest.raises(ValueError, match=r"signals holds NaN or infinity, first in row 7"):
        ksvd_update(bad, d, code, check_finite=True)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_statistics_and_the_atoms_they_give(dtype: str) -> None:
    x, d, code = coded(dtype)
    stats = DictionaryStats(K, F, like=x).add(x[:20], code[:20]).add(x[20:], code[20:])
    assert stats.device == "cuda:0" and isinstance(stats.A, torch.Tensor)
    dense = code.to_dense().numpy().astype(float)
    np.testing.assert_allclose(stats.A.numpy(), dense.T @ dense, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(stats.B.numpy(), dense.T @ x.numpy(), rtol=1e-12, atol=1e-12)
    assert stats.n_signals == len(x)
    assert stats.energy == pytest.approx(float((x.double() ** 2).sum()), rel=1e-14)
    for constraint in ("ball", "sphere"):
        found = online_update(stats, d, constraint=constraint, n_iterations=2)
        there = dispatch.resolve("online_update", "cpu", dtype, "reference").module
        wanted = np.empty_like(d.numpy())
        there.online_update(stats.A.numpy(), stats.B.numpy(), d.numpy(), 2, constraint == "sphere", wanted, 1)
        np.testing.assert_allclose(found.numpy(), wanted, atol=4e-7 if dtype == "float32" else 1e-13)


def test_a_code_that_names_no_atom_is_refused_before_it_is_an_index() -> None:
    x, d, code = coded()
    bad = code.indices.clone()
    bad[3, 0] = K
    with pytest.raises(ValueError, match=f"indices run from 0 to {K}"):
        mod_update(x, d, sparsefast.SparseCode._make(bad, code.values, code.counts, code.status, K))


def test_the_method_of_optimal_directions_and_atoms_to_replace() -> None:
    x, d, code = coded("float64")
    found = mod_update(x, d, code)
    fields = (np.asarray(t) for t in (code.indices, code.values, code.counts, code.status))
    here = sparsefast.SparseCode._make(*fields, K)
    wanted = mod_update(x.numpy(), d.numpy(), here, backend="cpu")
    for a, b in zip(parts(found), parts(wanted), strict=True):
        assert isinstance(a, torch.Tensor)
        np.testing.assert_allclose(a.numpy(), b, rtol=1e-9, atol=1e-11)
    atoms, replaced = replace_atoms(x, found.dictionary, found.errors, found.usage, min_use=4)
    same, also = replace_atoms(*(t.numpy() for t in (x, found.dictionary, found.errors, found.usage)), min_use=4)
    assert isinstance(atoms, torch.Tensor) and len(replaced)
    np.testing.assert_array_equal(atoms.numpy(), same)
    np.testing.assert_array_equal(replaced, also)


def test_vmap_takes_one_after_the_other() -> None:
    x, d, code = coded("float64")
    stacked, usage = torch.vmap(lambda signals: parts(ksvd_update(signals, d, code))[::3])(torch.stack([x, 2 * x]))
    assert torch.equal(stacked[0], ksvd_update(x, d, code).dictionary)
    assert torch.equal(usage[0], usage[1])
