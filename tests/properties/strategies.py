"""Problems that Hypothesis chooses: it draws a recipe of a few small numbers and names, and NumPy makes the arrays.

Sizes lie on both sides of every tile (4 features, 8 and 64 signals, 16 to 64 atoms), F on both sides of the 8 up to
which kernels keep a signal in registers. Values are numbers that a sum has exactly (`integers`), with ties and equal
atoms, or that it rounds; signals and dictionary can each be scaled to the largest numbers of their dtype, or to where
it has only a few bits left.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

# What numbers are computed in; bfloat16, which NumPy lacks, stands in float32 arrays and becomes a tensor when called.
COMPUTED_IN = {"float16": "float32", "bfloat16": "float32", "float32": "float32", "float64": "float64"}

VALUES = (
    *("normal", "integers", "copies", "near copies", "coherent", "sparse"),
    *("norms apart", "zero signals", "zero atoms", "wide"),
)
SCALES = ("one", "one", "one", "huge", "subnormal")
ROW_SCALES = (*SCALES, "each its own")
BAD = ("none", "none", "signals", "atoms", "both", "all signals", "all atoms")
TOLS = ("none", "none", "one", "each", "each with odd ones")
MASKS = ("all", "some", "little", "of the features", "of the signals", "nothing")
LAYOUTS = ("C", "Fortran", "every second", "backwards", "unaligned", "read-only", "repeated")
BATCHES = ("flat", "alone", "row", "column", "halves")
DTYPES = ("float32", "float64", "float32", "float64", "float16", "bfloat16")


@dataclass(frozen=True)
class Recipe:
    """What Hypothesis draws, and prints when an example fails."""

    seed: int
    n_signals: int
    n_features: int
    n_atoms: int
    n_nonzero: int
    """0 for n_atoms; more than n_atoms is n_atoms too."""
    dtype: str
    values: str
    signal_scale: str
    atom_scale: str
    bad: str
    tol: str
    mask: str
    positive: bool
    n_iterations: int
    step: float
    """0 for the normalised one, else that part of the largest which converges."""
    layout: str = "C"
    atom_layout: str = "C"
    batch: str = "flat"
    tensors: bool = False
    prepared: bool = False
    gram: bool = False

    @property
    def summable(self) -> bool:
        """Whether the squares of all entries lie in the range of the dtype, once the largest has been scaled to 1."""
        return self.values != "wide" or self.dtype == "float64"

    @property
    def in_torch(self) -> bool:
        """Whether arrays are tensors."""
        return self.tensors or self.dtype == "bfloat16"

    @property
    def exact(self) -> bool:
        """Whether every inner product is exact, unless bits were lost at a scale."""
        scales = self.signal_scale, self.atom_scale
        return self.values == "integers" and not {"subnormal", "each its own"} & set(scales)


@dataclass(frozen=True)
class Case:
    """The arguments of one call of any op."""

    signals: Any
    dictionary: Any
    n_nonzero: int
    tol: Any = None
    mask: Any = None
    positive: bool = False
    n_iterations: int = 10
    step: float | None = None
    gram: Any = None

    def with_rows(self, rows: Any) -> Case:
        """Only these signals."""
        tol = self.tol[rows] if isinstance(self.tol, np.ndarray) else self.tol
        return replace(self, signals=self.signals[rows], mask=self.mask[rows], tol=tol)

    def seen(self, op: str) -> np.ndarray:
        """The signals as the op sees them: zero where they are hidden from it."""
        return np.where(self.mask, self.signals, 0).astype(self.signals.dtype) if op == "omp_masked" else self.signals


def recipes(most_signals: int, *, forms: bool) -> st.SearchStrategy[Recipe]:
    """Recipes; with `forms` those in which arrays lie in memory in all ways, are of all kinds and have 16 bits too."""
    few = min(most_signals, 9)
    form = {
        "layout": st.sampled_from(LAYOUTS),
        "atom_layout": st.sampled_from(LAYOUTS[:-1]),
        "batch": st.sampled_from(BATCHES),
        "tensors": st.booleans(),
        "prepared": st.booleans(),
        "gram": st.booleans(),
    }
    return st.builds(
        Recipe,
        seed=st.integers(0, 2**32 - 1),
        n_signals=st.one_of(st.integers(0, few), st.integers(1, few), st.sampled_from([1, few, most_signals])),
        n_features=st.one_of(st.integers(1, 8), st.integers(9, 41)),
        n_atoms=st.one_of(st.integers(1, 9), st.integers(1, 70), st.integers(17, 70), st.sampled_from([128, 257, 301])),
        n_nonzero=st.one_of(st.integers(1, 4), st.integers(0, 12)),
        dtype=st.sampled_from(DTYPES if forms else DTYPES[:2]),
        values=st.sampled_from(VALUES),
        signal_scale=st.sampled_from(ROW_SCALES),
        atom_scale=st.sampled_from(SCALES),
        bad=st.sampled_from(BAD),
        tol=st.sampled_from(TOLS),
        mask=st.sampled_from(MASKS),
        positive=st.booleans(),
        n_iterations=st.one_of(st.integers(1, 4), st.integers(1, 30)),
        step=st.sampled_from([0.0, 0.0, 0.5, 0.99, 3.0]),
        **(form if forms else {}),
    )


def make(recipe: Recipe) -> Case:
    """The problem of a recipe, in plain arrays of the dtype that it is computed in."""
    rng = np.random.default_rng(recipe.seed)
    dtype = np.dtype(COMPUTED_IN[recipe.dtype])
    signals, atoms = _numbers(recipe, rng)
    n_signals, n_atoms = len(signals), len(atoms)
    signals, atoms = round_to(signals, recipe.dtype), round_to(atoms, recipe.dtype)
    rows = np.array([_exponent(row) for row in signals], int).reshape(-1, 1)
    signals = _to_scale(signals, rows, recipe.signal_scale, recipe.dtype, rng)
    atoms = _to_scale(atoms, np.full((n_atoms, 1), _exponent(atoms)), recipe.atom_scale, recipe.dtype, rng)

    mask = _mask(recipe.mask, signals.shape, rng)
    tol = _tol(recipe.tol, np.where(mask, signals, 0), dtype, rng)
    if recipe.bad in ("signals", "both", "all signals"):
        _spoil(signals, 1.0 if recipe.bad == "all signals" else 0.4, rng)
    if recipe.bad in ("atoms", "both", "all atoms"):
        _spoil(atoms, 1.0 if recipe.bad == "all atoms" else 0.2, rng)
    if recipe.layout == "repeated" and n_signals:
        signals[:] = signals[0]

    n_nonzero = min(recipe.n_nonzero or n_atoms, n_atoms)
    step = recipe.step / largest_square(atoms) if recipe.step else None
    return Case(
        signals.astype(dtype),
        atoms.astype(dtype),
        n_nonzero,
        tol,
        mask,
        recipe.positive,
        recipe.n_iterations,
        step if step is not None and 0 < step < np.inf else None,
    )


def largest_square(atoms: np.ndarray) -> float:
    """||D||_2^2, whose inverse is the longest step that surely converges; of the finite atoms (K, F)."""
    finite = np.where(np.isfinite(atoms).all(axis=1, keepdims=True), atoms, 0).astype(np.float64)
    e = _exponent(finite)
    with np.errstate(over="ignore", under="ignore"):
        return float(np.ldexp(np.linalg.norm(np.ldexp(finite, -e), 2) ** 2, 2 * e)) or 1.0


def _numbers(recipe: Recipe, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Signals (N, F) and atoms (K, F) with entries around 1, in float64."""
    n, f, k = recipe.n_signals, recipe.n_features, recipe.n_atoms
    if recipe.values == "integers":
        return rng.integers(-2, 3, (n, f)).astype(np.float64), rng.integers(-1, 2, (k, f)).astype(np.float64)
    signals, atoms = rng.standard_normal((n, f)), rng.standard_normal((k, f))
    if recipe.values == "copies":  # equal atoms, opposite ones, none; signals that are atoms
        atoms = atoms[rng.integers(0, 1 + k // 3, k)] * rng.choice([-1.0, 1.0, 1.0, 0.0], (k, 1))
        signals[::2] = atoms[rng.integers(0, k, len(signals[::2]))]
    elif recipe.values == "near copies":
        eps = np.finfo(COMPUTED_IN[recipe.dtype]).eps
        atoms = atoms[rng.integers(0, 1 + k // 3, k)] * (1 + 4 * eps * rng.integers(-2, 3, (k, f)))
    elif recipe.values in ("sparse", "coherent"):
        if recipe.values == "coherent":
            atoms = rng.standard_normal(f) + atoms * 10.0 ** -rng.integers(0, 3)
        atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
        codes = rng.integers(1, 4, (n, 3, 1)) * atoms[rng.integers(0, k, (n, 3))]
        signals = codes.sum(axis=1) + 1e-4 * signals * rng.integers(0, 2)
    elif recipe.values == "norms apart":
        atoms *= np.ldexp(1.0, rng.integers(-8, 9, (k, 1)))
    elif recipe.values == "zero signals":
        signals[rng.random(n) < 0.7] = 0
    elif recipe.values == "zero atoms":
        atoms[rng.random(k) < 0.7] = 0
    elif recipe.values == "wide":  # some squares vanish beside others, in float32
        signals *= np.ldexp(1.0, rng.integers(-100, 1, (n, f)))
        atoms *= np.ldexp(1.0, rng.integers(-100, 1, (k, f)))
    return signals, atoms


def round_to(x: np.ndarray, dtype: str) -> np.ndarray:
    """The nearest numbers of the dtype, or with bfloat16 the next towards zero, in float64."""
    with np.errstate(over="ignore", under="ignore"):
        if dtype != "bfloat16":
            return x.astype(dtype).astype(np.float64)
        bits = x.astype(np.float32).view(np.int32) & ~0xFFFF
        return bits.view(np.float32).astype(np.float64)


def _exponent(x: np.ndarray) -> int:
    """The e for which the largest |x| / 2**e lies in [1/2, 1); x is finite."""
    return int(np.frexp(np.abs(x).max(initial=0.0))[1])


def _to_scale(x: np.ndarray, exponents: np.ndarray, scale: str, dtype: str, rng: np.random.Generator) -> np.ndarray:
    """The rows of x times powers of two: their largest entries are 2**exponents, and become those of the scale."""
    # The exponents of the largest numbers, of the smallest normal ones, and how many bits a subnormal one can have.
    most, least, bits = {
        "float16": (16, -13, 10),
        "bfloat16": (128, -125, 7),
        "float32": (128, -125, 23),
        "float64": (1024, -1021, 52),
    }[dtype]
    huge, subnormal = most - exponents, least - rng.integers(0, bits) - exponents
    shifts = {"one": 0 * exponents, "huge": huge, "subnormal": subnormal}
    if scale == "each its own":
        shift = np.choose(rng.integers(0, 3, exponents.shape), list(shifts.values()))
    else:
        shift = shifts[scale]
    return round_to(np.ldexp(x, shift), dtype)


def _mask(pattern: str, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    n, f = shape
    if pattern == "some":
        return rng.random(shape) < 0.7
    if pattern == "little":
        return rng.random(shape) < 1.5 / f
    if pattern == "of the features":
        return np.repeat(rng.random((1, f)) < 0.6, n, axis=0)
    if pattern == "of the signals":
        return np.repeat(rng.random((n, 1)) < 0.6, f, axis=1)
    return np.full(shape, pattern == "all")


def _tol(pattern: str, signals: np.ndarray, dtype: np.dtype, rng: np.random.Generator) -> Any:
    """Of the size of the norms of the signals (N, F), whatever their scale."""
    if pattern == "none":
        return None
    with np.errstate(over="ignore", under="ignore"):
        exponents = np.array([_exponent(row) for row in signals], int)
        norms = np.ldexp(np.linalg.norm(np.ldexp(signals, -exponents[:, None]), axis=1), exponents)
        tol = (norms * rng.uniform(0, 1.1, len(norms)) ** 2).astype(dtype)
    tol[np.isinf(tol)] = np.finfo(dtype).max
    if pattern == "one":
        return float(tol[0]) if len(tol) else 0.5
    if pattern == "each with odd ones":
        odd = rng.random(len(tol)) < 0.6
        tol[odd] = rng.choice([0.0, np.nan, np.inf, -1.0, -0.0], int(odd.sum()))
    return tol


def _spoil(rows: np.ndarray, share: float, rng: np.random.Generator) -> None:
    """Put NaN or infinity somewhere into that share of the rows."""
    for i in np.flatnonzero(rng.random(len(rows)) < share):
        rows[i, rng.integers(0, rows.shape[1])] = rng.choice([np.nan, np.inf, -np.inf])
