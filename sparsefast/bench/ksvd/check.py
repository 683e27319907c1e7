"""Is a result right? Each step is replayed from the definition in float64, along the way that the contender took.

A sweep: what atom k sees are the new atoms before it and the old ones after it. From these, with R in float64,

    approx   d' is along u = Eᵀg, E = R_I + g dᵀ, to within the roundings of u over ||u||
    exact    ||E d'||² is the largest eigenvalue of EᵀE, to within the roundings of EᵀE
    both     ||d'|| = 1, and g' = E d'

A row of R that is kept up to date errs by the roundings of s + 1 corrections of a size that the signal and its
coefficients bound; a sum over n rows by n more. With the last atom, R is the residual of the result.

The statistics are sums too. An update by coordinate descent is replayed as a sweep is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsefast.bench.ksvd.case import Given

Array = NDArray[Any]


@dataclass(frozen=True)
class Updated:
    """What a sweep leaves: atoms (K, F), coefficients (N, S) in the places of the code's, and errors (N,) if given."""

    dictionary: Array
    coefficients: Array
    errors: Array | None = None
    strays: int = 0
    """How many coefficients are not zero where the code has none."""
    singular: bool = False
    """Whether the coefficients are a singular vector of E, and no product with it: they err by the roundings of all of
    E, each of them."""


@dataclass(frozen=True)
class Verdict:
    """What is wrong, if anything, and what else was found out on the way."""

    wrong: str | None
    figures: dict[str, float] = field(default_factory=dict)


def check_sweep(given: Given, got: Updated, exact: bool) -> Verdict:
    """Replay a sweep. The figures are ||R|| / ||X|| `before` and `after`."""
    case, code = given.case, given.code
    if (wrong := _kinds(given, got)) is not None:
        return Verdict(wrong)
    eps = float(np.finfo(got.dictionary.dtype).eps)
    x = given.signals.astype(np.float64)
    old, new = given.dictionary.astype(np.float64), got.dictionary.astype(np.float64)
    before = np.where(given.used, code.values, 0).astype(np.float64)
    after = np.where(given.used, got.coefficients, 0).astype(np.float64)
    if not (np.isfinite(new).all() and np.isfinite(after).all()):
        return Verdict("NaN or infinity")
    r = x - given.sparse.astype(np.float64) @ old
    start = np.linalg.norm(r)
    # How far a row of R may be off: a rounding for each number that it is made of, and each correction.
    sizes = np.linalg.norm(x, axis=1) + np.abs(before).sum(1) + np.abs(after).sum(1)
    off = (case.n_nonzero + 4) * eps * sizes
    for k, (rows, slots) in enumerate(given.by_atom):
        if not len(rows):
            if not np.array_equal(old[k], new[k]):
                return Verdict(f"atom {k} is of no signal and has changed")
            continue
        g, h = before[rows, slots], after[rows, slots]
        e = r[rows] + g[:, None] * old[k]
        if (wrong := _atom(e, g, new[k], off[rows], eps, exact)) is not None:
            return Verdict(f"atom {k}: {wrong}")
        wanted, lengths = e @ new[k], np.linalg.norm(e, axis=1)
        whole = np.linalg.norm(lengths) if got.singular else lengths
        bad = ~(np.abs(h - wanted) <= off[rows] + (case.n_features + 4) * eps * whole)
        if bad.any():
            i = int(np.flatnonzero(bad)[0])
            many = f"{bad.sum()} of {len(rows)} coefficients are off"
            return Verdict(f"atom {k}: {many}, first of signal {rows[i]}: {h[i]:.8g}, not {wanted[i]:.8g}")
        r[rows] = e - h[:, None] * new[k]
    lengths = np.linalg.norm(r, axis=1)
    if got.errors is not None:
        bad = ~(np.abs(got.errors - lengths) <= off + case.n_features * eps * lengths)
        if bad.any():
            i = int(np.flatnonzero(bad)[0])
            return Verdict(f"the error of signal {i} is {got.errors[i]:.8g}, not {lengths[i]:.8g}")
    scale = np.linalg.norm(x)
    return Verdict(None, {"before": float(start / scale), "after": float(np.linalg.norm(lengths) / scale)})


