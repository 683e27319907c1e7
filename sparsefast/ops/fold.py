"""Images from overlapping patches: weighted overlap-add."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from sparsefast import threads
from sparsefast.arrays import Array, Kind
from sparsefast.dispatch import resolve
from sparsefast.ops import patch_arguments as given
from sparsefast.ops.hook import needs_torch
from sparsefast.ops.patch_corners import corners_of, tile_lists
from sparsefast.ops.patch_weights import WINDOWS, inverse_coverage, named_window, on_device
from sparsefast.ops.signals import check_flag


def fold(
    patches: Array,
    output_size: int | tuple[int, int],
    patch_size: int | tuple[int, int],
    stride: int | tuple[int, int] = 1,
    *,
    border: str = "clamp_last",
    layout: str = "columns",
    weights: str | Array = "uniform",
    confidence: Array | None = None,
    normalize: bool = True,
    centers: Array | None = None,
    out: Array | None = None,
    backend: str | None = None,
) -> Array:
    """Images from their overlapping patches, as `unfold` takes them out: each pixel the weighted mean of what the
    patches that cover it say, or with normalize=False the sum.

        out(y, x) = sum_l w(y - y_l, x - x_l) f_l patch_l(y - y_l, x - x_l) / sum_l w(y - y_l, x - x_l) f_l

    Parameters
    ----------
    patches : array of shape (B, C * ph * pw, L), (B, L, C, ph, pw) or (B, L, C * ph * pw)
        As `layout` says, or without B; uint8, float16, bfloat16 (PyTorch), float32 or float64, in NumPy, PyTorch or
        CuPy, with any strides.
    output_size : int or (int, int)
        Height and width of the images, in pixels.
    patch_size, stride, border, layout, centers
        As they were given to `unfold`.
    weights : {"uniform", "gaussian", "kaiser"} or array of shape (ph, pw)
        The window w: one of `patch_window`, or of one's own.
    confidence : array of shape (L,) or (B, L), optional
        The confidence f of each patch; 1 where it is not given. Window and confidence are real numbers, of the kind and
        on the device of the patches.
    normalize : bool
        Divide by the sum of the weights; where that is 0 the result is 0. `coverage_map` shows where.
    out : array, optional
        Where to write the result: C-contiguous, of the shape, kind, dtype and device of the result, and not in the
        memory of the patches. It records no gradient.
    backend : {"auto", "cuda", "triton", "cpu", "numba", "reference"}, optional
        As for `omp`.

    Returns
    -------
    array of shape (B, C, H, W), or (C, H, W)
        Of the kind and dtype of the patches. Sums run in float32 (float64 for float64) in increasing l, and are rounded
        once: uint8 to the nearest number, ties to even, and held to 0 to 255. With normalize=False and uniform weights
        it is torch.nn.functional.fold, to rounding.

    Raises
    ------
    TypeError
        If an argument is not of an allowed type or dtype, or two are of different kinds.
    ValueError
        If there are more or fewer patches than the images have, a shape is wrong, devices differ, or `out` cannot be
        written to.
    BackendUnavailable
        If no backend, or not the one asked for, can run on these arrays: with the reason for each.

    Notes
    -----
    With normalize=False and uniform weights the adjoint of `unfold`; linear in the patches always. In PyTorch patches,
    weights and confidence can be differentiated, as often as one likes. The weighted mean is that of K. Dabov, A. Foi,
    V. Katkovnik, K. Egiazarian, "Image denoising by sparse 3-D transform-domain collaborative filtering", IEEE TIP
    2007, equation 12.
    """
    if not isinstance(patches, np.ndarray) and needs_torch(patches, weights, confidence, centers, out):
        from sparsefast.ops import torch_patches

        return torch_patches.fold(
            patches, output_size, patch_size, stride, border, layout,
            weights, confidence, normalize, centers, out, backend,
        )  # fmt: skip
    call = check_fold(patches, output_size, patch_size, stride, border, layout, weights, confidence, normalize, centers)
    return run_fold(call, patches, weights, confidence, normalize, out, backend)


class FoldCall(NamedTuple):
    """What the checks of the arguments found."""

    kind: Kind
    device: str
    dtype: str
    places: given.Placement
    batch: tuple[int, ...]
    channels: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the result."""
        return (*self.batch, self.channels, *self.places.grid.image)


