"""Codes to update dictionaries with, and the kernels of each backend behind one way to call them."""

from __future__ import annotations

import importlib.util
from typing import Any, NamedTuple

import numpy as np

import sparsefast
from sparsefast import dispatch
from tests.kernels.helper import DEVICE, ORDERS, has_gpu, on_device

ON_CPU = sparsefast.backends("ksvd_update", device="cpu")
"""Those that look at codes before they trust them."""
EMULATED = [f"cuda-{order}" for order in ORDERS] if importlib.util.find_spec("sparsefast._emulated") else []
"""The kernels for GPUs on the emulated device, with its threads in each order."""
BACKENDS = [*ON_CPU, *EMULATED, *([f"cuda-{DEVICE}"] if has_gpu() else [])]


class Case(NamedTuple):
    signals: np.ndarray
    dictionary: np.ndarray
    indices: np.ndarray
    values: np.ndarray
    counts: np.ndarray


class Updated(NamedTuple):
    atoms: np.ndarray
    coefficients: np.ndarray
    errors: np.ndarray
    usage: np.ndarray


def case(n=300, n_features=16, n_atoms=24, n_nonzero=3, dtype="float64", index="int32", seed=0) -> Case:
    """Gaussian signals; random supports of 0 to n_nonzero atoms with their least-squares coefficients, as omp leaves
    them, so that the sign of a coefficient is anything."""
    rng = np.random.default_rng(seed)
    x, d = rng.standard_normal((n, n_features)), rng.standard_normal((n_atoms, n_features))
    d /= np.linalg.norm(d, axis=1, keepdims=True)
    counts = rng.integers(0, n_nonzero + 1, n).astype(np.int32)
    indices, values = np.zeros((n, n_nonzero), index), np.zeros((n, n_nonzero))
    for i, count in enumerate(counts):
        support = rng.permutation(n_atoms)[:count]
        indices[i, :count] = support
        values[i, :count] = np.linalg.lstsq(d[support].T, x[i], rcond=None)[0]
    return Case(x.astype(dtype), d.astype(dtype), indices, values.astype(dtype), counts)


def update(c: Case, backend: str, *, exact=False, parallel=False, n_threads=1) -> Updated:
    """Outputs are poisoned with NaN before the kernel writes them."""
    dtype = c.signals.dtype
    out = Updated(
        np.full(c.dictionary.shape, np.nan, dtype),
        np.full(c.values.shape, np.nan, dtype),
        np.full(len(c.signals), np.nan, dtype),
        np.full(len(c.dictionary), -7, np.int64),
    )
    run("ksvd_update", backend, dtype, (*c, exact, parallel), out, n_threads)
    return out


def stats(c: Case, backend: str, n_threads=1, start=0.0) -> tuple[np.ndarray, ...]:
    """A, B, usage and totals, on top of `start`."""
    k, f = c.dictionary.shape
    out = tuple(np.full(shape, start) for shape in ((k, k), (k, f), (k,), (2,)))
    run("dictionary_stats", backend, c.signals.dtype, (c.signals, c.indices, c.values, c.counts), out, n_threads)
    return out


def online(a, b, dictionary, backend, *, n_iterations=1, sphere=False) -> np.ndarray:
    atoms = np.full(dictionary.shape, np.nan, dictionary.dtype)
    run("online_update", backend, dictionary.dtype, (a, b, dictionary, n_iterations, sphere), (atoms,), 1)
    return atoms


def run(op: str, backend: str, dtype: Any, arguments: tuple, outputs: tuple[np.ndarray, ...], n_threads: int) -> None:
    """Call the kernel of a backend: for GPUs on tensors there, or on the emulated device with its threads in order."""
    if backend == f"cuda-{DEVICE}":
        kernel = getattr(dispatch.resolve(op, "cuda", str(dtype), "cuda").module, op)
        there = [on_device(x) if isinstance(x, np.ndarray) else x for x in (*arguments, *outputs)]
        kernel(*there, n_threads)
        for here, x in zip(outputs, there[len(arguments) :], strict=True):
            here[...] = x.cpu().numpy()
        return
    if backend in EMULATED:
        from sparsefast import _emulated

        _emulated.set_order(backend.removeprefix("cuda-"))
        backend = "cuda-emulated"
    getattr(dispatch.resolve(op, "cpu", str(dtype), backend).module, op)(*arguments, *outputs, n_threads)


def decode(c: Case, atoms: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """The signals that a code stands for, in float64."""
    out = np.zeros(c.signals.shape)
    for i, count in enumerate(c.counts):
        out[i] = coefficients[i, :count].astype(float) @ atoms[c.indices[i, :count]].astype(float)
    return out


def objective(c: Case, atoms: np.ndarray, coefficients: np.ndarray) -> float:
    return float(((c.signals - decode(c, atoms, coefficients)) ** 2).sum())


def alone(c: Case, k: int) -> Case:
    """The same codes, but only atom k named: what the others contribute is taken off the signals."""
    indices, values = np.zeros_like(c.indices[:, :1]), np.zeros_like(c.values[:, :1])
    named = (c.indices == k) & (np.arange(c.indices.shape[1]) < c.counts[:, None])
    rest = np.where(named, 0, c.values)
    signals = c.signals - decode(c, c.dictionary, rest).astype(c.signals.dtype)
    rows = named.any(axis=1)
    indices[rows], values[rows, 0] = k, c.values[named]
    return Case(signals, c.dictionary, indices, values, rows.astype(np.int32))
