"""A dictionary and OMP with quantised coefficients: how many atoms a patch gets is a matter of rate and distortion.

    levels  q = sign(a) floor(|a| / step + rounding)      reconstruction  sum of (q step) d

Each patch is coded with every number of atoms of SUPPORTS (order-recursive selection, coefficients by least squares)
and takes the one with the least ||r - r^||^2 + lambda bits. Coefficients that are rounded to zero, their atoms with
them, are not sent. Sent are the number of atoms, which they are (a set: their order takes log2 n! bits less), and a
level for each in the order of the atoms' numbers, from models that depend on the number of atoms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

import sparsefast
from sparsefast.bench.laser.entropy import Stream, Streams, Tables

SUPPORTS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24)
# Of the levels; larger coefficients are held to it.
LEVELS = 63
# Numbers of atoms from which there is another model for levels.
_GROUPS = np.array([2, 4, 8])


@dataclass
class AtomsCode:
    """The atoms of each patch in the order of their numbers, the first counts[n] of each row."""

    counts: np.ndarray
    """(N,)"""
    atoms: np.ndarray
    """(N, S)"""
    levels: np.ndarray
    """(N, S): -LEVELS to LEVELS, and not 0 where it is in use."""


class SparseCoder:
    """DL: a dictionary learnt by K-SVD, and OMP.

    Parameters
    ----------
    rows : array of shape (N, F), float32
        What it is learnt from.
    n_atoms, n_nonzero : int
        K, and how many atoms a patch has while learning.
    rounding : float
        0.5 rounds to the nearest level; less leaves a dead zone around zero.
    """

    name = "DL"

    def __init__(self, rows: np.ndarray, n_atoms: int, n_nonzero: int, rounding: float = 0.4) -> None:
        learner = sparsefast.KSVD(n_atoms, n_nonzero=n_nonzero, max_iter=10, random_state=0)
        self.dictionary = np.asarray(learner.fit(rows).components_, np.float32)
        self.rounding = rounding

    def encode(self, rows: np.ndarray, lam: float, step: float, tables: Tables | None) -> AtomsCode:
        """The codes of patches (N, F) at `lam` squared errors a bit and coefficients in units of `step`."""
        most = min(SUPPORTS[-1], *self.dictionary.shape)
        n = len(rows)
        best = AtomsCode(np.zeros(n, np.int64), np.zeros((n, most), np.int64), np.zeros((n, most), np.int64))
        lowest = (rows.astype(np.float64) ** 2).sum(1) + lam * self._bits(best, tables)
        prepared = sparsefast.prepare(self.dictionary)
        for support in (s for s in SUPPORTS if s <= most):
            code = self._quantised(sparsefast.omp(rows, prepared, support, selection="ols"), step)
            error = ((rows - self.decode(code, step)).astype(np.float64) ** 2).sum(1)
            cost = error + lam * self._bits(code, tables)
            better = cost < lowest
            lowest[better] = cost[better]
            best.counts[better] = code.counts[better]
            best.atoms[better, :support] = code.atoms[better]
            best.levels[better, :support] = code.levels[better]
        return best

    def streams(self, code: AtomsCode) -> Streams:
        found = {"count": Stream(code.counts, min(SUPPORTS[-1], *self.dictionary.shape) + 1)}
        used = np.arange(code.atoms.shape[1]) < code.counts[:, None]
        group = _group(code.counts)
        found["atom"] = Stream(code.atoms[used], len(self.dictionary))
        for g in range(len(_GROUPS) + 1):
            here = used & (group == g)[:, None]
            found[f"level {g}"] = Stream(code.levels[here] + LEVELS, 2 * LEVELS + 1)
        return found

    def spared(self, code: AtomsCode) -> float:
        """Bits by which sets of atoms are shorter than sequences: the sum of log2 n!."""
        return float(_log2_factorial(code.counts).sum())

    def decode(self, code: AtomsCode, step: float) -> np.ndarray:
        return np.asarray(self._sparse(code, step).decode(self.dictionary))

    def _sparse(self, code: AtomsCode, step: float) -> sparsefast.SparseCode:
        n, width = code.atoms.shape
        used = np.arange(width) < code.counts[:, None]
        return sparsefast.SparseCode(
            np.where(used, code.atoms, 0).astype(np.int32),
            np.where(used, code.levels * np.float32(step), 0).astype(np.float32),
            code.counts.astype(np.int32),
            np.zeros(n, np.uint8),
            len(self.dictionary),
        )

    def _quantised(self, code: sparsefast.SparseCode, step: float) -> AtomsCode:
        levels = np.sign(code.values) * np.floor(np.abs(code.values) / step + self.rounding)
        levels = np.clip(levels, -LEVELS, LEVELS).astype(np.int64)
        return _in_order(np.asarray(code.indices, np.int64), levels, len(self.dictionary))

    def _bits(self, code: AtomsCode, tables: Tables | None) -> np.ndarray:
        """Bits of each patch."""
        used = np.arange(code.atoms.shape[1]) < code.counts[:, None]
        if tables is None:
            return code.counts * (np.log2(len(self.dictionary)) + 3.0)
        group = _group(code.counts)[:, None]
        of_levels = np.stack([tables[f"level {g}"] for g in range(len(_GROUPS) + 1)])
        each = tables["atom"][code.atoms] + of_levels[group, code.levels + LEVELS]
        return tables["count"][code.counts] + np.where(used, each, 0).sum(1) - _log2_factorial(code.counts)


def _in_order(atoms: np.ndarray, levels: np.ndarray, n_atoms: int) -> AtomsCode:
    """Entries whose level is not zero first, by the numbers of their atoms."""
    order = np.argsort(np.where(levels != 0, atoms, n_atoms), axis=1, kind="stable")
    counts = (levels != 0).sum(1)
    return AtomsCode(counts, np.take_along_axis(atoms, order, 1), np.take_along_axis(levels, order, 1))


def _group(counts: np.ndarray) -> np.ndarray:
    return np.searchsorted(_GROUPS, counts, side="right")


def _log2_factorial(counts: np.ndarray) -> np.ndarray:
    return np.asarray(gammaln(counts + 1.0) / np.log(2))
