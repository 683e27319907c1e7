"""The nearest code: vector quantisation, batched."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sparsefast import threads
from sparsefast.arrays import Array
from sparsefast.dispatch import COMPUTED_IN, resolve
from sparsefast.ops import signals as given
from sparsefast.ops.hook import needs_torch
from sparsefast.prepared import PreparedDictionary


class NearestCode(NamedTuple):
    """What `nearest_code` returns: arrays of shape (..., n_signals), or () for a signal alone."""

    indices: Array
    """The rows of the codebook, int32 (int64 in PyTorch)."""
    distances: Array
    """The Euclidean distances, not squared, of the signals' dtype."""


def nearest_code(
    signals: Array,
    codebook: Array | PreparedDictionary,
    *,
    backend: str | None = None,
    check_finite: bool = False,
) -> NearestCode:
    """The code nearest to each signal, and how far it is.

    For each signal x the row d of the codebook with the smallest ||x - d||_2, the lowest index among equals: vector
    quantisation, and the assignment step of k-means. `codebook[result.indices]` are the quantised signals.

    Parameters
    ----------
    signals : array of shape (..., n_signals, n_features) or (n_features,)
        float16, bfloat16 (PyTorch), float32 or float64, in NumPy, PyTorch or CuPy, with any strides. 16-bit
        signals are computed in float32.
    codebook : array of shape (n_codes, n_features), or PreparedDictionary
        Codes are rows. Of the kind, device and dtype of the signals; a PreparedDictionary takes signals of any kind.
        A code that holds NaN or infinity is never the nearest.
    backend : {"auto", "cuda", "triton", "cpu", "numba", "reference"}, optional
        As for `omp`.
    check_finite : bool
        Look for NaN and infinity in all arguments first. Without it a signal that holds any has index 0 and distance
        NaN, and the others are right.

    Returns
    -------
    NearestCode
        `indices`, int32 (int64 in PyTorch), and `distances`, Euclidean and not squared, of the signals' dtype (in
        float16 one above 65504 is infinite). The distance is the norm of the difference itself, so that it is exact to
        rounding where signal and code are close. In PyTorch the distances differentiate by signals and codebook.

    Raises
    ------
    TypeError
        If an argument is not of an allowed type or dtype, or two are of different kinds or dtypes.
    ValueError
        If a shape is wrong, devices differ, or `check_finite` finds something.
    BackendUnavailable
        If no backend, or not the one asked for, can run on these arrays: with the reason for each.

    References
    ----------
    A. Gersho, R. M. Gray, "Vector Quantization and Signal Compression", Kluwer 1992. A. van den Oord, O. Vinyals,
    K. Kavukcuoglu, "Neural discrete representation learning", NeurIPS 2017.
    """
    if not isinstance(signals, np.ndarray) and needs_torch(signals, codebook):
        from sparsefast.ops import torch_ops

        return NearestCode(*torch_ops.nearest_code(signals, codebook, backend, check_finite))
    return run_nearest_code(signals, codebook, backend, check_finite)


def run_nearest_code(
    signals: Array,
    codebook: Array | PreparedDictionary,
    backend: str | None = None,
    check_finite: bool = False,
) -> NearestCode:
    """`nearest_code` without the detour over PyTorch: tensors are read as they are, and nothing is recorded."""
    kind, device, dtype, _ = given.check_signals("nearest_code", signals, codebook, name="codebook")
    choice = resolve("nearest_code", device, dtype, backend)
    kind = kind.on(signals)

    x = given.as_rows(signals, kind, dtype)
    if check_finite:
        given.check_finite("nearest_code", x, codebook, kind, dtype, name="codebook")
    n_threads = threads.get_num_threads()
    layout = given.layout_of(codebook, None, kind, dtype, choice, n_threads)
    (indices, distances), views = kind.nearest(x.shape[0], dtype)
    choice.module.nearest_code(x, layout, *views, n_threads)
    if dtype in COMPUTED_IN:
        distances = kind.narrowed(distances, dtype)
    if signals.ndim != 2:
        batch = tuple(signals.shape[:-1])
        indices, distances = indices.reshape(batch), distances.reshape(batch)
    return NearestCode(indices, distances)