def _kinds(given: Given, got: Updated) -> str | None:
    for name, x, shape in (
        ("dictionary", got.dictionary, given.dictionary.shape),
        ("coefficients", got.coefficients, given.code.values.shape),
    ):
        if x.shape != shape:
            return f"the {name} has shape {x.shape}, not {shape}"
        if x.dtype not in (np.float32, np.float64):
            return f"the {name} is {x.dtype}"
    return f"{got.strays} coefficients where the code has none" if got.strays else None


def _atom(e: Array, g: Array, d: Array, off: Array, eps: float, exact: bool) -> str | None:
    """What is wrong with the atom d (F,) that replaces one with E (n, F) and coefficients g (n,)."""
    n, n_features = e.shape
    norm = np.linalg.norm(d)
    if not abs(norm - 1) <= n_features * eps:
        return f"its norm is {norm:.8g}"
    lengths = np.linalg.norm(e, axis=1)
    if exact:
        most, found = np.linalg.eigvalsh(e.T @ e)[-1], np.square(e @ d).sum()
        bound = 2 * lengths @ off + (n + n_features) * eps * (lengths @ lengths)
        return None if found >= most - bound else f"||E d||² is {found:.8g}, and could be {most:.8g}"
    u = e.T @ g
    size = np.linalg.norm(u)
    bound = 2 * (np.abs(g) @ (off + (n + n_features) * eps * lengths)) / size if size else np.inf
    far = np.linalg.norm(d - u / size) if size else 0.0
    return None if far <= bound else f"it is {far:.2e} from the direction of Eᵀg, and may be {bound:.2e}"


def check_stats(given: Given, a: Array, b: Array) -> Verdict:
    """Compare A (K, K) and B (K, F) with the sums in float64, to within the roundings of as many terms."""
    gamma, x = given.sparse.astype(np.float64), given.signals.astype(np.float64)
    # As many terms as the most used atom has; where a product is over all signals, the others are zero.
    terms = max(len(rows) for rows, _ in given.by_atom) + 2
    for name, got, right in (("A", a, gamma), ("B", b, x)):
        wanted, size = gamma.T @ right, abs(gamma).T @ abs(right)
        wanted, size = (m if isinstance(m, np.ndarray) else m.toarray() for m in (wanted, size))
        if got.shape != wanted.shape:
            return Verdict(f"{name} has shape {got.shape}, not {wanted.shape}")
        bad = ~(np.abs(got - wanted) <= terms * np.finfo(got.dtype).eps * size)
        if bad.any():
            place = tuple(np.argwhere(bad)[0].tolist())
            many = f"{bad.sum()} of {bad.size} are off"
            return Verdict(f"{name}: {many}, first {place}: {got[place]:.10g}, not {wanted[place]:.10g}")
    return Verdict(None)


def check_online(given: Given, a: Array, b: Array, got: Array) -> Verdict:
    """Replay one pass of coordinate descent with the constraint ||d|| <= 1. The figures are the mean of
    ||x - Dγ||² over that of ||x||², rooted, `before` and `after`."""
    if got.shape != given.dictionary.shape:
        return Verdict(f"the dictionary has shape {got.shape}, not {given.dictionary.shape}")
    eps = float(np.finfo(got.dtype).eps)
    d, new = given.dictionary.astype(np.float64), got.astype(np.float64)
    start = d.copy()
    for k in np.flatnonzero(np.diag(a) > 0):
        u = d[k] + (b[k] - a[k] @ d) / a[k, k]
        # Of u, and of the atoms before it, which are rounded to the dtype only at the end by some.
        size = np.linalg.norm(d[k]) + (np.linalg.norm(b[k]) + np.abs(a[k]) @ np.linalg.norm(d, axis=1)) / a[k, k]
        wanted = u / max(np.linalg.norm(u), 1)
        far, bound = np.linalg.norm(new[k] - wanted), 2 * (len(a) + len(u)) * eps * size
        if not far <= bound:
            return Verdict(f"atom {k} is {far:.2e} from where it should be, and may be {bound:.2e}")
        d[k] = new[k]
    energy = np.square(given.signals.astype(np.float64)).sum()
    figures = [float(np.sqrt(max(0.0, energy - 2 * (b * m).sum() + ((a @ m) * m).sum()) / energy)) for m in (start, d)]
    return Verdict(None, dict(zip(("before", "after"), figures, strict=True)))
