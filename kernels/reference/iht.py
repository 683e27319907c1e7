"""Iterative hard thresholding, with a fixed or a normalised step: the definition.

For a signal x (F,) and a dictionary D (K, F), gradient steps on ||x - a D||^2 / 2 among the a (K,) with at most
s = min(n_nonzero, F, K) entries that are not zero. H_s keeps the s entries of largest magnitude, the lowest index first
among equals. From a = 0, n_iterations times:

    c = D (x - a D)
    a' = H_s(a + mu c)
    a = a'

With step > 0, mu is the step. With step = 0 it is normalised: G is the support of a (the first time, that of H_s(c)),

    mu = ||c_G||^2 / ||c_G D_G||^2

which minimises the residual along c_G; where c_G = 0 it is what it was, at first 1 / max ||d||^2. If the support of a'
is not G, that mu may be too long: until mu <= 0.99 ||a' - a||^2 / ||(a' - a) D||^2 or the support of a' is G, but at
most 30 times, mu is halved and a' computed again. Then the residual cannot grow.

It ends before n_iterations when ||x - a D|| <= tol, or when the support was kept and max |a' - a| <= 4 eps max |a'|;
or when a' overflows, as with a step too long, and is not taken. The entries are in the order of decreasing magnitude,
the lowest index first among equals. What is said at the end:

    NONFINITE    x is not finite: nothing is selected and the row of values is NaN
    TOLERANCE    ||x - a D|| <= tol
    ORTHOGONAL   fewer than s entries are not zero
    EXHAUSTED    s = min(F, K), and n_nonzero asked for more
    COMPLETE     s = n_nonzero entries are not zero

Sources: Blumensath and Davies, Iterative hard thresholding for compressed sensing, 2009 (fixed step), and Normalized
iterative hard thresholding, 2010.
"""

import numpy as np
from numpy.typing import NDArray

from sparsefast.kernels.reference.omp import EPS
from sparsefast.kernels.reference.scaling import FORM, Coded, Layout, code_rows, prepare
from sparsefast.kernels.reference.topk import largest
from sparsefast.kernels.status import Status

__all__ = ["FORM", "iht", "iterate", "prepare"]

STILL_AT = 4 * EPS
SAFE = 0.99
MAX_HALVINGS = 30


def iht(
    signals: np.ndarray,
    layout: Layout,
    n_nonzero: int,
    n_iterations: int,
    step: float,
    tol: np.ndarray | float | None,
    values: np.ndarray,
    indices: np.ndarray,
    counts: np.ndarray,
    status: np.ndarray,
    n_threads: int,
) -> None:
    """Code each row of signals (N, F); write values (N, S), indices (N, S), counts (N,) and status (N,)."""
    with np.errstate(over="ignore", under="ignore"):
        scaled_step = float(np.ldexp(step, 2 * layout.exponent))

    def code(n: int, x: NDArray[np.float64], scaled_tol: float) -> Coded:
        return iterate(x, layout.atoms, n_nonzero, n_iterations, scaled_step, scaled_tol)

    code_rows(signals, code, -layout.exponent, tol, values, indices, counts, status)


@np.errstate(over="ignore", invalid="ignore")  # a step that is too long
def iterate(
    x: NDArray[np.float64], atoms: NDArray[np.float64], n_nonzero: int, n_iterations: int, step: float, tol: float
) -> Coded:
    """IHT of one finite signal: the support in the order of magnitude, its coefficients, and why it ended."""
    n_atoms, n_features = atoms.shape
    s = min(n_nonzero, n_features, n_atoms)
    largest_norm2 = float((atoms * atoms).sum(axis=1).max())
    normalised = step == 0
    mu = step
    if normalised and largest_norm2 > 0:
        mu = 1 / largest_norm2

    a = np.zeros(n_atoms)
    for iteration in range(n_iterations):
        residual = x - a @ atoms
        if np.linalg.norm(residual) <= tol:
            break
        # Row by row and not by BLAS, whose sums may differ between equal atoms: a tie must stay a tie.
        c = (atoms * residual).sum(axis=1)
        support = np.flatnonzero(a if iteration else hard_threshold(c, s))
        if normalised:
            along = c[support] @ atoms[support]
            if along @ along > 0:
                mu = (c[support] @ c[support]) / (along @ along)
        new = hard_threshold(a + mu * c, s)
        for _ in range(MAX_HALVINGS if normalised else 0):
            change = new - a
            if _is_support(new, support) or mu * np.sum((change @ atoms) ** 2) <= SAFE * np.sum(change**2):
                break
            mu /= 2
            new = hard_threshold(a + mu * c, s)
        if not np.isfinite(new).all():
            break
        still = _is_support(new, support) and np.abs(new - a).max() <= STILL_AT * np.abs(new).max()
        a = new
        if still:
            break

    entries = largest(a, s)
    if np.linalg.norm(x - a @ atoms) <= tol:
        why = Status.TOLERANCE
    elif len(entries) < s:
        why = Status.ORTHOGONAL
    elif s < n_nonzero:
        why = Status.EXHAUSTED
    else:
        why = Status.COMPLETE
    return entries, a[entries], why


def hard_threshold(a: NDArray[np.float64], s: int) -> NDArray[np.float64]:
    """H_s(a): the s entries of a (K,) that are largest in magnitude, and zeros."""
    kept = largest(a, s)
    out = np.zeros_like(a)
    out[kept] = a[kept]
    return out


def _is_support(a: NDArray[np.float64], support: NDArray[np.intp]) -> bool:
    return np.array_equal(np.flatnonzero(a), support)
