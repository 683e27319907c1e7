"""The gradient of least squares coefficients on a fixed support.

A signal x (F,) with the support S has coefficients alpha = (D_S D_S^T)^-1 D_S x. Where the loss has the gradient g in
alpha, with u = (D_S D_S^T)^-1 g and the residual r = x - alpha D_S,

    dL/dx = u D_S        dL/dD_S = u r^T - alpha (u D_S)^T

by implicit differentiation of the normal equations. The support is piecewise constant in x and D, so this is the
gradient wherever it exists. Where only some features of x are observed, D_S and r are those features of them.

float32 has a ridge of 1e-6: 1e-6 mean diag(G) is added to the diagonal of G = D_S D_S^T, whose rows and columns are
divided by the norms of the atoms first, so that atoms may be of any norm. A signal whose values are NaN has a gradient
of NaN, and adds nothing to that of the dictionary; nor do atoms that are not finite, which are never selected.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sparsefast.dispatch import why_not
from sparsefast.ops import torch_device, torch_native
from sparsefast.ops.torch_segments import parts, sort_by_atom, unused

RIDGE = {torch.float32: 1e-6, torch.float64: 0.0}
# No pivot is taken for smaller: the pursuit selects no atom whose squared distance from the others is less.
_LEAST_PIVOT = {torch.float32: 1e-6, torch.float64: 16 * torch.finfo(torch.float64).eps}
# The Gram matrix of more atoms takes longer than the products of the selected, and much memory.
_MAX_GRAM = 4096
# Systems are solved together while their matrices have so many elements: they stay in the cache, or fill a GPU.
_TOGETHER = 1 << 19
_TOGETHER_ON_GPU = 1 << 24


def least_squares_gradients(
    grad: Tensor,
    signals: Tensor,
    mask: Tensor | None,
    dictionary: Tensor,
    values: Tensor,
    indices: Tensor,
    counts: Tensor,
    of_signals: bool,
    of_dictionary: bool,
) -> tuple[Tensor, Tensor]:
    """dL/dx (N, F) and dL/dD (K, F); one that is not asked for has no elements.

    Parameters
    ----------
    grad, values : Tensor of shape (N, S), float32 or float64
        dL/dalpha and alpha.
    signals : Tensor of shape (N, F)
    mask : Tensor of shape (N, F), bool, optional
        Where signals are observed.
    dictionary : Tensor of shape (K, F)
    indices : Tensor of shape (N, S), int64
    counts : Tensor of shape (N,), int32
    """
    dictionary = dictionary.masked_fill((dictionary * 0).sum(1, keepdim=True).isnan(), 0)  # atoms that are not finite
    if mask is None and len(dictionary) <= _MAX_GRAM and not grad.is_cuda:
        outputs = (
            torch.empty_like(signals, memory_format=torch.contiguous_format) if of_signals else None,
            torch.empty_like(dictionary) if of_dictionary else None,
        )
        if _natively(grad, signals, dictionary, values, indices, counts, *outputs):
            of_x, of_d = (signals.new_empty(0) if out is None else out for out in outputs)
            return of_x, of_d
    with torch.autocast(signals.device.type, enabled=False):
        if grad.is_cuda and grad.numel():
            there = _solve_on_device(dictionary, indices, counts, grad, mask)
            if there is not None:
                return _of_solved(*there, signals, mask, dictionary, values, indices, counts, of_signals, of_dictionary)
        solved = support_solve(dictionary, indices, counts, grad, mask)
    of_x = torch.empty_like(signals) if of_signals else signals.new_empty(0)
    of_d = torch.zeros_like(dictionary) if of_dictionary else signals.new_empty(0)
    for part in parts(indices, len(dictionary)):
        support, observed = indices[part], None if mask is None else mask[part]
        through = _combine(solved[part], support, dictionary, observed)
        if of_signals:
            of_x[part] = through.masked_fill_(values[part, :1].isnan(), torch.nan)
        if of_dictionary:
            residual = signals[part] - _combine(values[part], support, dictionary, None)
            if observed is not None:
                residual.masked_fill_(~observed, 0)
            segments = sort_by_atom(support, counts[part], len(dictionary))
            of_d += segments.sum(solved[part], residual)
            of_d -= segments.sum(values[part], through)
    return of_x, of_d


def _of_solved(
    solved: Tensor,
    through: Tensor,
    signals: Tensor,
    mask: Tensor | None,
    dictionary: Tensor,
    values: Tensor,
    indices: Tensor,
    counts: Tensor,
    of_signals: bool,
    of_dictionary: bool,
) -> tuple[Tensor, Tensor]:
    """The gradients by the CUDA kernels, from u (N, S) and u D_S (N, F)."""
    of_d = signals.new_empty(0)
    if of_dictionary:
        decoded = torch_device.decode(values, indices, counts, dictionary)
        assert decoded is not None  # the systems were solved by kernels of the same extension
        residual = torch.sub(signals, decoded, out=decoded)
        if mask is not None:
            residual.masked_fill_(~mask, 0)
        sums = torch_device.accumulate(solved, indices, counts, residual, len(dictionary), (values, through))
        assert sums is not None
        of_d = sums
    of_x = through.masked_fill_(values[:, :1].isnan(), torch.nan) if of_signals else signals.new_empty(0)
    return of_x, of_d


def _natively(
    grad: Tensor,
    signals: Tensor,
    dictionary: Tensor,
    values: Tensor,
    indices: Tensor,
    counts: Tensor,
    of_signals: Tensor | None,
    of_dictionary: Tensor | None,
) -> bool:
    """Write the gradients by the C++ kernel, in one pass over the signals; False where there is none."""
    with torch.autocast("cpu", enabled=False):
        atoms, inverse_norms = _unit_atoms(dictionary)
        gram = atoms @ atoms.T
    ridge, least = RIDGE[grad.dtype], _LEAST_PIVOT[grad.dtype]
    return torch_native.support_gradients(
        grad, signals, dictionary, gram, inverse_norms, values, indices, counts, ridge, least, of_signals, of_dictionary
    )


def _unit_atoms(dictionary: Tensor) -> tuple[Tensor, Tensor]:
    """The atoms (K, F) scaled to unit norm, and the inverses of their norms (K,)."""
    largest = dictionary.abs().amax(1, keepdim=True)
    largest = torch.where(largest > 0, largest, 1)
    scaled = dictionary / largest  # whose norms cannot overflow
    norms = torch.linalg.vector_norm(scaled, dim=1, keepdim=True).clamp_min_(0.5)
    return scaled / norms, (largest * norms).reciprocal_().squeeze(1)


def _solve_on_device(
    dictionary: Tensor, indices: Tensor, counts: Tensor, grad: Tensor, mask: Tensor | None
) -> tuple[Tensor, Tensor] | None:
    """u (N, S) and u D_S (N, F) by the CUDA kernel, or None where there is none, or it has no room for so many
    entries."""
    if why_not("omp", "cuda") is not None:
        return None
    from sparsefast.kernels.cuda.support_solve import largest_support, support_solve

    if indices.shape[1] > largest_support(grad):
        return None
    grad = grad.contiguous()
    solved, through = torch.empty_like(grad), grad.new_empty((len(grad), dictionary.shape[1]))
    support_solve(dictionary, indices.contiguous(), counts.contiguous(), grad, mask, solved, through)
    return solved, through


def _combine(weights: Tensor, indices: Tensor, dictionary: Tensor, mask: Tensor | None) -> Tensor:
    """The sums over S of weights times atoms, (N, F), zero where they are not observed."""
    out = torch.nn.functional.embedding_bag(indices, dictionary, mode="sum", per_sample_weights=weights)
    return out if mask is None else out.masked_fill_(~mask, 0)


def support_solve(
    dictionary: Tensor, indices: Tensor, counts: Tensor, grad: Tensor, mask: Tensor | None = None
) -> Tensor:
    """u (N, S) with (D_S D_S^T + ridge) u = grad on the support of each signal, and zeros in the padding.

    The matrices stand behind each other with the signals fastest, and are factored together, as L diag(d) L^T: each
    step is one elementwise operation on all of them, so that a result does not depend on which signals are together.
    """
    n_signals, n_nonzero = indices.shape
    atoms, inverse_norms = _unit_atoms(dictionary)
    gram = atoms @ atoms.T if mask is None and len(atoms) <= _MAX_GRAM else None

    out = torch.empty_like(grad, memory_format=torch.contiguous_format)
    together = _TOGETHER if grad.device.type == "cpu" else _TOGETHER_ON_GPU
    features = 0 if gram is not None else dictionary.shape[1]
    step = max(64, together // (n_nonzero * max(n_nonzero, features)))
    for start in range(0, n_signals, step):
        part = slice(start, start + step)
        used = (~unused(indices[part], counts[part])).T.contiguous()
        columns = indices[part].T.contiguous()
        inverse = inverse_norms.take(columns)
        right = torch.where(used, grad[part].T, 0).mul_(inverse)
        if gram is not None:
            system = _systems_of_gram(gram, columns)
        else:
            system, scale = _systems_of_atoms(atoms, indices[part], None if mask is None else mask[part])
            inverse = inverse * scale
            right.mul_(scale)
        # Padding comes last, so that with its rows of the lower triangle gone it is apart from the others.
        system.mul_(used.unsqueeze(1))
        _solve(system, right)
        out[part] = right.mul_(inverse).T
    return out


def _systems_of_gram(gram: Tensor, columns: Tensor) -> Tensor:
    """G_SS (S, S, n) of each column of indices (S, n), the part below the diagonal alone."""
    n_nonzero, n = columns.shape
    system = gram.new_empty((n_nonzero, n_nonzero, n))
    rows = columns * gram.shape[0]
    for i in range(1, n_nonzero):
        system[i, :i] = gram.take(rows[i] + columns[:i])
    return system


def _systems_of_atoms(atoms: Tensor, indices: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """The same from the atoms themselves, of indices (n, S), divided by the norms of their observed part; and the
    inverse of those norms, (S, n)."""
    selected = atoms.index_select(0, indices.reshape(-1)).view(*indices.shape, atoms.shape[1])
    if mask is not None:
        selected = selected * mask.unsqueeze(1)
    scale = torch.linalg.vector_norm(selected, dim=2)
    scale = torch.where(scale > 0, scale, 1).reciprocal_()
    selected = selected * scale.unsqueeze(2)
    return torch.bmm(selected, selected.mT).permute(1, 2, 0).contiguous(), scale.T.contiguous()


def _solve(system: Tensor, right: Tensor) -> None:
    """Overwrite right (S, n) with the solutions for systems (S, S, n) of unit diagonal, given below it."""
    n_nonzero = len(system)
    ridge, least = RIDGE[system.dtype], _LEAST_PIVOT[system.dtype]
    system.diagonal().fill_(1 + ridge)
    # Products and differences are rounded apart: fused in some elements only, they would depend on the split.
    for j in range(n_nonzero):
        inverse = system[j, j].clamp_min_(least).reciprocal_()
        below = system[j + 1 :, j]
        factor = below * inverse
        system[j + 1 :, j + 1 :].sub_(factor.unsqueeze(1) * below.unsqueeze(0))
        right[j + 1 :].sub_(factor * right[j])
        below.copy_(factor)
    right.mul_(system.diagonal().T)
    for i in range(n_nonzero - 1, 0, -1):
        right[:i].sub_(system[i, :i] * right[i])


def distance_gradients(
    grad: Tensor,
    signals: Tensor,
    codebook: Tensor,
    indices: Tensor,
    distances: Tensor,
    of_signals: bool,
    of_codebook: bool,
) -> tuple[Tensor, Tensor]:
    """The gradients of distances ||x - d_i||, (N,), in signals (N, F) and codebook (K, F): zero where x = d_i, and NaN
    in the signals, alone, where the distance is NaN."""
    scale = torch.where(distances == 0, 0, grad / distances)
    of_x = (signals - codebook.index_select(0, indices)).mul_(scale.unsqueeze(1))
    of_d = signals.new_empty(0)
    if of_codebook:
        weights, used = torch.full_like(grad, -1).unsqueeze(1), (~distances.isnan()).to(torch.int32)
        entries, n_codes = indices.unsqueeze(1), codebook.shape[0]
        sums = torch_device.accumulate(weights, entries, used, of_x, n_codes)
        of_d = sort_by_atom(entries, used, n_codes).sum(weights, of_x) if sums is None else sums
    return of_x if of_signals else signals.new_empty(0), of_d
