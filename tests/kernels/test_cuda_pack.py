"""Packing in one launch, which small dictionaries get, and in several: the same bits. On the emulated device."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.kernels.helper import ORDERS

emulated = pytest.importorskip("sparsefast._emulated", reason="development builds alone have the emulated device")
N_ATOMS, N_FEATURES, TOO_MANY = 90, 21, 380
"""So many features that a dictionary is not packed at once."""


def packed(dictionary: np.ndarray, gram: np.ndarray | None, with_gram: bool) -> dict[str, Any]:
    """The parts of a packed dictionary, as csrc/cuda/omp/layout.cuh has them."""
    from sparsefast.kernels.cuda.coders import prepare_atoms, prepare_gram

    layout = (prepare_gram if with_gram else prepare_atoms)(dictionary, gram, 1)
    address, _, (n_bytes,), _ = layout.packed.buffer.description
    owner = layout.packed.buffer.owner
    raw = owner[address - owner.ctypes.data :][:n_bytes]
    n_atoms, n_features = dictionary.shape
    ld, ld_atoms = -(-n_atoms // 32) * 32, -(-n_features // 4) * 4
    shapes = {"exponent": (16,), "atoms": (n_atoms, ld_atoms), "transposed": (n_features, ld)}
    shapes |= {"diagonal": (ld,), "half": (ld,)} | ({"gram": (n_atoms, ld)} if with_gram else {})
    parts, used = {}, 0
    for name, shape in shapes.items():
        size = int(np.prod(shape)) * dictionary.itemsize
        parts[name] = raw[used : used + size].view(dictionary.dtype).reshape(shape).copy()
        used += -(-size // 64) * 64
    assert used == n_bytes
    parts["exponent"] = int(parts["exponent"].view(np.int32)[0])
    return parts


def dictionaries(dtype: type) -> dict[str, np.ndarray]:
    plain = np.random.default_rng(0).standard_normal((N_ATOMS, N_FEATURES)).astype(dtype)
    bad, tiny = plain.copy(), plain * np.finfo(dtype).tiny
    # Its largest entry stands in an atom that is not finite, and does not count.
    bad[40, 3], bad[40, 17], bad[7, 0] = np.nan, 1e6, -np.inf
    return {"plain": plain, "bad": bad, "tiny": tiny, "zero": plain * 0}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("gram", ["made", "given", "none"])
@pytest.mark.parametrize("what", ["plain", "bad", "tiny", "zero"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_dictionary_packed_at_once_has_the_same_bits(order: str, gram: str, what: str, dtype: type) -> None:
    emulated.set_order(order)
    atoms = dictionaries(dtype)[what]
    more = np.zeros((N_ATOMS, TOO_MANY), dtype)  # zeros add nothing to any sum
    more[:, :N_FEATURES] = atoms
    strided = np.repeat(np.asfortranarray(atoms), 2, axis=1)[:, ::2]
    finite = np.where(np.isfinite(atoms), atoms, 0)
    matrix = finite @ finite.T if gram == "given" else None
    wanted = packed(more, matrix, gram != "none")
    for same in (atoms, strided):
        found = packed(same, matrix, gram != "none")
        assert found["exponent"] == wanted["exponent"]
        assert what == "tiny" or found["exponent"] == {"plain": 1, "bad": 1, "zero": 0}[what]
        np.testing.assert_array_equal(found["atoms"][:, :N_FEATURES], wanted["atoms"][:, :N_FEATURES])
        assert not found["atoms"][:, N_FEATURES:].any()
        np.testing.assert_array_equal(found["transposed"], wanted["transposed"][:N_FEATURES])
        for name in found.keys() - {"exponent", "atoms", "transposed"}:
            assert found[name].tobytes() == wanted[name].tobytes(), name
