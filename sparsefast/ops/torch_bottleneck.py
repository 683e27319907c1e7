"""The dictionary bottleneck as one operator: codes by OMP, what they stand for, and the loss, forward and back.

With signals x (of n numbers in all), atoms d, codes a, i as `omp` makes them, and weights c, w of the loss:

    x^ = sum over j of a_j d_i, i = i_j        r = x - x^        loss = (c + w) mean r^2

The loss stands for two terms: c moves signals, w atoms, and coefficients are constants. With g = dL/dx^:

    straight-through    dL/dx = g + 2 c/n r        dL/dd_i = -2 w/n sum over the entries of i of a_j r
    implicit            those of `SparseCode.decode` of what `omp` returns, and what the loss adds

On a CPU it is one pass of C++ each way; elsewhere it is composed of the operators of its parts. Its gradient can be
differentiated once more without `implicit`; with it that raises, as for `omp`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

from sparsefast.ops import bottleneck_native as native
from sparsefast.ops.torch_coders import least_squares_gradients
from sparsefast.ops.torch_decode import accumulate, correlate, decode
from sparsefast.ops.torch_library import define, loop
from sparsefast.ops.torch_segments import unused

# Of torch.nn.functional.normalize: no norm is taken for less.
_LEAST_NORM = 1e-12


class Coded(NamedTuple):
    """What the operator returns."""

    reconstruction: Tensor  # as the latent
    loss: Tensor  # ()
    values: Tensor  # (..., S), a row for each place
    indices: Tensor  # (..., S) int64
    counts: Tensor  # (...,) int32
    status: Tensor  # (...,) uint8
    usage: Tensor  # (K,) int64
    residual: Tensor  # (N, F) or (0, F)
    sums: Tensor  # (K, F) or (0, F): over the entries of each atom of a_j r


def bottleneck(
    latent: Tensor,
    dictionary: Tensor,
    n_nonzero: int,
    *,
    normalize_atoms: bool,
    implicit: bool,
    commitment: float,
    weight: float,
) -> Coded:
    """Code a latent by the rows of a dictionary, or by these scaled to unit norm.

    Parameters
    ----------
    latent : tensor of shape (B, F, H, W) or (N, F), float32 or float64
    dictionary : tensor of shape (K, F), of the latent's dtype and device
    n_nonzero : int
        S, 1 to K.
    implicit : bool
        Whether the gradient of the reconstruction goes through the coder, as does that of the values. Else it goes to
        the latent unchanged, and the values are constants.
    commitment, weight : float
        c and w.
    """
    recorded = torch.is_grad_enabled()
    of_dictionary = recorded and dictionary.requires_grad
    with_residual = of_dictionary or (recorded and latent.requires_grad)
    with_sums = of_dictionary and not implicit
    out = _bottleneck(
        latent, dictionary, n_nonzero, normalize_atoms, implicit, commitment, weight, with_residual, with_sums
    )
    coded = Coded(*out)
    return coded if implicit else coded._replace(values=coded.values.detach())


def _atoms(dictionary: Tensor, normalize_atoms: bool) -> Tensor:
    return normalize(dictionary, dim=1) if normalize_atoms else dictionary


def _rows(latent: Tensor) -> Tensor:
    """The signals (N, F)."""
    return latent if latent.ndim == 2 else latent.permute(0, 2, 3, 1).reshape(-1, latent.shape[1])


def _latent(rows: Tensor, shape: Sequence[int]) -> Tensor:
    """What `_rows` undoes."""
    if len(shape) == 2:
        return rows
    return rows.reshape(shape[0], shape[2], shape[3], shape[1]).permute(0, 3, 1, 2)


def _flat(values: Tensor, indices: Tensor, counts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    s = values.shape[-1]
    return values.reshape(-1, s), indices.reshape(-1, s), counts.reshape(-1)


def _forward(
    latent: Tensor,
    dictionary: Tensor,
    n_nonzero: int,
    normalize_atoms: bool,
    implicit: bool,
    commitment: float,
    weight: float,
    with_residual: bool,
    with_sums: bool,
) -> tuple[Tensor, ...]:
    planes = native.in_planes(latent)
    if native.runs(latent):
        return native.forward(
            native.laid_out(latent, planes), planes, dictionary, normalize_atoms, n_nonzero, commitment + weight,
            with_residual, with_sums,
        )  # fmt: skip
    from sparsefast.ops.omp import run_omp

    atoms = _atoms(dictionary, normalize_atoms)
    signals = _rows(latent)
    code = run_omp(signals, atoms, n_nonzero)
    entries = code.values, code.indices, code.counts
    decoded = decode(*entries, atoms)
    residual = signals - decoded
    named = (~unused(code.indices, code.counts)).to(torch.int64)
    usage = named.new_zeros(len(atoms)).scatter_add_(0, code.indices.reshape(-1), named.reshape(-1))
    found = [
        _latent(decoded, latent.shape), (commitment + weight) * residual.square().mean(), *entries, code.status,
        usage, residual, accumulate(*entries, residual, len(atoms)) if with_sums else None,
    ]  # fmt: skip
    written = native.outputs(latent, planes, dictionary, n_nonzero, with_residual, with_sums)
    for out, x in zip(written, found, strict=True):
        if x is not None and out.numel():
            out.copy_(x.reshape(out.shape))
    return written


def _forward_fake(
    latent: Tensor,
    dictionary: Tensor,
    n_nonzero: int,
    normalize_atoms: bool,
    implicit: bool,
    commitment: float,
    weight: float,
    with_residual: bool,
    with_sums: bool,
) -> tuple[Tensor, ...]:
    return native.outputs(latent, native.in_planes(latent), dictionary, n_nonzero, with_residual, with_sums)


def _save(ctx: Any, inputs: Any, output: Any) -> None:
    latent, dictionary, _, ctx.normalize_atoms, ctx.implicit, ctx.commitment, ctx.weight, *_ = inputs
    _, _, values, indices, counts, _, _, residual, sums = output
    ctx.set_materialize_grads(False)
    ctx.planes = native.in_planes(latent)
    ctx.save_for_backward(latent, dictionary, values, indices, counts, residual, sums)


def _backward(ctx: Any, grad: Tensor | None, grad_loss: Tensor | None, grad_values: Tensor | None, *_: Any) -> Any:
    nothing = (None,) * 7
    of_latent, of_dictionary, *_ = ctx.needs_input_grad
    if not ctx.implicit:
        grad_values = None
        if grad_loss is None:
            return grad if of_latent else None, None, *nothing
    if grad is None and grad_loss is None and grad_values is None:
        return None, None, *nothing
    latent, dictionary, values, indices, counts, residual, sums = ctx.saved_tensors
    flags = ctx.normalize_atoms, ctx.implicit, ctx.commitment, ctx.weight, of_latent, of_dictionary
    if torch.is_grad_enabled():
        of = _composed(
            grad, grad_loss, grad_values, latent, None, values.detach(), indices, counts, dictionary, None, *flags
        )
    else:
        of = bottleneck_gradients(
            grad, grad_loss, grad_values, residual, values, indices, counts, dictionary, sums, latent.shape,
            ctx.planes, *flags,
        )  # fmt: skip
    return of[0] if of_latent else None, of[1] if of_dictionary else None, *nothing


def _composed(
    grad: Tensor | None,
    grad_loss: Tensor | None,
    grad_values: Tensor | None,
    latent: Tensor,
    residual: Tensor | None,
    values: Tensor,
    indices: Tensor,
    counts: Tensor,
    dictionary: Tensor,
    sums: Tensor | None,
    normalize_atoms: bool,
    implicit: bool,
    commitment: float,
    weight: float,
    of_latent: bool,
    of_dictionary: bool,
) -> tuple[Tensor, Tensor]:
    """The gradients by operations that are differentiable themselves, in latent and dictionary too where the residual
    is not given."""
    atoms, signals = _atoms(dictionary, normalize_atoms), _rows(latent)
    values, indices, counts = _flat(values, indices, counts)
    if residual is None:
        residual = signals - decode(values, indices, counts, atoms)
    n_atoms, shape = len(dictionary), latent.shape
    rows = None if grad is None else _rows(grad)
    of_rows, of_atoms = torch.zeros_like(signals), torch.zeros_like(atoms)
    if not implicit:
        of_rows = of_rows if rows is None else rows
    elif rows is not None or grad_values is not None:
        through = torch.zeros_like(values) if grad_values is None else grad_values.reshape(values.shape)
        if rows is not None:
            through = through + correlate(rows, indices, counts, atoms)
            of_atoms = accumulate(values, indices, counts, rows, n_atoms)
        of_rows, of_coder = least_squares_gradients(through, signals, None, atoms, values, indices, counts, True, True)
        of_atoms = of_atoms + of_coder
    if grad_loss is not None:
        scale = grad_loss * (2 / max(1, signals.numel()))
        of_rows = of_rows + scale * commitment * residual
        if of_dictionary:
            summed = accumulate(values, indices, counts, residual, n_atoms) if sums is None else sums
            of_atoms = of_atoms - scale * weight * summed
    if normalize_atoms and of_dictionary:
        norms = torch.linalg.vector_norm(dictionary, dim=1, keepdim=True)
        along = torch.where(norms < _LEAST_NORM, 0, (of_atoms * atoms).sum(1, keepdim=True))
        of_atoms = (of_atoms - along * atoms) / norms.clamp_min(_LEAST_NORM)
    return _latent(of_rows, shape), of_atoms


def _gradients(
    grad: Tensor | None,
    grad_loss: Tensor | None,
    grad_values: Tensor | None,
    residual: Tensor,
    values: Tensor,
    indices: Tensor,
    counts: Tensor,
    dictionary: Tensor,
    sums: Tensor,
    shape: Sequence[int],
    planes: bool,
    normalize_atoms: bool,
    implicit: bool,
    commitment: float,
    weight: float,
    of_latent: bool,
    of_dictionary: bool,
) -> tuple[Tensor, Tensor]:
    if native.runs(residual):
        if of_dictionary and not implicit and not len(sums):
            sums = accumulate(*_flat(values, indices, counts), residual, len(dictionary))
        scale = 0.0 if grad_loss is None else 2 * float(grad_loss) / max(1, residual.numel())
        return native.gradients(
            grad, grad_values, residual, values, indices, counts, dictionary, sums, shape, planes,
            normalize_atoms, implicit, scale * commitment, -scale * weight, of_latent, of_dictionary,
        )  # fmt: skip
    with torch.autocast(residual.device.type, enabled=False):
        decoded = decode(*_flat(values, indices, counts), _atoms(dictionary, normalize_atoms))
        of_x, of_d = _composed(
            grad, grad_loss, grad_values, _latent(residual + decoded, shape), residual, values, indices, counts,
            dictionary, sums if len(sums) else None, normalize_atoms, implicit, commitment, weight,
            of_latent, of_dictionary,
        )  # fmt: skip
    out = native.empty(residual, shape, planes).copy_(of_x) if of_latent else residual.new_empty(0)
    return out, of_d.contiguous() if of_dictionary else residual.new_empty(0)


def _gradients_fake(
    grad: Tensor | None,
    grad_loss: Tensor | None,
    grad_values: Tensor | None,
    residual: Tensor,
    values: Tensor,
    indices: Tensor,
    counts: Tensor,
    dictionary: Tensor,
    sums: Tensor,
    shape: Sequence[int],
    planes: bool,
    normalize_atoms: bool,
    implicit: bool,
    commitment: float,
    weight: float,
    of_latent: bool,
    of_dictionary: bool,
) -> tuple[Tensor, Tensor]:
    return (
        native.empty(residual, shape, planes) if of_latent else residual.new_empty(0),
        dictionary.new_empty(dictionary.shape if of_dictionary else (0,)),
    )


_bottleneck = define(
    "bottleneck(Tensor latent, Tensor dictionary, SymInt n_nonzero, bool normalize_atoms, bool implicit, "
    "float commitment, float weight, bool with_residual, bool with_sums) -> (Tensor reconstruction, Tensor loss, "
    "Tensor values, Tensor indices, Tensor counts, Tensor status, Tensor usage, Tensor residual, Tensor sums)",
    _forward,
    _forward_fake,
    batch=loop,
    backward=_backward,
    save=_save,
)
bottleneck_gradients = define(
    "bottleneck_gradients(Tensor? grad, Tensor? grad_loss, Tensor? grad_values, Tensor residual, Tensor values, "
    "Tensor indices, Tensor counts, Tensor dictionary, Tensor sums, SymInt[] shape, bool planes, "
    "bool normalize_atoms, bool implicit, float commitment, float weight, bool of_latent, bool of_dictionary) "
    "-> (Tensor, Tensor)",
    _gradients,
    _gradients_fake,
    batch=loop,
)
