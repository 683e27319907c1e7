"""The peers of each variant, as their users write them.

All start from the same arrays. Whoever wants float64, a dense code or its own copies to work in gets them before the
clock starts.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsefast.bench.contender import Absent, need, version_of
from sparsefast.bench.ksvd.case import Given
from sparsefast.bench.ksvd.check import Updated
from sparsefast.bench.ksvd.contender import Bound, Contender
from sparsefast.bench.ksvd.variant import Variant

Array = NDArray[Any]
Peer = Callable[[Variant], Contender]


def theirs(variant: Variant, names: Sequence[str] | None = None) -> tuple[list[Contender], list[tuple[str, str]]]:
    """The peers of a variant, of those names, and those that are absent, with the reason."""
    found, absent = [], []
    for name, peer in PEERS[variant.name].items():
        if names is not None and name not in names:
            continue
        try:
            found.append(peer(variant))
        except Absent as reason:
            absent.append((name, str(reason)))
    return found, absent


def numpy_sweep(variant: Variant) -> Contender:
    """K-SVD as NumPy does it best: entries sorted by atom, R kept up to date, E never formed."""
    need("scipy", "scipy")
    exact = variant.name == "exact"

    def bind(given: Given) -> Bound:
        code = given.code
        return Bound(functools.partial(sweep, given.signals, given.dictionary, given.sparse, code.indices, exact))

    def decode(result: Any, given: Given) -> Updated:
        dictionary, entries, order = result
        values = np.zeros(given.used.shape, entries.dtype)
        found = np.empty_like(entries)
        found[order] = entries
        values[given.used] = found
        return Updated(dictionary, values)

    return Contender(
        "NumPy", np.__version__, bind, decode, note="eigh(EᵀE)" if exact else "one step of alternating least squares"
    )


def sweep(x: Array, old: Array, gamma: Any, indices: Array, exact: bool) -> tuple[Array, Array, Array]:
    """A sweep on signals x (N, F), a dictionary (K, F) and a CSR code (N, K). Returns the new dictionary, and the new
    coefficients in the order of their atoms with their places in the code."""
    from scipy.linalg import eigh

    d = old.copy()
    r = x - gamma @ d
    order = np.argsort(gamma.indices, kind="stable")
    rows = np.repeat(np.arange(len(x)), np.diff(gamma.indptr))[order]
    values = gamma.data[order]
    ends = np.cumsum(np.bincount(gamma.indices, minlength=len(d)))
    last = x.shape[1] - 1
    for k, (begin, end) in enumerate(zip(np.concatenate([[0], ends[:-1]]), ends, strict=True)):
        if begin == end:
            continue
        mine, g, atom = rows[begin:end], values[begin:end].copy(), d[k].copy()
        part = r[mine]
        along, square = g @ part, g @ g
        if exact:
            outer = np.outer(along, atom)
            gram = part.T @ part + outer + outer.T + square * np.outer(atom, atom)
            new = eigh(gram, subset_by_index=(last, last), overwrite_a=True, check_finite=False)[1][:, 0]
        else:
            new = along + square * atom
            new /= np.sqrt(new @ new)
        values[begin:end] = part @ new + (new @ atom) * g
        part += np.stack([g, -values[begin:end]], axis=1) @ np.stack([atom, new])
        r[mine], d[k] = part, new
    return d, values, order


class _InPlace:
    """A dictionary and a dense code of one's own, anew before each call."""

    def __init__(self, dictionary: Array, dense: Array) -> None:
        self.start = dictionary, dense
        self.dictionary, self.dense = dictionary, dense

    def ready(self) -> None:
        self.dictionary, self.dense = (x.copy() for x in self.start)


def dictlearn(variant: Variant) -> Contender:
    """dictlearn's sweep, which its estimator calls: NumPy in float64 on a dense code."""
    module = need("dictlearn._update", "dictlearn")
    exact = variant.name == "exact"
    method = module.get_update_method("ksvd" if exact else "aksvd")

    def bind(given: Given) -> Bound:
        y = np.ascontiguousarray(given.signals.T, np.float64)
        columns = (np.ascontiguousarray(part.T, np.float64) for part in (given.dictionary, given.dense))
        mine = _InPlace(*columns)

        def call() -> Any:
            more = {"ops": module.LinearOps(), "update_atom": method.func, "rng": np.random.default_rng(0)}
            return module.atom_sweep(y, mine.dictionary, mine.dense, replace_unused="no", **more)

        return Bound(call, mine.ready)

    def decode(result: Any, given: Given) -> Updated:
        dictionary, dense = (part.T for part in result)
        values, strays = given.coefficients(dense)
        return Updated(np.ascontiguousarray(dictionary), values, strays=strays, singular=exact)

    note = "float64, dense code" + (", SVD of E" if exact else "")
    return Contender("dictlearn", version_of("dictlearn"), bind, decode, note=note)


