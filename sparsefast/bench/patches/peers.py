"""The peers, each as its users write it, on a CPU or, those of PyTorch, on a GPU.

None of them has another border than "drop", or patches at places of their own: there stands what one writes instead,
advanced indexing and `scatter_add_`. Where a peer wants another layout than the one that is measured, turning its
patches round is inside the time of `unfold` and, as a view, before that of `fold`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sparsefast.bench.contender import Absent, need, version_of
from sparsefast.bench.patches.case import Case
from sparsefast.bench.patches.contender import Contender
from sparsefast.bench.patches.given import Given, padded_images, tensor
from sparsefast.bench.patches.variant import Variant
from sparsefast.bench.patches.window import window

NAN = "NaN where no patch reaches"
Peer = Callable[[Variant, Case, str], Contender | None]


def theirs(
    variant: Variant, case: Case, layout: str, names: Sequence[str] | None = None, device: str = "cpu"
) -> tuple[list[Contender], list[tuple[str, str]]]:
    """The peers that can do this, of those names, and those that are absent, with the reason."""
    found, absent = [], []
    for name, peer in PEERS[variant.op].items():
        if (names is not None and name not in names) or (device != "cpu" and name not in ON_GPU):
            continue
        try:
            who = peer(variant, case, layout)
        except Absent as reason:
            absent.append((name, str(reason)))
            continue
        if who is not None:
            found.append(who)
    return found, absent


def f_unfold(variant: Variant, case: Case, layout: str) -> Contender | None:
    """`torch.nn.functional.unfold`; it is the yardstick where there is an `out`, too."""
    torch = need("torch", "torch")
    if not case.of_torch:
        return None

    def bind(given: Given) -> Callable[[], Any]:
        x = tensor(given.images)
        call = functools.partial(torch.nn.functional.unfold, x, case.patch, stride=case.stride)
        return call if layout == "columns" else lambda: call().transpose(1, 2).contiguous()

    return Contender("F.unfold", version_of("torch"), bind, note="a new output" if variant.out else "")


def im2col_out(variant: Variant, case: Case, layout: str) -> Contender | None:
    """What `F.unfold` calls, with an `out`."""
    torch = need("torch", "torch")
    if not (case.of_torch and variant.out and layout == "columns"):
        return None

    def bind(given: Given) -> Callable[[], Any]:
        x, out = tensor(given.images), tensor(given.out)
        return lambda: torch.ops.aten.im2col.out(x, case.patch, (1, 1), (0, 0), case.stride, out=out)

    return Contender("im2col.out", version_of("torch"), bind)


def tensor_unfold(variant: Variant, case: Case, layout: str) -> Contender | None:
    """The view of `Tensor.unfold`, and a copy of it."""
    need("torch", "torch")
    if not case.of_torch:
        return None
    axes = (0, 1, 4, 5, 2, 3) if layout == "columns" else (0, 2, 3, 1, 4, 5)

    def bind(given: Given) -> Callable[[], Any]:
        x = tensor(given.images)

        def view() -> Any:
            rows = x.unfold(2, case.patch[0], case.stride[0])
            return rows.unfold(3, case.patch[1], case.stride[1]).permute(axes)

        if not variant.out:
            return lambda: view().reshape(given.shape)
        out = tensor(given.out)
        return lambda: out.view(view().shape).copy_(view()).view(given.shape)

    return Contender("Tensor.unfold", version_of("torch"), bind)


def numpy_windows(variant: Variant, case: Case, layout: str) -> Contender | None:
    """`sliding_window_view`, and a copy of it."""
    if not case.of_torch:
        return None
    axes = (0, 1, 4, 5, 2, 3) if layout == "columns" else (0, 2, 3, 1, 4, 5)

    def bind(given: Given) -> Callable[[], Any]:
        def view() -> Any:
            found = np.lib.stride_tricks.sliding_window_view(given.images, case.patch, axis=(2, 3))
            return found[:, :, :: case.stride[0], :: case.stride[1]].transpose(axes)

        def into(out: Any) -> Any:
            np.copyto(out.reshape(view().shape), view())
            return out

        if variant.out:
            return lambda: into(given.out)
        return lambda: np.ascontiguousarray(view()).reshape(given.shape)

    return Contender("NumPy", np.__version__, bind, note="one thread")


def extract_patches_2d(variant: Variant, case: Case, layout: str) -> Contender | None:
    """scikit-learn's, image by image, with the channels last as it wants them."""
    image = need("sklearn.feature_extraction.image", "scikit-learn")
    if not (case.of_torch and case.stride == (1, 1) and layout == "signals") or variant.out:
        return None

    def bind(given: Given) -> Callable[[], Any]:
        pictures = np.ascontiguousarray(given.images.transpose(0, 2, 3, 1))
        return lambda: [image.extract_patches_2d(picture, case.patch) for picture in pictures]

    def decode(result: Any, given: Given) -> Any:
        shape = (len(result[0]), *case.patch, case.channels)
        return [part.reshape(shape).transpose(0, 3, 1, 2).reshape(given.shape[1:]) for part in result]

    return Contender("scikit-learn", version_of("scikit-learn"), bind, decode, note="channels last; one thread")


