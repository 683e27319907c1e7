"""The sweep of K-SVD, the statistics and the atoms of online learning: the serial functions that Numba compiles.

Entries of a code are sorted by their atoms first (a counting sort, stable). For one atom d after the other, with the
rows R_I of the residual that its signals have and their coefficients g, E = R_I + g dᵀ is never formed:

    approx   u = Eᵀg = R_Iᵀg + d ||g||², d' = u / ||u||
    exact    d' = the leading eigenvector of EᵀE by restarted Lanczos from u / ||u||, each product being one visit of
             the rows: EᵀE x = sum e (e . x), e . x = r . x + g (d . x); until the residual is 1e-6 (float64: 1e-12)
             of the eigenvalue
    both     g' = R_I d' + g (d . d'), R_I += g dᵀ - g' d'ᵀ

The rules are those of sparsefast.kernels.reference.ksvd.

Sources: Aharon, Elad and Bruckstein 2006; Rubinstein, Zibulevsky and Elad 2008; Mairal, Bach, Ponce and Sapiro 2009;
Saad, Numerical methods for large eigenvalue problems, 2011 (Lanczos).
"""
# Numba infers the types of these functions from those that the callers of `compile_range` declare.
# mypy: allow-untyped-defs, allow-untyped-calls

import functools
import math

import numpy as np

from sparsefast.kernels.numba.compiler import compiled

BASIS = 8
RESTARTS = 24
# Inlined, what runs once or a few times an atom would only take long to compile.
called = functools.partial(compiled, forceinline=False)
# Outside of these, squares have lost their digits, or are not finite.
LEAST, MOST = 1e-290, 1e290


