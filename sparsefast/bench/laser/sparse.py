"""A dictionary and order-recursive OMP, with coefficients that are rounded by rate and distortion.

    levels q      reconstruction  sum of (q step) d      cost  ||r - r^||^2 + lambda bits

Each patch is coded with every number of atoms from 1 to MOST, prefixes of one pursuit, and takes the one of the least
cost. The levels of a prefix come from the last atom to the first: with D_S = R^T Q, each is the one of the nearest
level, the next one down and zero that costs least beside those rounded before it, so that later atoms' rounding errors
are made good by earlier ones (the nearest plane of L. Babai, "On Lovasz' lattice reduction and the nearest lattice
point problem", Combinatorica 6, 1986). An atom whose level is zero is not sent.

With more effort than 1 there are more pursuits, each without some of the atoms, and the best of all is taken: what a
greedy choice spoils, another that may not make it does better.

Sent are the number of atoms, which they are (a set: their order takes log2 n! bits less), and a level for each in the
order of the atoms' numbers. Their models know the neighbours' numbers of atoms, the number of atoms, and that with the
class of the atom.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

import sparsefast
from sparsefast.bench.laser.contexts import N_AROUND, around, classes
from sparsefast.bench.laser.entropy import Stream, Streams, Tables

MOST = 24
# Numbers of atoms from which there is another context.
_GROUPS = np.array([2, 3, 4, 6, 8, 12])
_N_GROUPS = len(_GROUPS) + 1
# Of atoms, by the size of their coefficients in the patches that they are learnt from.
_CLASSES = 7
# Patches that are coded together, so that their systems stay in the cache.
_BLOCK = 1024
# Numbers of atoms that may bring nothing before the search ends.
_PATIENCE = 3


@dataclass
class AtomsCode:
    """The atoms of each patch in the order of their numbers, the first counts[n] of each row."""

    counts: np.ndarray
    """(N,)"""
    atoms: np.ndarray
    """(N, S)"""
    levels: np.ndarray
    """(N, S), and not 0 where it is in use."""


class SparseCoder:
    """DL: a dictionary learnt by K-SVD, and OMP.

    Parameters
    ----------
    rows : array of shape (N, F), float32
        What it is learnt from.
    n_atoms, n_nonzero : int
        K, and how many atoms a patch has while learning.
    """

    name = "DL"

    def __init__(self, rows: np.ndarray, n_atoms: int, n_nonzero: int) -> None:
        learner = sparsefast.KSVD(n_atoms, n_nonzero=n_nonzero, max_iter=12, random_state=0)
        self._take(np.asarray(learner.fit(rows).components_, np.float32), rows, n_nonzero)

    def _take(self, dictionary: np.ndarray, rows: np.ndarray, n_nonzero: int) -> None:
        self.dictionary = dictionary
        self.effort = 1
        self.most = min(MOST, *dictionary.shape)
        code = sparsefast.omp(rows, dictionary, n_nonzero)
        atoms, sizes = np.asarray(code.indices).ravel(), np.abs(np.asarray(code.values, np.float64)).ravel()
        n = np.bincount(atoms, minlength=len(dictionary))
        # An atom of few uses is held to the mean of all.
        self.classes = classes((np.bincount(atoms, sizes, len(dictionary)) + 5 * sizes.mean()) / (n + 5), _CLASSES)

    def encode(self, rows: np.ndarray, lam: float, step: float, tables: Tables | None) -> AtomsCode:
        """The codes of patches (N, F) at `lam` squared errors a bit and coefficients in units of `step`."""
        bits, n, most = _Bits(self, tables, step), len(rows), self.most
        best = AtomsCode(np.zeros(n, np.int64), np.zeros((n, most), np.int64), np.zeros((n, most), np.int64))
        lowest = np.full(n, np.inf)
        for part in self._parts():
            prepared = sparsefast.prepare(np.ascontiguousarray(self.dictionary[part]))
            code = sparsefast.omp(rows, prepared, min(most, len(part)), selection="ols")
            for start in range(0, n, _BLOCK):
                here = slice(start, start + _BLOCK)
                atoms = part[np.asarray(code.indices[here], np.int64)]
                found, cost = self._block(rows[here], atoms, np.asarray(code.counts[here]), lam, step, bits)
                better = np.flatnonzero(cost < lowest[here])
                to = start + better
                lowest[to], best.counts[to] = cost[better], found.counts[better]
                best.atoms[to, : atoms.shape[1]] = found.atoms[better]
                best.levels[to, : atoms.shape[1]] = found.levels[better]
        return best

    def _parts(self) -> list[np.ndarray]:
        """The atoms of each pursuit: all, and all but one of effort - 1 equal parts."""
        every = np.arange(len(self.dictionary))
        folds = np.random.default_rng(0).permutation(len(every)) % max(self.effort - 1, 1)
        return [every, *(every[folds != left_out] for left_out in range(self.effort - 1))]

    def streams(self, code: AtomsCode, shape: tuple[int, int], step: float) -> Streams:
        """The symbols of patches (H, W), `shape`, in order of rows."""
        used = np.arange(self.most) < code.counts[:, None]
        group, atoms, levels = np.repeat(_group(code.counts), code.counts), code.atoms[used], code.levels[used]
        kind, reach = group * _CLASSES + self.classes[atoms], self.reach(step)
        return {
            "count": Stream(code.counts, self.most + 1, around(code.counts.reshape(shape)), N_AROUND),
            "atom": Stream(atoms, len(self.dictionary), group, _N_GROUPS),
            "level": Stream(levels + reach, 2 * reach + 1, kind, _N_GROUPS * _CLASSES),
        }

    def reach(self, step: float) -> int:
        """The largest level: of a patch that is half black and half white; larger coefficients are held to it."""
        return int(np.ceil(127.5 * np.sqrt(self.dictionary.shape[1]) / step))

    def spared(self, code: AtomsCode) -> float:
        """Bits by which sets of atoms are shorter than sequences: the sum of log2 n!."""
        return float(_log2_factorial(code.counts).sum())

    def decode(self, code: AtomsCode, step: float) -> np.ndarray:
        used = np.arange(code.atoms.shape[1]) < code.counts[:, None]
        sparse = sparsefast.SparseCode(
            np.where(used, code.atoms, 0).astype(np.int32),
            np.where(used, code.levels * np.float32(step), 0).astype(np.float32),
            code.counts.astype(np.int32),
            np.zeros(len(used), np.uint8),
            len(self.dictionary),
        )
        return np.asarray(sparse.decode(self.dictionary))

    def _block(
        self, rows: np.ndarray, atoms: np.ndarray, found: np.ndarray, lam: float, step: float, bits: _Bits
    ) -> tuple[AtomsCode, np.ndarray]:
        """The best prefix of each pursuit, quantised, and its cost. `atoms` (N, S) are in order of selection, found[n]
        of them."""
        n, most = atoms.shape
        factor, products = self._factors(rows, atoms)
        # A later atom reduces the error by its product's square: what all that are left could bring must pay for one.
        rest = np.concatenate([np.cumsum((products**2)[:, ::-1], axis=1)[:, ::-1], np.zeros((n, 1))], axis=1)
        tail = (rows.astype(np.float64) ** 2).sum(1) - rest[:, 0]
        lowest = tail + rest[:, 0] + lam * bits.of_count[0]
        levels, length, since = np.zeros((n, most), np.int64), np.zeros(n, np.int64), np.zeros(n, np.int64)
        for size in range(1, most + 1):
            go = np.flatnonzero((found >= size) & (since < _PATIENCE) & (rest[:, size - 1] > lam * bits.least(size)))
            if not len(go):
                break
            chosen, error = self._levels(factor[go], products[go], atoms[go], size, lam, step, bits)
            cost = tail[go] + rest[go, size] + error + lam * bits.of(atoms[go, :size], chosen)
            better = cost < lowest[go]
            since[go] = np.where(better, 0, since[go] + 1)
            to = go[better]
            lowest[to], length[to] = cost[better], size
            levels[to, :size] = chosen[better]
        levels[np.arange(most) >= length[:, None]] = 0
        order = np.argsort(np.where(levels != 0, atoms, len(self.dictionary)), axis=1, kind="stable")
        counts = (levels != 0).sum(1)
        code = AtomsCode(counts, np.take_along_axis(atoms, order, 1), np.take_along_axis(levels, order, 1))
        return code, lowest

    def _factors(self, rows: np.ndarray, atoms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """R (N, S, S), upper triangular with R^T R the Gram matrix of the atoms, and Q x (N, S)."""
        d = self.dictionary[atoms].astype(np.float64)
        gram = d @ d.transpose(0, 2, 1) + 1e-9 * np.eye(d.shape[1])
        lower = np.linalg.cholesky(gram)
        right = np.einsum("nsf,nf->ns", d, rows)
        products = np.empty_like(right)
        for i in range(right.shape[1]):
            inner = np.einsum("ns,ns->n", lower[:, i, :i], products[:, :i])
            products[:, i] = (right[:, i] - inner) / lower[:, i, i]
        return lower.transpose(0, 2, 1), products

    def _levels(
        self,
        factor: np.ndarray,
        products: np.ndarray,
        atoms: np.ndarray,
        size: int,
        lam: float,
        step: float,
        bits: _Bits,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Levels (N, size) of the first `size` atoms, and the squared error (N,) by which they are not the fit."""
        levels, values = np.zeros((len(atoms), size), np.int64), np.zeros((len(atoms), size))
        error = np.zeros(len(atoms))
        for i in reversed(range(size)):
            known = np.einsum("ns,ns->n", factor[:, i, i + 1 : size], values[:, i + 1 :])
            pivot = factor[:, i, i]
            wanted = (products[:, i] - known) / pivot
            nearest = np.minimum(np.rint(np.abs(wanted) / step), bits.reach).astype(np.int64)
            sizes = np.stack([nearest, np.maximum(nearest - 1, 0), np.zeros_like(nearest)])
            tried = np.where(wanted < 0, -sizes, sizes)
            errors = (pivot * (wanted - step * tried)) ** 2
            best = (errors + lam * bits.of_one(atoms[:, i], tried, size)).argmin(0)[None]
            levels[:, i] = np.take_along_axis(tried, best, 0)[0]
            error += np.take_along_axis(errors, best, 0)[0]
            values[:, i] = step * levels[:, i]
        return levels, error