def ksvd(variant: Variant) -> Contender:
    """The `ksvd` package."""
    module = need("ksvd", "ksvd")

    def bind(given: Given) -> Bound:
        learner, mine = module.ApproximateKSVD(given.case.n_atoms), _InPlace(given.dictionary, given.dense)
        return Bound(lambda: learner._update_dict(given.signals, mine.dictionary, mine.dense), mine.ready)

    def decode(result: Any, given: Given) -> Updated:
        dictionary, dense = result
        values, strays = given.coefficients(dense)
        return Updated(dictionary, values, strays=strays)

    fault = "it leaves out every signal with a negative coefficient"
    return Contender("ksvd", version_of("ksvd"), bind, decode, fault=fault)


def scipy_stats(variant: Variant, dtype: str | None = None) -> Contender:
    """Products of SciPy's sparse code, in the dtype of the signals or in float64, as ours are."""
    need("scipy", "scipy")

    def bind(given: Given) -> Bound:
        gamma, x = given.sparse.astype(dtype or given.dtype), given.signals.astype(dtype or given.dtype)
        return Bound(lambda: ((gamma.T @ gamma).toarray(), gamma.T @ x))

    name = f"SciPy {dtype}" if dtype else "SciPy"
    return Contender(name, version_of("scipy"), bind, lambda result, given: result, note="sparse code")


def dense_stats(variant: Variant) -> Contender:
    """Products of the dense code, which scikit-learn's MiniBatchDictionaryLearning makes."""

    def bind(given: Given) -> Bound:
        gamma, x = given.dense, given.signals
        return Bound(lambda: (gamma.T @ gamma, gamma.T @ x))

    return Contender("NumPy", np.__version__, bind, lambda result, given: result, note="dense code")


def scikit_learn(variant: Variant) -> Contender:
    """The update inside scikit-learn's MiniBatchDictionaryLearning: a loop of NumPy over the atoms."""
    module = need("sklearn.decomposition._dict_learning", "scikit-learn")
    update = getattr(module, "_update_dict", None)
    if update is None:
        raise Absent("this version has no _update_dict")

    def bind(given: Given) -> Bound:
        a, b = (part.astype(given.dtype) for part in (given.stats.A, np.ascontiguousarray(given.stats.B.T)))
        mine = _InPlace(given.dictionary, given.dense[:1])

        def call() -> Any:
            update(mine.dictionary, given.signals[:1], mine.dense, a, b, random_state=0)
            return mine.dictionary

        return Bound(call, mine.ready)

    return Contender("scikit-learn", version_of("scikit-learn"), bind, lambda result, given: result)


def numpy_online(variant: Variant) -> Contender:
    """The same loop in float64, as ours is."""

    def bind(given: Given) -> Bound:
        a, b = given.stats.A, given.stats.B

        def call() -> Array:
            d = given.dictionary.astype(np.float64)
            for k in np.flatnonzero(np.diag(a) > 0):
                u = d[k] + (b[k] - a[k] @ d) / a[k, k]
                d[k] = u / max(np.sqrt(u @ u), 1)
            return d.astype(given.dtype)

        return Bound(call)

    return Contender("NumPy", np.__version__, bind, lambda result, given: result, note="float64")


PEERS: dict[str, dict[str, Peer]] = {
    "approx": {"NumPy": numpy_sweep, "dictlearn": dictlearn, "ksvd": ksvd},
    "exact": {"NumPy": numpy_sweep, "dictlearn": dictlearn},
    "stats": {
        "SciPy": scipy_stats,
        "SciPy float64": functools.partial(scipy_stats, dtype="float64"),
        "NumPy": dense_stats,
    },
    "online": {"NumPy": numpy_online, "scikit-learn": scikit_learn},
}
