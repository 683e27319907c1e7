"""The dictionary bottleneck in C++ (csrc/cpu/bottleneck): its forward pass and its gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsefast.kernels.cpu.coders import extension

__all__ = ["bottleneck", "gradients", "unit_norm_gradients"]


def bottleneck(
    latent: np.ndarray,
    planes: bool,
    packed: Any,
    atoms: np.ndarray,
    n_nonzero: int,
    values: np.ndarray,
    indices: np.ndarray,
    counts: np.ndarray,
    status: np.ndarray,
    reconstruction: np.ndarray,
    residual: np.ndarray | None,
    sums: np.ndarray | None,
    loss: np.ndarray,
    weight: float,
    usage: np.ndarray,
    n_threads: int,
) -> None:
    """Code a latent (B, F, ...) (planes) or (..., F) by OMP with the `packed` atoms (K, F).

    Written are the code of N signals, indices int64; `reconstruction`, as the latent; `residual` (N, F); `sums` (K, F),
    of coefficient times residual over the entries of each atom; `loss` (), weight times the mean square of the
    residual; and `usage` (K,), int64. All arrays are dense.
    """
    extension.bottleneck(
        latent, planes, packed, atoms, n_nonzero, values, indices, counts, status, reconstruction, residual, sums,
        loss, weight, usage, n_threads,
    )  # fmt: skip


def gradients(
    like: np.ndarray,
    planes: bool,
    implicit: bool,
    grad: np.ndarray | None,
    grad_values: np.ndarray | None,
    residual: np.ndarray | None,
    values: np.ndarray | None,
    indices: np.ndarray | None,
    counts: np.ndarray | None,
    atoms: np.ndarray | None,
    unit_atoms: np.ndarray | None,
    inverse_norms: np.ndarray | None,
    to_signals: float,
    to_atoms: float,
    ridge: float,
    least_pivot: float,
    of_signals: np.ndarray | None,
    of_dictionary: np.ndarray | None,
    n_threads: int,
) -> None:
    """Write the gradients of a latent of the shape of `like`, and with implicit of the atoms (K, F), those asked for.

    `grad` is that of the reconstruction, `grad_values` (N, S) that of the coefficients; unit_atoms are the atoms scaled
    by inverse_norms (K,), None where these are 1. Without implicit neither codes nor atoms are read. What is computed
    is in sparsefast/bottleneck.hpp.
    """
    extension.bottleneck_gradients(
        like, planes, implicit, grad, grad_values, residual, values, indices, counts, atoms, unit_atoms, inverse_norms,
        to_signals, to_atoms, ridge, least_pivot, of_signals, of_dictionary, n_threads,
    )  # fmt: skip


def unit_norm_gradients(rows: np.ndarray, grad: np.ndarray, scale: float, out: np.ndarray) -> None:
    """Write the gradient in rows (K, F) of `scale * grad` in the rows scaled to unit norm; out may be grad."""
    extension.unit_norm_gradients(rows, grad, scale, out)
