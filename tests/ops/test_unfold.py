"""`sparsefast.unfold`: what goes in, what comes out, views, `out=` and refusals. The kernels are in tests/kernels."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.lib.stride_tricks import sliding_window_view

import sparsefast
from tests.ops.patch_cases import DTYPES, every_backend, every_border, every_layout, laid_out, picture, plain_patches

X = picture()


@every_backend
@every_border
@every_layout
@pytest.mark.parametrize(
    ("patch", "stride"), [((4, 5), (3, 2)), ((7, 7), (5, 5)), ((2, 3), (6, 4)), ((21, 34), (1, 1))]
)
def test_patches_are_those_cut_out_one_by_one(backend, border, layout, patch, stride):
    expected = laid_out(plain_patches(X, patch, stride, border), layout)
    result = sparsefast.unfold(X.numpy(), patch, stride, border=border, layout=layout, backend=backend)
    assert isinstance(result, np.ndarray)
    np.testing.assert_array_equal(result, expected)
    tensor = sparsefast.unfold(X, patch, stride, border=border, layout=layout, backend=backend)
    assert isinstance(tensor, torch.Tensor)
    np.testing.assert_array_equal(tensor, expected)


@every_backend
@pytest.mark.parametrize("dtype", DTYPES)
def test_with_drop_the_columns_are_those_of_pytorch_bit_for_bit(backend, dtype):
    x = picture(dtype)
    result = sparsefast.unfold(x, (5, 3), (2, 4), border="drop", backend=backend)
    assert result.dtype == x.dtype
    # PyTorch's own has no uint8.
    windows = x.unfold(2, 5, 2).unfold(3, 3, 4).permute(0, 1, 4, 5, 2, 3).reshape(2, 45, -1)
    assert torch.equal(result, windows)
    if dtype != "uint8":
        assert torch.equal(result, F.unfold(x, (5, 3), stride=(2, 4)))


def test_numpy_float16_stays_what_it_is():
    x = X.numpy().astype(np.float16)
    result = sparsefast.unfold(x, 3, layout="patches")
    assert result.dtype == np.float16
    np.testing.assert_array_equal(result, plain_patches(x, (3, 3), (1, 1), "drop"))


@every_layout
def test_one_image_is_a_batch_without_its_dimension(layout):
    whole = sparsefast.unfold(X, 4, 3, layout=layout)
    np.testing.assert_array_equal(sparsefast.unfold(X[1], 4, 3, layout=layout), whole[1])
    np.testing.assert_array_equal(sparsefast.unfold(X[1].numpy(), 4, 3, layout=layout), whole[1])


@pytest.mark.parametrize(
    "x",
    [
        X.to(memory_format=torch.channels_last),
        X.flip(2),
        X.transpose(2, 3).contiguous().transpose(2, 3),
        X[:1].expand(2, -1, -1, -1),
    ],
    ids=["channels last", "flipped copy", "turned", "expanded"],
)
def test_strides_do_not_matter(x):
    assert torch.equal(
        sparsefast.unfold(x, 4, 3), sparsefast.unfold(x.clone(memory_format=torch.contiguous_format), 4, 3)
    )
    backwards = x.numpy()[..., ::-1, ::-2]
    np.testing.assert_array_equal(
        sparsefast.unfold(backwards, 4, 3), sparsefast.unfold(np.ascontiguousarray(backwards), 4, 3)
    )


def test_numbers_that_are_not_aligned_are_read():
    packed = np.zeros(2, np.dtype([("flag", "u1"), ("x", "f4", (3, 8, 9))]))
    packed["x"] = X.numpy()[:, :, :8, :9]
    np.testing.assert_array_equal(sparsefast.unfold(packed["x"], 4), sparsefast.unfold(packed["x"].copy(), 4))


@pytest.mark.parametrize("n_images", [0, 1])
def test_an_empty_batch_and_no_channels_give_an_empty_result(n_images):
    assert sparsefast.unfold(X[:n_images, :0], 4).shape == (n_images, 0, 18 * 31)
    assert sparsefast.unfold(X[:0].numpy(), 4, layout="patches").shape == (0, 18 * 31, 3, 4, 4)


class TestCenters:
    """Patches that lie on no grid."""

    @every_backend
    @every_layout
    def test_centers_of_a_grid_give_the_patches_of_the_grid(self, backend, layout):
        for patch in ((4, 5), (1, 8)):
            centers = sparsefast.patch_centers((21, 34), patch, (3, 2), like=X)
            at = sparsefast.unfold(X, patch, centers=centers, layout=layout, backend=backend)
            assert torch.equal(at, sparsefast.unfold(X, patch, (3, 2), layout=layout, backend=backend))

    @every_backend
    def test_what_lies_outside_is_zero(self, backend):
        centers = np.array([[0, 0], [-40, 3], [1e30, 3], [np.nan, 3], [20, -np.inf], [20.4, 33.6]])
        found = sparsefast.unfold(X.numpy(), 3, centers=centers, layout="patches", backend=backend)
        padded = np.pad(X.numpy(), ((0, 0), (0, 0), (2, 2), (2, 2)))
        np.testing.assert_array_equal(found[:, 0], padded[:, :, 1:4, 1:4])
        assert not found[:, 1:5].any()
        np.testing.assert_array_equal(found[:, 5], padded[:, :, 21:24, 35:38])

    def test_each_image_may_have_its_own(self):
        centers = torch.tensor([[[3, 4], [9, 9]], [[5, 5], [20, 30]]])
        each = [sparsefast.unfold(x, 4, centers=c) for x, c in zip(X, centers, strict=True)]
        assert torch.equal(sparsefast.unfold(X, 4, centers=centers), torch.stack(each))

    def test_integers_are_exact_for_odd_patches_and_rounded_up_for_even_ones(self):
        for patch, first in ((3, 9), (4, 9)):
            found = sparsefast.unfold(X, patch, centers=torch.tensor([[10, 10]]), layout="patches")
            assert torch.equal(found[:, 0], X[:, :, first : first + patch, first : first + patch])


class TestViews:
    """Where the result needs no copy it is none."""

    @pytest.mark.parametrize(
        ("patch", "stride", "layout"),
        [(1, 1, "columns"), (1, 1, "patches"), ((5, 1), 1, "patches"), ((3, 34), 2, "patches"),
         ((3, 34), (3, 7), "patches"), ((21, 34), 1, "columns"), ((21, 34), 5, "signals"), ((1, 34), 1, "patches")],
    )  # fmt: skip
    def test_it_is_a_view_of_the_images_and_right(self, patch, stride, layout):
        expected = laid_out(plain_patches(X, *(np.broadcast_to(n, 2) for n in (patch, stride)), "drop"), layout)
        tensor = sparsefast.unfold(X, patch, stride, border="drop", layout=layout)
        assert tensor.untyped_storage().data_ptr() == X.untyped_storage().data_ptr()
        np.testing.assert_array_equal(tensor, expected)
        array = sparsefast.unfold(X.numpy(), patch, stride, border="drop", layout=layout)
        assert np.shares_memory(array, X.numpy()) and not array.flags.writeable
        np.testing.assert_array_equal(array, expected)

    @pytest.mark.parametrize(
        ("patch", "stride", "border"), [(1, 2, "drop"), (2, 2, "drop"), ((3, 34), 2, "pad"), (1, 1, "flip")]
    )
    def test_elsewhere_it_is_a_copy(self, patch, stride, border):
        x = X.numpy()[:, :, ::-1] if border == "flip" else X.numpy()
        result = sparsefast.unfold(x, patch, stride, border="drop" if border == "flip" else border)
        assert result.flags.writeable == (not np.shares_memory(result, x))
        if border != "flip":
            assert result.flags.writeable

    def test_a_view_can_be_differentiated(self):
        x = X.clone().requires_grad_()
        sparsefast.unfold(x, 1).square().sum().backward()
        assert torch.equal(x.grad, 2 * X)


class TestOut:
    """Where the caller says to write the result."""

    @every_backend
    @every_layout
    def test_the_result_is_written_there(self, backend, layout):
        expected = sparsefast.unfold(X, 4, 3, layout=layout)
        out = torch.full_like(expected, torch.nan, memory_format=torch.contiguous_format)
        assert sparsefast.unfold(X, 4, 3, layout=layout, out=out, backend=backend) is out
        assert torch.equal(out, expected)
        array = np.full(expected.shape, np.nan, np.float32)
        assert sparsefast.unfold(X.numpy(), 4, 3, layout=layout, out=array, backend=backend) is array
        np.testing.assert_array_equal(array, expected)

    def test_also_where_a_view_would_do(self):
        out = np.zeros((2, 3, 21 * 34), np.float32)
        assert sparsefast.unfold(X.numpy(), 1, out=out) is out
        np.testing.assert_array_equal(out, X.reshape(2, 3, -1))

    @pytest.mark.parametrize(
        ("out", "error", "message"),
        [
            (torch.empty(2, 48, 5), ValueError, r"out has shape \(2, 48, 5\); it must be \(2, 48, 77\)"),
            (torch.empty(2, 48, 77).double(), TypeError, "out has dtype float64; it must be that of images, float32"),
            (np.empty((2, 48, 77), np.float32), TypeError, "images is a PyTorch tensor and out a NumPy array"),
            (torch.empty(2, 77, 48).transpose(1, 2), ValueError, "it must be C-contiguous"),
            (torch.empty(1, 48, 77).expand(2, 48, 77), ValueError, "it must be C-contiguous"),
            (torch.empty(2, 48, 77, requires_grad=True), ValueError, "out records no gradient"),
            ([], TypeError, "out is a list"),
        ],
    )  # fmt: skip
    def test_what_cannot_be_written_to_is_refused(self, out, error, message):
        with pytest.raises(error, match=message):
            sparsefast.unfold(X, 4, 3, out=out)

    def test_the_memory_of_the_images_is_refused(self):
        memory = np.zeros(2 * 3 * 21 * 34 * 20, np.float32)
        images, out = memory[: X.numel()].reshape(X.shape), memory[100 : 100 + 2 * 48 * 77].reshape(2, 48, 77)
        with pytest.raises(ValueError, match="out lies in the memory of images; pass another array"):
            sparsefast.unfold(images, 4, 3, out=out)
        with pytest.raises(ValueError, match="out lies in the memory of images"):
            sparsefast.unfold(torch.from_numpy(images), 4, 3, out=torch.from_numpy(out))
        behind = memory[X.numel() : X.numel() + 2 * 48 * 77].reshape(2, 48, 77)
        assert sparsefast.unfold(images, 4, 3, out=behind) is behind

    def test_a_read_only_array_is_refused(self):
        out = np.empty((2, 48, 77), np.float32)
        out.flags.writeable = False
        with pytest.raises(ValueError, match="out is read-only"):
            sparsefast.unfold(X.numpy(), 4, 3, out=out)

    def test_with_a_gradient_to_record_it_is_refused(self):
        x = X.clone().requires_grad_()
        with pytest.raises(ValueError, match="out records no gradient, and an argument requires grad"):
            sparsefast.unfold(x, 4, 3, out=torch.empty(2, 48, 77))
        with torch.no_grad():
            out = sparsefast.unfold(x, 4, 3, out=torch.empty(2, 48, 77))
        assert torch.equal(out, sparsefast.unfold(X, 4, 3))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (dict(images=X.tolist()), TypeError, "images is a list; it must be a NumPy array"),
        (dict(images=X.int()), TypeError, "images has dtype int32; it must be one of uint8, float16, bfloat16,"),
        (dict(images=X.numpy().astype(">f4")), TypeError, "images has dtype >f4"),
        (dict(images=X[0, 0]), ValueError, r"images has shape \(21, 34\); it must be \(B, C, H, W\) or \(C, H, W\)"),
        (dict(images=X[:, :, :0]), ValueError, r"images has shape \(2, 3, 0, 34\); height and width must be at"),
        (dict(patch_size=0), ValueError, "patch_size=0; it must be at least 1"),
        (dict(patch_size=(4, 4, 4)), ValueError, r"patch_size=\(4, 4, 4\); it must be an integer or a pair"),
        (dict(patch_size=3.0), TypeError, "patch_size=3.0 is a float; it must be an integer"),
        (dict(patch_size=True), TypeError, "patch_size=True is a bool"),
        (dict(patch_size=(22, 3)), ValueError, r"patch_size \(22, 3\) is larger than the image \(21, 34\)"),
        (dict(stride=-1), ValueError, "stride=-1; it must be at least 1"),
        (dict(border="reflect"), ValueError, "border='reflect'; it must be one of 'clamp_last', 'pad', 'drop'"),
        (dict(layout="rows"), ValueError, "layout='rows'; it must be one of 'columns', 'patches', 'signals'"),
        (dict(centers=torch.zeros(5)), ValueError, r"centers has shape \(5,\); it must be \(n_patches, 2\)"),
        (dict(centers=torch.zeros(3, 5, 2)), ValueError, r"centers has shape \(3, 5, 2\); .* or \(2, n_patches, 2\)"),
        (dict(centers=np.zeros((5, 2))), TypeError, "images is a PyTorch tensor and centers a NumPy array"),
        (dict(centers=torch.zeros(5, 2), stride=2), ValueError, "stride=2 is for patches on a grid"),
        (dict(backend="gpu"), ValueError, "backend='gpu' is not a backend"),
    ],
)  # fmt: skip
def test_an_error_names_the_argument_what_it_was_and_what_it_must_be(call, error, message):
    with pytest.raises(error, match="^unfold: " + message):
        sparsefast.unfold(**{"images": X, "patch_size": 4, **call})


def test_a_device_without_a_kernel_is_refused_with_reasons():
    with pytest.raises(sparsefast.BackendUnavailable, match="unfold: no backend can run on float32 arrays on meta"):
        sparsefast.unfold(X.to("meta"), 4)


def test_a_patch_larger_than_the_image_is_padded_where_asked_for():
    found = sparsefast.unfold(X.numpy(), (30, 40), 7, border="pad", layout="patches")
    np.testing.assert_array_equal(found[:, 0], np.pad(X, ((0, 0), (0, 0), (0, 9), (0, 6))))
    assert found.shape == (2, 1, 3, 30, 40)


def test_signals_are_what_the_coders_take():
    signals = sparsefast.unfold(X, 8, 4, layout="signals")
    windows = sliding_window_view(X.numpy(), (8, 8), axis=(2, 3))[:, :, ::4, ::4]
    assert signals.shape[:2] == (2, len(sparsefast.patch_centers((21, 34), 8, 4)))
    np.testing.assert_array_equal(signals[:, 0], windows[:, :, 0, 0].reshape(2, -1))