@compiled
def dot(a, b):
    """a . b, in four sums that do not wait for each other."""
    n = a.shape[0]
    s0 = s1 = s2 = s3 = a.dtype.type(0)
    for f in range(0, n - 3, 4):
        s0 += a[f] * b[f]
        s1 += a[f + 1] * b[f + 1]
        s2 += a[f + 2] * b[f + 2]
        s3 += a[f + 3] * b[f + 3]
    for f in range(n // 4 * 4, n):
        s0 += a[f] * b[f]
    return (s0 + s2) + (s1 + s3)


@called()
def normalise(x):
    """x / ||x||, in place; False, and x as it is, where the norm is zero or not finite."""
    squares = 0.0
    for f in range(x.shape[0]):
        squares += np.float64(x[f]) * np.float64(x[f])
    if not (squares > LEAST and squares < MOST):
        return False
    inverse = 1.0 / math.sqrt(squares)
    for f in range(x.shape[0]):
        x[f] = x.dtype.type(np.float64(x[f]) * inverse)
    return True


def sort_range(indices, values, counts, starts, rows, slots, g):
    """The entries (rows, slots, g) in the order of their atoms, atom k at starts[k] to starts[k + 1]."""
    n_atoms = starts.shape[0] - 1
    starts[:] = 0
    for n in range(indices.shape[0]):
        for s in range(counts[n]):
            starts[indices[n, s] + 1] += 1
    for k in range(n_atoms):
        starts[k + 1] += starts[k]
    for n in range(indices.shape[0]):
        for s in range(counts[n]):
            k = indices[n, s]
            at = starts[k]
            rows[at], slots[at], g[at] = n, s, values[n, s]
            starts[k] = at + 1
    for k in range(n_atoms, 0, -1):
        starts[k] = starts[k - 1]
    starts[0] = 0


def residual_range(start, stop, indices, counts, coefficients, atoms, residual, errors):
    """residual -= codes times atoms, and its norms."""
    for n in range(start, stop):
        r = residual[n]
        for s in range(counts[n]):
            d, factor = atoms[indices[n, s]], coefficients[n, s]
            for f in range(r.shape[0]):
                r[f] -= factor * d[f]
        errors[n] = norm_of(r)


@called()
def norm_of(r):
    """||r||, summed in float64."""
    squares = 0.0
    for f in range(r.shape[0]):
        squares += np.float64(r[f]) * np.float64(r[f])
    return r.dtype.type(math.sqrt(squares))


def norms_range(start, stop, residual, errors):
    """errors = ||residual||, row by row."""
    for n in range(start, stop):
        errors[n] = norm_of(residual[n])


@called()
def weighted_sum(residual, rows, g, atom, out):
    """out = Eᵀg = sum of g r, and atom ||g||²."""
    squares = 0.0
    out[:] = 0
    for i in range(rows.shape[0]):
        r, weight = residual[rows[i]], g[i]
        squares += np.float64(weight) * np.float64(weight)
        for f in range(out.shape[0]):
            out[f] += weight * r[f]
    factor = out.dtype.type(squares)
    for f in range(out.shape[0]):
        out[f] += factor * atom[f]


@called()
def multiply(residual, rows, g, atom, x, narrow, sums, out):
    """out = EᵀE x, of float64, each row being visited once."""
    for f in range(x.shape[0]):
        narrow[f] = x[f]
        sums[f] = 0
    along = dot(atom, narrow)
    of_atom = along - along
    for i in range(rows.shape[0]):
        r = residual[rows[i]]
        t = dot(r, narrow) + g[i] * along
        for f in range(sums.shape[0]):
            sums[f] += t * r[f]
        of_atom += t * g[i]
    for f in range(sums.shape[0]):
        out[f] = np.float64(sums[f]) + np.float64(of_atom) * np.float64(atom[f])


@called()
def leading(residual, rows, g, atom, tolerance, v, narrow, sums, basis):
    """v (F,), of norm 1, becomes the leading eigenvector of EᵀE; it lies in every Krylov space, so that ||E v|| never
    gets less."""
    n_features = v.shape[0]
    diagonal, beside = np.zeros(BASIS), np.zeros(BASIS)
    for _ in range(RESTARTS):
        basis[0, :] = v
        used = 0
        while used < BASIS:
            w = basis[used + 1]
            multiply(residual, rows, g, atom, basis[used], narrow, sums, w)
            diagonal[used] = dot(basis[used], w)
            used += 1
            if not diagonal[0] > 0:
                return
            for _ in range(2):  # twice is enough to be orthogonal to rounding
                for k in range(used - 1, -1, -1):
                    along = dot(basis[k], w)
                    for f in range(n_features):
                        w[f] -= along * basis[k, f]
            norm = math.sqrt(dot(w, w))
            beside[used - 1] = norm
            if used == 1 and norm <= tolerance * diagonal[0]:
                return
            if not norm > 1e-14 * diagonal[0] or used == BASIS:
                break
            for f in range(n_features):
                w[f] /= norm
        t = np.zeros((used, used))
        for k in range(used):
            t[k, k] = diagonal[k]
            if k:
                t[k, k - 1] = beside[k - 1]
        ritz = np.linalg.eigh(t)[1][:, used - 1]  # it reads the lower triangle
        v[:] = 0
        theta = 0.0
        for k in range(used):
            theta += diagonal[k] * ritz[k] * ritz[k]
            if k:
                theta += 2 * beside[k - 1] * ritz[k - 1] * ritz[k]
            for f in range(n_features):
                v[f] += ritz[k] * basis[k, f]
        norm = math.sqrt(dot(v, v))
        for f in range(n_features):
            v[f] /= norm
        if abs(beside[used - 1] * ritz[used - 1]) <= tolerance * theta:
            return


@called()
def longest_row(residual, rows, g, atom, out):
    """out = the longest e / ||e||; False where E is zero or not finite."""
    most, where = 0.0, -1
    for i in range(rows.shape[0]):
        r = residual[rows[i]]
        squares = 0.0
        for f in range(out.shape[0]):
            e = np.float64(r[f] + g[i] * atom[f])
            squares += e * e
        if not squares < MOST:
            return False
        if squares > most:
            most, where = squares, i
    if where < 0:
        return False
    for f in range(out.shape[0]):
        out[f] = residual[rows[where], f] + g[where] * atom[f]
    return normalise(out)


@compiled
def direction(residual, rows, g, atom, exact, tolerance, fresh, narrow, sums, v, basis):
    """fresh = d'; False where the atom stays."""
    weighted_sum(residual, rows, g, atom, fresh)
    found = normalise(fresh)
    if not exact:
        return found
    if not found and not longest_row(residual, rows, g, atom, fresh):
        return False
    for f in range(fresh.shape[0]):
        v[f] = np.float64(fresh[f])
    leading(residual, rows, g, atom, tolerance, v, narrow, sums, basis)
    cosine = 0.0
    for f in range(fresh.shape[0]):
        cosine += v[f] * np.float64(atom[f])
    sign = -1.0 if cosine < 0 else 1.0
    for f in range(fresh.shape[0]):
        fresh[f] = sign * v[f]
    return normalise(fresh)


def sweep_range(
    start, stop, residual, starts, rows, slots, g, before, after, coefficients, exact, tolerance, parallel,
    fresh, narrow, sums, v, basis,
):  # fmt: skip
    """Update atoms start..stop; with `parallel` the residual stays, and the new atoms are in `after` alone."""
    for k in range(start, stop):
        first, last = starts[k], starts[k + 1]
        if first == last:
            continue
        atom, mine, old = before[k], rows[first:last], g[first:last]
        if not direction(residual, mine, old, atom, exact, tolerance, fresh, narrow, sums, v, basis):
            continue
        product = dot(atom, fresh)
        for i in range(last - first):
            r = residual[mine[i]]
            now = dot(r, fresh) + old[i] * product
            if not parallel:
                for f in range(r.shape[0]):
                    r[f] += old[i] * atom[f] - now * fresh[f]
            coefficients[mine[i], slots[first + i]] = now
        after[k, :] = fresh


def stats_range(start, stop, signals, squares, indices, values, counts, starts, rows, g, A, B, usage):
    """Rows start..stop of A and B, and of usage: entries in increasing row."""
    for k in range(start, stop):
        a, b = A[k], B[k]
        for i in range(starts[k], starts[k + 1]):
            n = rows[i]
            if not math.isfinite(squares[n]):
                continue
            usage[k] += 1
            weight = np.float64(g[i])
            for s in range(counts[n]):
                a[indices[n, s]] += weight * np.float64(values[n, s])
            for f in range(b.shape[0]):
                b[f] += weight * np.float64(signals[n, f])


def squares_range(start, stop, signals, squares):
    """squares = ||x||², in float64."""
    for n in range(start, stop):
        total = 0.0
        for f in range(signals.shape[1]):
            total += np.float64(signals[n, f]) * np.float64(signals[n, f])
        squares[n] = total


def online_range(start, stop, A, B, sphere, atoms, u):
    """Updates start..stop of the atoms (K, F), in float64: atom after atom, pass after pass."""
    n_atoms = atoms.shape[0]
    for i in range(start, stop):
        k = i % n_atoms
        if not A[k, k] > 0:
            continue
        u[:] = B[k]
        for j in range(n_atoms):
            factor = A[k, j]
            if factor != 0:
                for f in range(u.shape[0]):
                    u[f] -= factor * atoms[j, f]
        squares = 0.0
        for f in range(u.shape[0]):
            u[f] = atoms[k, f] + u[f] / A[k, k]
            squares += u[f] * u[f]
        norm = math.sqrt(squares)
        if not norm > 0 or not math.isfinite(norm):
            continue
        inverse = 1.0 / norm if sphere or norm > 1 else 1.0
        for f in range(u.shape[0]):
            atoms[k, f] = u[f] * inverse
