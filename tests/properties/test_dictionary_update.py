"""What holds after every sweep of K-SVD, on codes that Hypothesis chooses, on every backend."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from tests.data import unit
from tests.kernels.ksvd_cases import BACKENDS, Case, decode, update
from tests.properties.tiers import EXAMPLES, MANY_EXAMPLES, for_all

VALUES = ("normal", "copies", "zero signals", "zero atoms", "norms apart", "of atoms", "one direction")

# The emulated device in one order here: the kernels' own tests run all of them.
NAMES = {
    "cuda-emulated" if b == "cuda-shuffled" else b: b for b in BACKENDS if b not in ("cuda-forward", "cuda-reversed")
}
each_backend = pytest.mark.parametrize(
    ("backend", "n_examples"),
    [pytest.param(b, EXAMPLES[name], id=name) for name, b in NAMES.items()]
    + [pytest.param(b, MANY_EXAMPLES[name], id=f"{name}-many", marks=pytest.mark.slow) for name, b in NAMES.items()],
)

recipes = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**32 - 1),
        "n": st.integers(0, 90),
        "n_features": st.integers(1, 40) | st.integers(120, 140),
        "n_atoms": st.integers(1, 30),
        "n_nonzero": st.integers(0, 6),
        "dtype": st.sampled_from(["float32", "float64"]),
        "values": st.sampled_from(VALUES),
        "scale": st.sampled_from([1.0, 1.0, 1e12, 1e-12]),
        "coefficients": st.sampled_from(["fitted", "any", "some zero"]),
        "exact": st.booleans(),
    }
)


def case_of(recipe: dict[str, Any]) -> Case:
    """Signals, atoms and codes (not those of omp: any support, with coefficients fitted or not)."""
    rng = np.random.default_rng(recipe["seed"])
    n, f, k = recipe["n"], recipe["n_features"], recipe["n_atoms"]
    s = min(recipe["n_nonzero"], k)
    x, d = rng.standard_normal((n, f)), unit(rng.standard_normal((k, f)))
    match recipe["values"]:
        case "copies":
            x, d = x[rng.integers(0, max(n, 1) // 3 + 1, n)], d[rng.integers(0, k // 2 + 1, k)]
        case "zero signals":
            x[rng.random(n) < 0.5] = 0
        case "zero atoms":
            d[rng.random(k) < 0.5] = 0
        case "norms apart":
            d *= 10.0 ** rng.integers(-4, 5, (k, 1))
        case "of atoms":
            x = rng.standard_normal((n, k)) @ d
        case "one direction":
            x = rng.standard_normal((n, 1)) * d[0]
    counts = rng.integers(0, s + 1, n).astype(np.int32)
    indices, values = np.zeros((n, s), np.int32), np.zeros((n, s))
    for i, count in enumerate(counts):
        support = rng.permutation(k)[:count]
        indices[i, :count] = support
        fitted = np.linalg.lstsq(d[support].T, x[i], rcond=None)[0]
        values[i, :count] = fitted if recipe["coefficients"] == "fitted" else rng.standard_normal(count)
        if recipe["coefficients"] == "some zero":
            values[i, :count] *= rng.random(count) < 0.5
    dtype = recipe["dtype"]
    scale = recipe["scale"]
    return Case((x * scale).astype(dtype), d.astype(dtype), indices, (values * scale).astype(dtype), counts)


@each_backend
def test_a_sweep_keeps_supports_makes_unit_atoms_and_adds_no_error(backend, n_examples):
    for_all(recipes, n_examples, lambda recipe: check(recipe, backend))


def check(recipe: dict[str, Any], backend: str) -> None:
    c = case_of(recipe)
    found = update(c, backend, exact=recipe["exact"])
    eps = float(np.finfo(c.signals.dtype).eps)
    s = c.values.shape[1]
    in_use = np.arange(s) < c.counts[:, None]
    usage = np.bincount(c.indices[in_use], minlength=len(c.dictionary))
    np.testing.assert_array_equal(found.usage, usage)
    np.testing.assert_array_equal(found.coefficients[~in_use], c.values[~in_use])
    assert np.isfinite(found.coefficients).all()
    assert np.isfinite(found.atoms).all()
    stayed = (found.atoms == c.dictionary).all(axis=1)
    assert stayed[usage == 0].all()
    norms = np.linalg.norm(found.atoms[~stayed].astype(np.float64), axis=1)
    np.testing.assert_allclose(norms, 1, rtol=0, atol=4 * eps * np.sqrt(c.signals.shape[1] + 4))
    # Each entry is rounded in a sum that the sizes of what is added up bound: signals, and every atom's contribution.
    sizes = np.linalg.norm(c.signals.astype(np.float64), axis=1)
    lengths = np.linalg.norm(c.dictionary.astype(np.float64), axis=1)
    sizes += (np.abs(c.values.astype(np.float64)) * in_use * lengths[c.indices]).sum(axis=1)
    rounding = 8 * eps * (s + 2) * (c.signals.shape[1] ** 0.5 + s + 2) * np.linalg.norm(sizes)
    before = np.linalg.norm(c.signals - decode(c, c.dictionary, c.values))
    residual = np.linalg.norm(c.signals - decode(c, found.atoms, found.coefficients), axis=1)
    assert np.linalg.norm(residual) <= before + rounding
    np.testing.assert_allclose(found.errors, residual, rtol=0, atol=rounding)
