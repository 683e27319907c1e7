"""`unfold` and `fold` as operators that PyTorch differentiates, traces and batches.

Both are linear in the pixels and each is the other's adjoint, so their derivatives are made of themselves and can be
differentiated as often as one likes. With g the gradient of out = fold(p), s the inverse of the sum of the weights D (1
without normalize), and U the unfolding of g s:

    of p   w f U          of f   sum over the pixels of a patch of w U (p - unfold(out))          of w   the same with f

where unfold(out) is left out without normalize. D is a fold itself.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sparsefast import arrays
from sparsefast.kernels.patch_grid import grid
from sparsefast.ops import patch_arguments as given
from sparsefast.ops.fold import check_fold, run_fold
from sparsefast.ops.patch_views import view_of
from sparsefast.ops.patch_weights import named_window, on_device
from sparsefast.ops.torch_library import LIBRARY, define, flatten, loop, unflatten
from sparsefast.ops.unfold import check_unfold, run_unfold

arrays.torch_ready()  # before anything is traced, which could not run it

# Where patches lie, in the schemas.
_PLACES = "SymInt[2] patch, SymInt[2] stride, str border, str layout, str? backend"


def _unfold(
    images: Tensor,
    centers: Tensor | None,
    patch: Any,
    stride: Any,
    border: str,
    layout: str,
    backend: str | None,
    out: Tensor | None = None,
) -> Tensor:
    return run_unfold(images, tuple(patch), tuple(stride), border, layout, centers, out, backend, views=False)


def _unfold_fake(
    images: Tensor, centers: Tensor | None, patch: Any, stride: Any, border: str, layout: str, backend: str | None
) -> Tensor:
    return images.new_empty(_patches_like(images.shape, centers, patch, stride, border, layout))


def _patches_like(shape: Any, centers: Tensor | None, patch: Any, stride: Any, border: str, layout: str) -> Any:
    """The shape of the patches of images (B, C, H, W)."""
    batch, channels, height, width = shape
    ph, pw = patch
    if centers is not None:
        n_patches = centers.shape[-2]
    else:
        n_patches = grid((height, width), (ph, pw), tuple(stride), border).n_patches
    if layout == "columns":
        return batch, channels * ph * pw, n_patches
    return (batch, n_patches, channels, ph, pw) if layout == "patches" else (batch, n_patches, channels * ph * pw)


def _fold(
    patches: Tensor,
    window: Tensor | None,
    confidence: Tensor | None,
    centers: Tensor | None,
    size: Any,
    weights: str,
    normalize: bool,
    patch: Any,
    stride: Any,
    border: str,
    layout: str,
    backend: str | None,
    out: Tensor | None = None,
) -> Tensor:
    w = weights if window is None else window
    call = check_fold(
        patches, tuple(size), tuple(patch), tuple(stride), border, layout, w, confidence, normalize, centers
    )
    return run_fold(call, patches, w, confidence, normalize, out, backend)


def _fold_fake(
    patches: Tensor,
    window: Tensor | None,
    confidence: Tensor | None,
    centers: Tensor | None,
    size: Any,
    weights: str,
    normalize: bool,
    patch: Any,
    stride: Any,
    border: str,
    layout: str,
    backend: str | None,
) -> Tensor:
    return patches.new_empty((patches.shape[0], _n_channels(patches.shape, patch, layout), *size))


def _n_channels(shape: Any, patch: Any, layout: str) -> Any:
    if layout == "patches":
        return shape[2]
    return shape[1 if layout == "columns" else 2] // (patch[0] * patch[1])


def _save_unfold(ctx: Any, inputs: Any, output: Any) -> None:
    images, centers, *ctx.places = inputs
    ctx.size = tuple(images.shape[-2:])
    ctx.save_for_backward(centers)


def _unfold_backward(ctx: Any, grad: Tensor) -> Any:
    (centers,) = ctx.saved_tensors
    return fold_op(grad, None, None, centers, ctx.size, "uniform", False, *ctx.places), *(None,) * 6


def _save_fold(ctx: Any, inputs: Any, output: Any) -> None:
    patches, window, confidence, centers, ctx.size, ctx.weights, ctx.normalize, *ctx.places = inputs
    varying = ctx.needs_input_grad[1] or ctx.needs_input_grad[2]
    ctx.save_for_backward(patches if varying else None, window, confidence, centers, output if varying else None)
    ctx.shape, ctx.dtype = patches.shape, patches.dtype


def _fold_backward(ctx: Any, grad: Tensor) -> Any:
    patches, window, confidence, centers, out = ctx.saved_tensors
    of_patches, of_window, of_confidence = ctx.needs_input_grad[:3]
    weights = _weights(ctx, window, grad)
    scaled = grad
    if ctx.normalize:
        total = _total(ctx, weights, confidence, centers, grad)
        scaled = torch.where(total == 0, 0, grad / torch.where(total == 0, 1, total))
    there = _parts(unfold_op(scaled, centers, *ctx.places), ctx)
    factors = None if confidence is None else _wide(confidence, grad)[..., None, None, None]
    grads: list[Tensor | None] = [None] * 12
    if of_patches:
        part = there if weights is None else there * weights
        part = part if factors is None else part * factors
        grads[0] = _joined(part, ctx).to(ctx.dtype)
    if of_window or of_confidence:
        said = _parts(patches, ctx)
        if ctx.normalize:
            said = said - _parts(unfold_op(out, centers, *ctx.places), ctx)
        said = said * there
        if of_confidence:
            grads[2] = (said if weights is None else said * weights).sum((2, 3, 4)).to(confidence.dtype)
        if of_window:
            grads[1] = (said if factors is None else said * factors).sum((0, 1, 2)).to(window.dtype)
    return tuple(grads)


def _weights(ctx: Any, window: Tensor | None, like: Tensor) -> Tensor | None:
    if window is not None:
        return _wide(window, like)
    known = named_window(ctx.weights, tuple(ctx.places[0]), like.dtype == torch.float64)
    if known is None:
        return None
    kind = arrays.torch_ready()
    if kind.device(like) == "cpu" or type(like) is not Tensor or torch._C._len_torch_dispatch_stack():
        return torch.from_numpy(known).to(like.device)
    # A copy would wait for the GPU; this one is there from the call before.
    there: Tensor = on_device(known, kind.on(like), kind.device(like))
    return there


def _total(ctx: Any, weights: Tensor | None, confidence: Tensor | None, centers: Tensor | None, grad: Tensor) -> Tensor:
    """The sum of the weights at each pixel: (B or 1, 1, H, W)."""
    patch, stride, border, layout, backend = ctx.places
    dtype = torch.float64 if grad.dtype == torch.float64 else torch.float32
    batch, n_patches = ctx.shape[0], ctx.shape[2 if layout == "columns" else 1]
    ones = torch.ones((batch, n_patches, 1, *patch), dtype=dtype, device=grad.device)
    ones = ones if weights is None else ones * weights.to(dtype)
    ones = ones if confidence is None else ones * confidence.to(dtype)[..., None, None, None]
    return fold_op(ones, None, None, centers, ctx.size, "uniform", False, patch, stride, border, "patches", backend)


def _wide(x: Tensor, like: Tensor) -> Tensor:
    """In the dtype in which sums run."""
    return x.to(torch.float64 if like.dtype == torch.float64 else torch.float32)


def _parts(x: Tensor, ctx: Any) -> Tensor:
    """Patches of any layout as (B, L, C, ph, pw)."""
    (height, width), layout = ctx.places[0], ctx.places[3]
    if layout == "columns":
        x = x.transpose(1, 2)
    return x.reshape(x.shape[0], x.shape[1], -1, height, width) if x.ndim == 3 else x


def _joined(x: Tensor, ctx: Any) -> Tensor:
    """The other way round."""
    if ctx.places[3] == "patches":
        return x
    x = x.flatten(2)
    return x.transpose(1, 2) if ctx.places[3] == "columns" else x


def _batch_unfold(op: Any, info: Any, in_dims: Any, args: Any) -> Any:
    images, centers, *rest = args
    size = info.batch_size
    n_images = images.shape[0 if in_dims[0] is None or in_dims[0] > 0 else 1]
    flat = flatten(images, in_dims[0], size)
    return unflatten(op(flat, _flat_centers(centers, in_dims[1], size, n_images), *rest), size), 0


def _flat_centers(centers: Tensor | None, dim: int | None, size: int, n_images: int) -> Tensor | None:
    """Centers (L, 2) or (B, L, 2), with the batch dimension `dim` or without, for size times B images."""
    if centers is None or (dim is None and centers.ndim == 2):
        return centers
    each = centers.movedim(dim, 0) if dim is not None else centers.expand(size, *centers.shape)
    if each.ndim == 3:
        each = each[:, None].expand(-1, n_images, -1, -1)
    return each.reshape(-1, *each.shape[2:])


def _batch_fold(op: Any, info: Any, in_dims: Any, args: Any) -> Any:
    patches, window, confidence, centers, *rest = args
    size = info.batch_size
    if in_dims[1] is not None:
        return loop(op, info, in_dims, args)
    n_images = patches.shape[0 if in_dims[0] is None or in_dims[0] > 0 else 1]
    flat = flatten(patches, in_dims[0], size)
    factors = None if confidence is None else flatten(confidence, in_dims[2], size)
    places = _flat_centers(centers, in_dims[3], size, n_images)
    return unflatten(op(flat, window, factors, places, *rest), size), 0


unfold_op = define(
    f"unfold(Tensor images, Tensor? centers, {_PLACES}) -> Tensor",
    _unfold,
    _unfold_fake,
    batch=_batch_unfold,
    backward=_unfold_backward,
    save=_save_unfold,
)
fold_op = define(
    "fold(Tensor patches, Tensor? window, Tensor? confidence, Tensor? centers, SymInt[2] size, str weights, "
    f"bool normalize, {_PLACES}) -> Tensor",
    _fold,
    _fold_fake,
    batch=_batch_fold,
    backward=_fold_backward,
    save=_save_fold,
)


def _unfold_out(*arguments: Any) -> None:
    _unfold(*arguments)


def _fold_out(*arguments: Any) -> None:
    _fold(*arguments)


def _define_out(schema: str, implementation: Any) -> Any:
    """An operator that writes to its last argument and returns nothing, which records no gradient."""
    name = schema.partition("(")[0]
    LIBRARY.define(schema, tags=(torch.Tag.pt2_compliant_tag,))
    LIBRARY.impl(name, implementation, "CompositeExplicitAutograd")
    torch.library.register_fake(f"sparsefast::{name}", lambda *args: None, lib=LIBRARY)
    return getattr(torch.ops.sparsefast, name).default


_unfold_out_op = _define_out(
    f"unfold_out(Tensor images, Tensor? centers, {_PLACES}, Tensor(a!) out) -> ()", _unfold_out
)
_fold_out_op = _define_out(
    "fold_out(Tensor patches, Tensor? window, Tensor? confidence, Tensor? centers, SymInt[2] size, str weights, "
    f"bool normalize, {_PLACES}, Tensor(a!) out) -> ()",
    _fold_out,
)


def _refuse_gradient(op: str, *inputs: Any) -> None:
    if torch.is_grad_enabled() and any(isinstance(x, Tensor) and x.requires_grad for x in inputs):
        raise ValueError(f"{op}: out records no gradient, and an argument requires grad; leave out= out, or detach it")


def unfold(
    images: Tensor,
    patch_size: Any,
    stride: Any,
    border: str,
    layout: str,
    centers: Tensor | None,
    out: Tensor | None,
    backend: str | None,
) -> Tensor:
    """`sparsefast.unfold` on tensors."""
    kind, _, _, places = check_unfold(images, patch_size, stride, border, layout, centers)
    _require_tensor("unfold", "images", images, kind)
    where = (None if centers is None else centers.detach(), places.patch, places.stride, border, layout, backend)
    if out is not None:
        _refuse_gradient("unfold", images, out)
        _require_tensor("unfold", "out", out, arrays.kind_of(out, "unfold: out"))
        shape = places.shape(tuple(images.shape[:-3]), images.shape[-3])
        _check_out("unfold", out, shape, "images", images)
        # A view of a dense tensor: one more dimension.
        batched, written = (images, out) if images.ndim == 4 else (images[None], out[None])
        _unfold_out_op(batched.detach(), *where, written)
        return out
    view = (
        None
        if torch._C._functorch.peek_interpreter_stack() is not None
        else view_of(images.shape, images.stride(), places)
    )
    if view is not None:
        return images.as_strided(*view)
    return unfold_op(images, *where) if images.ndim == 4 else unfold_op(images[None], *where)[0]


def fold(
    patches: Tensor,
    output_size: Any,
    patch_size: Any,
    stride: Any,
    border: str,
    layout: str,
    weights: Any,
    confidence: Tensor | None,
    normalize: bool,
    centers: Tensor | None,
    out: Tensor | None,
    backend: str | None,
) -> Tensor:
    """`sparsefast.fold` on tensors."""
    call = check_fold(patches, output_size, patch_size, stride, border, layout, weights, confidence, normalize, centers)
    _require_tensor("fold", "patches", patches, call.kind)
    batched = patches if call.batch else patches[None]
    factors = confidence
    if confidence is not None:
        factors = confidence.expand(batched.shape[0], confidence.shape[-1])
    window, name = (None, weights) if isinstance(weights, str) else (weights, "")
    places = call.places
    arguments = (
        batched, window, factors, None if centers is None else centers.detach(), places.image, name,
        normalize, places.patch, places.stride, border, layout, backend,
    )  # fmt: skip
    if out is not None:
        _refuse_gradient("fold", patches, weights, confidence, out)
        _require_tensor("fold", "out", out, arrays.kind_of(out, "fold: out"))
        _check_out("fold", out, (*call.batch, call.channels, *places.image), "patches", patches)
        without = (x.detach() if isinstance(x, Tensor) else x for x in arguments)
        _fold_out_op(*without, out if call.batch else out[None])
        return out
    return fold_op(*arguments) if call.batch else fold_op(*arguments)[0]


def _require_tensor(op: str, name: str, x: Any, kind: Any) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"{op}: {name} is {kind.words}; under torch.compile and autocast it must be a PyTorch tensor")


def _check_out(op: str, out: Tensor, shape: tuple[int, ...], first: str, x: Tensor) -> None:
    """While a call is traced tensors have no memory to look at; the operator looks when it runs."""
    if torch.compiler.is_compiling():
        if tuple(out.shape) != shape or out.dtype != x.dtype or out.device != x.device:
            raise ValueError(f"{op}: out must be of shape {shape}, {x.dtype}, on {x.device}")
        return
    kind = arrays.kind_of(x, f"{op}: {first}")
    given.check_out(op, out, shape, first, x, (kind, kind.device(x), kind.dtype(x)))
