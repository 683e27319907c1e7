"""Patches on a grid, copied bit for bit: whatever the images' bits, strides and sizes, and as PyTorch has them."""

import numpy as np
import pytest
import torch

from sparsefast.kernels import patch_grid
from sparsefast.kernels.patch_grid import BORDERS
from tests.kernels.helper import Kernel, kernels
from tests.kernels.patches.helper import (
    all_unfolds,
    bits,
    both_layouts,
    by_patch,
    emulated,
    fast_unfolds,
    few_grids,
    gathered,
    grids_for,
    photo_for,
    unfold,
)

PHOTO_STEPS = (((8, 8), (3, 3)), ((7, 7), (5, 5)), ((3, 5), (2, 1)))
TORCH = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32, "float64": torch.float64}


@all_unfolds
@both_layouts
@pytest.mark.parametrize("itemsize", [1, 2, 4, 8])
def test_every_patch_is_what_the_image_has_there(kernel: Kernel, itemsize: int, rows: bool) -> None:
    for k, grid in enumerate(grids_for(kernel)):
        images = bits(((1, 2)[k % 2], (1, 3, 5)[k % 3], *grid.image), itemsize, k)
        out = unfold(kernel, images, grid, rows, n_threads=1 + k % 3)
        expected = gathered(images, grid.corners()[None], grid.patch)
        np.testing.assert_array_equal(by_patch(out, images.shape[1], grid.patch, rows), expected, err_msg=str(grid))


@all_unfolds
@both_layouts
def test_nothing_of_nothing(kernel: Kernel, rows: bool) -> None:
    grid = few_grids()[0]
    for n_images, n_channels in ((0, 3), (2, 0), (0, 0)):
        assert unfold(kernel, bits((n_images, n_channels, *grid.image), 4), grid, rows).size == 0


@all_unfolds
@both_layouts
@pytest.mark.parametrize("itemsize", [1, 4])
def test_images_may_have_any_strides(kernel: Kernel, itemsize: int, rows: bool) -> None:
    whole = bits((3, 4, 22, 24), itemsize)
    views = {
        "channels last": bits((2, 11, 12, 3), itemsize).transpose(0, 3, 1, 2),
        "every other pixel": whole[::2, 1:, ::2, ::2],
        "a part": whole[1:, :3, 5:16, 7:19],
        "backwards": whole[::-1, ::-1, 10::-1, 11::-1],
        "transposed": bits((2, 3, 12, 11), itemsize).transpose(0, 1, 3, 2),
        "one image twice": np.broadcast_to(whole[:1, :3, :11, :12], (2, 3, 11, 12)),
        "one row and one channel": np.broadcast_to(whole[:2, :1, :1, :12], (2, 3, 11, 12)),
        "one column": np.broadcast_to(whole[:2, :3, :11, :1], (2, 3, 11, 12)),
    }
    for name, images in views.items():
        images = images[:2, :3]
        for border, stride in (("clamp_last", (2, 3)), ("pad", (1, 1))):
            grid = patch_grid.grid((11, 12), (4, 3), stride, border)
            out = unfold(kernel, images, grid, rows)
            expected = gathered(np.array(images), grid.corners()[None], grid.patch)
            np.testing.assert_array_equal(by_patch(out, 3, grid.patch, rows), expected, err_msg=name)


@all_unfolds
@pytest.mark.parametrize("dtype", TORCH)
def test_a_photograph_is_cut_as_pytorch_does(kernel: Kernel, dtype: str) -> None:
    photo = torch.tensor(photo_for(kernel)).to(TORCH[dtype]) / 255
    raw = photo.view(torch.int16) if dtype == "bfloat16" else photo
    images = raw.numpy().view(f"i{raw.element_size()}")
    for patch, stride in PHOTO_STEPS:
        grid = patch_grid.grid(images.shape[2:], patch, stride, "drop")
        expected = torch.nn.functional.unfold(photo, patch, stride=stride)
        stored = (expected.view(torch.int16) if dtype == "bfloat16" else expected).numpy()
        assert unfold(kernel, images, grid, False).tobytes() == stored.tobytes()
        turned = np.ascontiguousarray(stored.transpose(0, 2, 1))
        assert unfold(kernel, images, grid, True).tobytes() == turned.tobytes()


@all_unfolds
@both_layouts
def test_bytes_of_a_photograph_are_cut_as_pytorch_does(kernel: Kernel, rows: bool) -> None:
    images = photo_for(kernel)
    for patch, stride in PHOTO_STEPS:
        grid = patch_grid.grid(images.shape[2:], patch, stride, "drop")
        # (B, C, n_y, n_x, ph, pw)
        theirs = torch.tensor(images).unfold(2, patch[0], stride[0]).unfold(3, patch[1], stride[1])
        listed = theirs.permute(0, 2, 3, 1, 4, 5).reshape(1, grid.n_patches, 3, *patch)
        out = unfold(kernel, images, grid, rows)
        np.testing.assert_array_equal(by_patch(out, 3, patch, rows), listed.numpy())


@fast_unfolds
@both_layouts
def test_threads_and_batches_change_nothing(kernel: Kernel, rows: bool) -> None:
    size, step = ((13, 19), (3, 3)) if emulated(kernel) else ((63, 100), (7, 6))
    for border in BORDERS:
        grid = patch_grid.grid(size, step, (1, 2), border)
        images = bits((3, 5, *size), 4)
        whole = unfold(kernel, images, grid, rows)
        for n_threads in (2, 3):
            assert unfold(kernel, images, grid, rows, n_threads=n_threads).tobytes() == whole.tobytes()
        for b in range(3):
            assert unfold(kernel, images[b : b + 1], grid, rows, n_threads=2).tobytes() == whole[b].tobytes()


@all_unfolds
def test_what_is_given_is_not_written_to(kernel: Kernel) -> None:
    images = bits((1, 3, 9, 9), 4)
    images.flags.writeable = False
    before = images.tobytes()
    unfold(kernel, images, patch_grid.grid((9, 9), (4, 4), (2, 2), "clamp_last"), False)
    assert images.tobytes() == before


@pytest.mark.slow
@pytest.mark.parametrize("kernel", [k for k in kernels("unfold") if k.backend in ("numba", "cpu")], ids=str)
@both_layouts
def test_more_elements_than_32_bits_can_count(kernel: Kernel, rows: bool) -> None:
    images = bits((1, 1, 1000, 777), 1)
    grid = patch_grid.grid((1000, 777), (64, 60), (1, 1), "clamp_last")
    out = unfold(kernel, images, grid, rows, n_threads=2)
    assert out.size > 2**31
    listed = out if rows else out.transpose(0, 2, 1)
    picked = np.random.default_rng(0).integers(0, grid.n_patches, 500)
    picked[-1] = grid.n_patches - 1
    expected = gathered(images, grid.corners()[None, picked], grid.patch)
    np.testing.assert_array_equal(listed[0, picked].reshape(-1, 1, *grid.patch), expected[0])