def reconstruct_from_patches_2d(variant: Variant, case: Case, layout: str) -> Contender | None:
    """scikit-learn's, on one image: it is a loop in Python."""
    image = need("sklearn.feature_extraction.image", "scikit-learn")
    if not (case.of_torch and case.stride == (1, 1) and layout == "signals") or variant.name != "fold":
        return None

    def bind(given: Given) -> Callable[[], Any]:
        shape = (case.n_patches, case.channels, *case.patch)
        patches = np.ascontiguousarray(given.patches[0].reshape(shape).transpose(0, 2, 3, 1))
        size = (*case.size, case.channels)
        return lambda: [image.reconstruct_from_patches_2d(patches, size)]

    def decode(result: Any, given: Given) -> Any:
        return [part.transpose(2, 0, 1).astype(given.dtype) for part in result]

    return Contender("scikit-learn", version_of("scikit-learn"), bind, decode, note="channels last; one thread", most=1)


def f_fold(variant: Variant, case: Case, layout: str) -> Contender | None:
    """`torch.nn.functional.fold`, which sums; the yardstick of the mean, too."""
    need("torch", "torch")
    if not case.of_torch or variant.weights != "uniform":
        return None

    def bind(given: Given) -> Callable[[], Any]:
        patches = _columns(given)
        return lambda: _fold(patches, case)

    note = "the sum alone" if variant.normalize else ""
    return Contender("F.fold", version_of("torch"), bind, sums=True, note=note)


def recipe(variant: Variant, case: Case, layout: str) -> Contender | None:
    """The sum of the patches over that of as many ones."""
    torch = need("torch", "torch")
    if not case.of_torch or not variant.normalize:
        return None

    def bind(given: Given) -> Callable[[], Any]:
        patches, like, w = _columns(given), tensor(given.images), _weights(variant, given)

        def call() -> Any:
            ones = torch.nn.functional.unfold(torch.ones_like(like), case.patch, stride=case.stride)
            if w is None:
                return _fold(patches, case) / _fold(ones, case)
            return _fold(patches * w, case) / _fold(ones * w, case)

        return call

    return Contender("recipe", version_of("torch"), bind, uncovered=False, note=f"fold/fold(unfold(ones)); {NAN}")


def divisor(variant: Variant, case: Case, layout: str) -> Contender | None:
    """The recipe by whoever folds many batches of one size: what it divides by is kept."""
    torch = need("torch", "torch")
    if not case.of_torch or not variant.normalize:
        return None

    def bind(given: Given) -> Callable[[], Any]:
        patches, w = _columns(given), _weights(variant, given)
        one = torch.ones(1, 1, *case.size, dtype=torch.float64, device=patches.device)
        ones = torch.nn.functional.unfold(one, case.patch, stride=case.stride)
        weights = torch.from_numpy(window(case, variant.weights)).reshape(-1, 1).to(patches.device)
        inverse = _inverse(_fold(ones * weights, case)).to(patches.dtype)
        if w is None:
            return lambda: _fold(patches, case).mul_(inverse)
        return lambda: _fold(patches * w, case).mul_(inverse)

    return Contender("divisor", version_of("torch"), bind, note="fold times an inverse that was there before")