class _Bits:
    """What a patch costs, for the encoder."""

    def __init__(self, coder: SparseCoder, tables: Tables | None, step: float) -> None:
        self.reach = coder.reach(step)
        n_atoms = len(coder.dictionary)
        self.classes = coder.classes
        if tables is None:
            # A guess to begin with: atoms alike, three bits for a level.
            self.of_count = np.zeros(coder.most + 1)
            self.of_atom = np.full((_N_GROUPS, n_atoms), np.log2(n_atoms))
            self.of_level = np.full((_N_GROUPS * _CLASSES, 2 * self.reach + 1), 3.0)
        else:
            self.of_count = tables["count"].overall
            self.of_atom, known = tables["atom"].lengths, tables["level"].lengths
            # Those of a step beside this one may have fewer levels, or more.
            half = known.shape[1] // 2
            self.of_level = known[:, half + np.clip(np.arange(-self.reach, self.reach + 1), -half, half)]
        self.lowest = self.of_atom.min(1)

    def least(self, size: int) -> float:
        """Less than what one more atom takes."""
        return max(0.0, float(self.lowest[_group(np.array(size))] - np.log2(size)))

    def of_one(self, atoms: np.ndarray, levels: np.ndarray, size: int) -> np.ndarray:
        """Bits (.., N) of one of `size` atoms, and none where its level is zero."""
        group = _group(np.array(size))
        found = self.of_level[group * _CLASSES + self.classes[atoms], levels + self.reach]
        return np.where(levels == 0, 0, found + self.of_atom[group, atoms] - np.log2(size))

    def of(self, atoms: np.ndarray, levels: np.ndarray) -> np.ndarray:
        """Bits (N,) of patches whose levels (N, S) may be zero."""
        used = levels != 0
        counts = used.sum(1)
        group = _group(counts)[:, None]
        each = self.of_atom[group, atoms] + self.of_level[group * _CLASSES + self.classes[atoms], levels + self.reach]
        return self.of_count[counts] + np.where(used, each, 0).sum(1) - _log2_factorial(counts)


def _group(counts: np.ndarray) -> np.ndarray:
    return np.searchsorted(_GROUPS, counts, side="right")


def _log2_factorial(counts: np.ndarray) -> np.ndarray:
    return np.asarray(gammaln(counts + 1.0) / np.log(2))
