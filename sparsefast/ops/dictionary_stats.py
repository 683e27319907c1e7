"""DictionaryStats: what a dictionary can be learned from, in a size that does not depend on the number of signals."""

from __future__ import annotations

import copy as copying
import os
from typing import Any

import numpy as np

from sparsefast import arrays, threads
from sparsefast.arrays import Array, Kind
from sparsefast.dispatch import resolve
from sparsefast.ops.coded_signals import check_coded_alone
from sparsefast.sparse_code import SparseCode
from sparsefast.tensor_files import load_arrays, save_arrays

_VERSION = 1
_NAMES = ("A", "B", "usage", "totals")


class DictionaryStats:
    """The sufficient statistics of signals X with codes Γ for the dictionary: A = ΓᵀΓ and B = ΓᵀX, in float64.

    Statistics of parts of a data set add up to those of the whole: `a + b` merges what was gathered apart, by batches,
    threads, processes or machines. Signals with NaN or infinity in them are left out.

    Parameters
    ----------
    n_atoms, n_features : int
        At least 1.
    like : array, optional
        Their arrays are of its kind and on its device: NumPy by default.

    Attributes
    ----------
    A : array of shape (n_atoms, n_atoms), float64
        Sum of γ γᵀ.
    B : array of shape (n_atoms, n_features), float64
        Sum of γ xᵀ.
    usage : array of shape (n_atoms,), float64
        How many signals used each atom.
    totals : array of shape (2,), float64
        How many signals there were, and the sum of ||x||².

    Raises
    ------
    TypeError, ValueError
        If a size is not an integer of at least 1, or `like` is not an array.

    References
    ----------
    J. Mairal, F. Bach, J. Ponce, G. Sapiro, "Online dictionary learning for sparse coding", ICML 2009, Algorithm 1.
    """

    def __init__(self, n_atoms: int, n_features: int, like: Array | None = None) -> None:
        for name, size in (("n_atoms", n_atoms), ("n_features", n_features)):
            if arrays.index(size, f"DictionaryStats: {name}") < 1:
                raise ValueError(f"DictionaryStats: {name}={size}; it must be at least 1")
        self.kind: Kind = arrays.NUMPY if like is None else arrays.kind_of(like, "DictionaryStats: like")
        here = self.kind if like is None else self.kind.on(like)
        shapes = (n_atoms, n_atoms), (n_atoms, n_features), (n_atoms,), (2,)
        self.A, self.B, self.usage, self.totals = (_zeros(here, shape) for shape in shapes)

    @property
    def n_atoms(self) -> int:
        """How many atoms the dictionary has."""
        return int(self.B.shape[0])

    @property
    def n_features(self) -> int:
        """How many features the signals have."""
        return int(self.B.shape[1])

    @property
    def device(self) -> str:
        """Where the arrays are, as "cpu" or "cuda:0"."""
        return self.kind.device(self.A)

    @property
    def n_signals(self) -> float:
        """How many signals there were; with forgetting their weight, which need not be whole. Waits for a GPU."""
        return float(self.totals[0])

    @property
    def energy(self) -> float:
        """The sum of ||x||². Waits for a GPU."""
        return float(self.totals[1])

    def add(
        self, signals: Array, code: SparseCode, *, forgetting: float = 1.0, backend: str | None = None
    ) -> DictionaryStats:
        """Add signals with their codes to what there is.

        Parameters
        ----------
        signals : array of shape (..., n_signals, n_features)
            As for `omp`; of the kind and device of the statistics.
        code : SparseCode of shape (..., n_signals)
        forgetting : float, 0 to 1
            What there is counts so much from now on: 1 forgets nothing, 0 all.
        backend : {"auto", "cuda", "cpu", "numba", "reference"}, optional

        Returns
        -------
        DictionaryStats
            Itself.

        Raises
        ------
        TypeError, ValueError
            If an argument is not of an allowed type, dtype, shape or value; nothing was added then. Entries of `code`
            that name no atom are not looked for on a GPU, but left out.
        """
        op = "DictionaryStats.add"
        coded = check_coded_alone(op, signals, code)
        if (coded.n_atoms, coded.signals.shape[1]) != (self.n_atoms, self.n_features):
            raise ValueError(
                f"{op}: signals has {coded.signals.shape[1]} features and code {coded.n_atoms} atoms; "
                f"these statistics are of {self.n_features} features and {self.n_atoms} atoms"
            )
        kind = arrays.kind_of(signals, f"{op}: signals")
        if kind is not self.kind:
            raise TypeError(f"{op}: signals is {kind.words} and the statistics are {self.kind.words}; use one kind")
        if kind.device(signals) != self.device:
            raise ValueError(f"{op}: signals is on {kind.device(signals)} and the statistics on {self.device}")
        factor = _factor(op, "forgetting", forgetting)
        choice = resolve("dictionary_stats", coded.device, coded.dtype, backend)
        new = DictionaryStats(self.n_atoms, self.n_features, like=self.A)
        views = [coded.kind.view(getattr(new, name), "float64") for name in _NAMES]
        choice.module.dictionary_stats(coded.signals, *coded.kernel_arguments, *views, threads.get_num_threads())
        self.scale(factor)
        self += new
        return self

    def scale(self, factor: float) -> DictionaryStats:
        """Multiply all of it by a number from 0 to 1: forget. Returns itself."""
        factor = _factor("DictionaryStats.scale", "factor", factor)
        if factor != 1:
            for name in _NAMES:
                x = getattr(self, name)
                x *= factor
        return self

    def __iadd__(self, other: DictionaryStats) -> DictionaryStats:
        self._require_mergeable(other)
        for name in _NAMES:
            x = getattr(self, name)
            x += getattr(other, name)
        return self

    def __add__(self, other: DictionaryStats) -> DictionaryStats:
        if not isinstance(other, DictionaryStats):
            return NotImplemented
        total = self.copy()
        total += other
        return total

    def _require_mergeable(self, other: DictionaryStats) -> None:
        if not isinstance(other, DictionaryStats):
            raise TypeError(f"DictionaryStats: cannot add a {type(other).__name__}; it must be a DictionaryStats")
        if (other.n_atoms, other.n_features) != (self.n_atoms, self.n_features):
            raise ValueError(
                f"DictionaryStats: statistics of {self.n_atoms} atoms with {self.n_features} features and of "
                f"{other.n_atoms} with {other.n_features} cannot be added"
            )
        if other.kind is not self.kind or other.device != self.device:
            raise ValueError(
                f"DictionaryStats: one is {self.kind.words} on {self.device} and the other {other.kind.words} on "
                f"{other.device}; move one of them"
            )

    def objective(self, dictionary: Array) -> float:
        """The mean of ½||x - Dγ||² over all signals, for their codes in any dictionary (n_atoms, n_features).

        Summed in float64 from the statistics, so that below about 1e-14 of the mean of ||x||² it is rounding. Waits for
        a GPU.
        """
        n = self.n_signals
        if n == 0:
            return 0.0
        d = self.kind.on(dictionary).computing(dictionary, True)
        here = self.kind.on(self.A)
        a, b = here.view(self.A, "float64"), here.view(self.B, "float64")
        return (self.energy - 2 * float((b * d).sum()) + float(((a @ d) * d).sum())) / (2 * n)

    def copy(self) -> DictionaryStats:
        """Statistics that share no memory with these."""
        new = copying.copy(self)
        for name in _NAMES:
            x = getattr(self, name)
            setattr(new, name, x.clone() if hasattr(x, "clone") else x.copy())
        return new

    def numpy(self) -> DictionaryStats:
        """The same in NumPy arrays, which share memory with tensors on the CPU."""
        if self.kind is arrays.NUMPY:
            return self
        here, new = self.kind.on(self.A), copying.copy(self)
        new.kind = arrays.NUMPY
        for name in _NAMES:
            x = getattr(self, name)
            setattr(new, name, x.numpy() if self.device == "cpu" else here.to_numpy(x))
        return new

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write them to a safetensors file, whole or not at all.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        here = self.numpy()
        save_arrays(path, "DictionaryStats", _VERSION, {name: getattr(here, name) for name in _NAMES}, {})

    @classmethod
    def load(cls, path: str | os.PathLike[str], like: Array | None = None) -> DictionaryStats:
        """Statistics from a file that `save` wrote, as arrays of the kind and device of `like` (NumPy by default).

        Raises
        ------
        ValueError
            If it is no such file.
        OSError
            If it cannot be read.
        """
        found, _ = load_arrays(path, "DictionaryStats", _VERSION)
        b = found.get("B", np.empty(0))
        shapes = {"A": b.shape[:1] * 2, "B": b.shape, "usage": b.shape[:1], "totals": (2,)}
        for name in _NAMES:
            x = found.get(name)
            if b.ndim != 2 or x is None or x.shape != shapes[name] or x.dtype != np.float64:
                raise ValueError(f"{path}: {name} is missing, or not of the shape and dtype of DictionaryStats")
        stats = cls(b.shape[0], b.shape[1], like=like)
        here = stats.kind.on(stats.A)
        for name in _NAMES:
            x = getattr(stats, name)
            x[...] = here.wrap(here.from_numpy(found[name]))
        return stats

    def __repr__(self) -> str:
        size = f"{self.n_atoms} atoms, {self.n_features} features"
        return (
            f"DictionaryStats({size}, {self.n_signals:g} signals)"
            if self.device == "cpu"
            else (f"DictionaryStats({size}, {self.device})")
        )


def _zeros(kind: Any, shape: tuple[int, ...]) -> Array:
    x, _ = kind.empty(shape, "float64")
    x[...] = 0
    return x


def _factor(op: str, name: str, value: Any) -> float:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{op}: {name}={value!r}; it must be a number from 0 to 1")
    if not 0 <= value <= 1:
        raise ValueError(f"{op}: {name}={value}; it must be 0 to 1")
    return float(value)