def index_unfold(variant: Variant, case: Case, layout: str) -> Contender | None:
    """Advanced indexing, with indices that were there before."""
    torch = need("torch", "torch")
    if case.of_torch or variant.out:
        return None

    def bind(given: Given) -> Callable[[], Any]:
        x = tensor(given.images)
        y, x_of = (torch.from_numpy(axis).to(x.device) for axis in case.corners.T.copy())
        ky, kx = (torch.arange(n, device=x.device) for n in case.patch)
        if layout == "columns":
            place = (y + ky[:, None, None], x_of + kx[:, None])
            return lambda: padded_images(x, case)[:, :, place[0], place[1]].reshape(given.shape)
        place = (y[:, None, None] + ky[:, None], x_of[:, None, None] + kx)
        return lambda: padded_images(x, case)[:, :, place[0], place[1]].transpose(1, 2).reshape(given.shape)

    return Contender("indexing", version_of("torch"), bind, note="images[:, :, y, x] in torch")


def index_fold(variant: Variant, case: Case, layout: str) -> Contender | None:
    """`scatter_add_` at indices that were there before, times an inverse that was too."""
    torch = need("torch", "torch")
    if case.of_torch:
        return None

    def bind(given: Given) -> Callable[[], Any]:
        patches, w = _columns(given), _weights(variant, given)
        height, width = (int(n) for n in np.maximum(case.size, case.corners.max(axis=0) + case.patch))
        y, x = (torch.from_numpy(axis).to(patches.device) for axis in case.corners.T.copy())
        ky, kx = (torch.arange(n, device=patches.device) for n in case.patch)
        place = ((y + ky[:, None, None]) * width + x + kx[:, None]).reshape(-1)
        weights = torch.from_numpy(window(case, variant.weights)).to(patches.device)
        total = weights.new_zeros(height * width)
        total.scatter_add_(0, place, weights[:, :, None].expand(*case.patch, len(y)).reshape(-1))
        inverse = _inverse(total).to(patches.dtype).view(height, width)
        place = place.expand(given.n_images, case.channels, -1)

        def call() -> Any:
            parts = (patches if w is None else patches * w).reshape(place.shape)
            out = parts.new_zeros(*place.shape[:2], height * width).scatter_add_(2, place, parts)
            out = out.view(*place.shape[:2], height, width)
            if variant.normalize:
                out.mul_(inverse)
            return out[:, :, : case.size[0], : case.size[1]]

        return call

    return Contender("indexing", version_of("torch"), bind, note="scatter_add_ in torch, indices and inverse kept")


def _columns(given: Given) -> Any:
    patches = tensor(given.patches)
    return patches if given.layout == "columns" else patches.transpose(1, 2)


def _fold(patches: Any, case: Case) -> Any:
    torch = need("torch", "torch")
    return torch.nn.functional.fold(patches, case.size, case.patch, stride=case.stride)


def _weights(variant: Variant, given: Given) -> Any:
    """The window of a variant for columns, (C ph pw, 1); None for ones."""
    if variant.weights == "uniform":
        return None
    flat = np.tile(window(given.case, variant.weights).reshape(-1), given.case.channels)
    return tensor(flat[:, None].astype(given.dtype)).to(tensor(given.patches).device)


def _inverse(total: Any) -> Any:
    return (1 / total).masked_fill_(total == 0, 0)


PEERS: dict[str, dict[str, Peer]] = {
    "unfold": {
        "F.unfold": f_unfold,
        "im2col.out": im2col_out,
        "Tensor.unfold": tensor_unfold,
        "NumPy": numpy_windows,
        "scikit-learn": extract_patches_2d,
        "indexing": index_unfold,
    },
    "fold": {
        "F.fold": f_fold,
        "recipe": recipe,
        "divisor": divisor,
        "scikit-learn": reconstruct_from_patches_2d,
        "indexing": index_fold,
    },
}
NAMES = tuple(dict.fromkeys(name for found in PEERS.values() for name in found))
ON_GPU = tuple(name for name in NAMES if name not in ("NumPy", "scikit-learn"))