def check_fold(
    patches: Array,
    output_size: Any,
    patch_size: Any,
    stride: Any,
    border: str,
    layout: str,
    weights: Any,
    confidence: Array | None,
    normalize: bool,
    centers: Array | None,
) -> FoldCall:
    """Check all arguments of `fold` but `out`."""
    given.check_word("fold", "layout", layout, given.LAYOUTS)
    dims, words = {
        "columns": (3, "(B, C * ph * pw, L) or (C * ph * pw, L)"),
        "patches": (5, "(B, L, C, ph, pw) or (L, C, ph, pw)"),
        "signals": (3, "(B, L, C * ph * pw) or (L, C * ph * pw)"),
    }[layout]
    words += f' with layout="{layout}"'
    kind, device, dtype = given.check_array("fold", "patches", patches, (dims - 1, dims), words)
    batch = (int(patches.shape[0]),) if patches.ndim == dims else ()
    size = given.check_pair("fold", "output_size", output_size)
    if centers is not None:
        given.check_beside("fold", "centers", centers, kind, device, "patches")
    places = given.check_placement(
        "fold", size, patch_size, stride, border, layout, centers, batch[0] if batch else None
    )
    shape = tuple(int(n) for n in patches.shape[len(batch) :])
    height, width = places.patch
    n_features = shape[0] if layout == "columns" else shape[1] if layout == "signals" else height * width
    channels = shape[1] if layout == "patches" else n_features // (height * width)
    if n_features % (height * width) or places.shape((), channels) != shape:
        raise ValueError(
            f"fold: patches has shape {tuple(patches.shape)}; {places.n_patches} patches of {height} x {width} pixels "
            f"for output_size {size} are {words}"
        )
    check_weights("fold", weights, confidence, batch, places, kind, device)
    check_flag("fold", "normalize", normalize)
    return FoldCall(kind, device, dtype, places, batch, channels)


def check_weights(
    op: str,
    weights: Any,
    confidence: Array | None,
    batch: tuple[int, ...],
    places: given.Placement,
    kind: Kind,
    device: str,
) -> None:
    """Raise unless window and confidence go with the patches."""
    if isinstance(weights, str):
        given.check_word(op, "weights", weights, WINDOWS)
    else:
        given.check_beside(op, "weights", weights, kind, device, "patches")
        _require_real(op, "weights", weights, kind)
        if tuple(weights.shape) != places.patch:
            raise ValueError(
                f"{op}: weights has shape {tuple(weights.shape)}; it must be that of a patch, {places.patch}"
            )
    if confidence is not None:
        given.check_beside(op, "confidence", confidence, kind, device, "patches")
        _require_real(op, "confidence", confidence, kind)
        allowed = [(places.n_patches,), (*batch, places.n_patches)]
        if tuple(confidence.shape) not in allowed:
            raise ValueError(
                f"{op}: confidence has shape {tuple(confidence.shape)}; it must be "
                + " or ".join(str(shape) for shape in dict.fromkeys(allowed))
            )


def _require_real(op: str, name: str, x: Array, kind: Kind) -> None:
    dtype = kind.dtype(x)
    if not dtype.startswith(("float", "bfloat", "int", "uint")):
        raise TypeError(f"{op}: {name} has dtype {dtype}; it must be real numbers")


def run_fold(
    call: FoldCall,
    patches: Array,
    weights: Any,
    confidence: Array | None,
    normalize: bool,
    out: Array | None = None,
    backend: str | None = None,
) -> Array:
    """`fold` on checked arguments and without the detour over PyTorch: tensors are read as they are."""
    kind, device, dtype, places, batch, channels = call
    choice = resolve("fold", device if device == "cpu" else device.partition(":")[0], dtype, backend)
    if out is not None:
        given.check_out("fold", out, call.shape, "patches", patches, (kind, device, dtype))
    here = kind.on(patches)
    n_images = batch[0] if batch else 1
    x, rows = _dense(here.elements(patches), places, n_images, channels, here)
    result, written = here.empty(call.shape, dtype) if out is None else (out, here.elements(out))
    to = written.reshape(n_images, channels, *places.grid.image)
    wide = dtype == "float64"
    # A window in the memory of a GPU is not looked at: its weights are summed there.
    named = isinstance(weights, str)
    known = named_window(weights, places.patch, wide) if named else None
    if named:
        window = None if known is None else on_device(known, here, call.device)
    else:
        window = here.computing(weights, wide)
        known = window if isinstance(window, np.ndarray) else None
    factors = None
    if confidence is not None:
        factors = here.computing(confidence, wide)
        if factors.ndim == 1:
            factors = here.library.broadcast_to(factors[None], (n_images, factors.shape[0]))
        factors = here.contiguous(factors)
    if places.centers is not None:
        corners = corners_of(places, here)
        tiles = tile_lists(corners, n_images, places, choice.module.TILE)
        choice.module.fold_at(
            x, corners, tiles, places.patch, rows, dtype, window, factors, normalize, to, threads.get_num_threads()
        )
        return result
    inverse = None
    if normalize and factors is None and (window is None or known is not None):
        inverse = inverse_coverage(places.grid, known, here, wide, device)
        normalize = inverse is not None
    choice.module.fold(x, places.grid, rows, dtype, window, factors, inverse, normalize, to, threads.get_num_threads())
    return result


def _dense(x: Array, places: given.Placement, n_images: int, channels: int, here: Any) -> tuple[Array, bool]:
    """Patches as kernels take them, and whether in rows: of the two memory orders the one that needs no copy."""
    if places.layout != "patches" and not here.is_contiguous(x):
        turned = x.swapaxes(-1, -2)
        if here.is_contiguous(turned):
            return (turned if turned.ndim == 3 else turned[None]), not places.rows
    return here.contiguous(x).reshape(places.dense_shape(n_images, channels)), places.rows
