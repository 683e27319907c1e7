"""`sparsefast.fold`, its windows and where pixels are covered. The kernels are in tests/kernels."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import sparsefast
from tests.ops.patch_cases import DTYPES, every_backend, every_border, every_layout, laid_out, picture, starts

X = picture()
SIZE = (21, 34)
PLACES = dict(patch_size=(5, 4), stride=(3, 2))


def patches(dtype="float64", layout="patches", border="clamp_last", seed=0):
    """Random patches of two images."""
    n = math.prod(
        len(starts(size, *axis, border))
        for size, axis in zip(SIZE, zip(PLACES["patch_size"], PLACES["stride"], strict=True), strict=True)
    )
    found = np.random.default_rng(seed).uniform(0, 255, (2, n, 3, 5, 4)).astype(dtype)
    return laid_out(found, layout)


def plain_fold(found, border, window=None, confidence=None, normalize=True):
    """Patches (B, L, C, ph, pw) added one by one, in float64."""
    sums, weights = np.zeros((2, 3, 60, 80)), np.zeros((2, 1, 60, 80))
    window = np.ones((5, 4)) if window is None else window
    at = [(y, x) for y in starts(21, 5, 3, border) for x in starts(34, 4, 2, border)]
    for n, (y, x) in enumerate(at):
        w = window * (np.ones((2, 1, 1, 1)) if confidence is None else confidence[:, n, None, None, None])
        sums[:, :, y : y + 5, x : x + 4] += w * found[:, n]
        weights[:, :, y : y + 5, x : x + 4] += w
    sums, weights = sums[:, :, :21, :34], weights[:, :, :21, :34]
    return np.divide(sums, weights, out=np.zeros_like(sums), where=weights != 0) if normalize else sums


@every_backend
@every_border
@every_layout
@pytest.mark.parametrize("normalize", [True, False], ids=["mean", "sum"])
def test_pixels_are_what_their_patches_say_on_average(backend, border, layout, normalize):
    found = patches(border=border)
    expected = plain_fold(found, border, normalize=normalize)
    given = laid_out(found, layout)
    for array in (given, np.ascontiguousarray(given), torch.from_numpy(given)):
        result = sparsefast.fold(
            array, SIZE, **PLACES, border=border, layout=layout, normalize=normalize, backend=backend
        )
        assert type(result) is type(array)
        np.testing.assert_allclose(result, expected, rtol=1e-14, atol=1e-12)


@every_backend
@pytest.mark.parametrize("weights", ["uniform", "gaussian", "kaiser", "array"])
@pytest.mark.parametrize("confident", [False, True], ids=["", "confidence"])
@pytest.mark.parametrize("normalize", [True, False], ids=["mean", "sum"])
def test_windows_and_confidence_weigh_them(backend, weights, confident, normalize):
    found = patches()
    rng = np.random.default_rng(1)
    window = rng.random((5, 4)) if weights == "array" else sparsefast.patch_window(weights, (5, 4))
    confidence = rng.random(found.shape[:2]) if confident else None
    result = sparsefast.fold(
        found, SIZE, **PLACES, layout="patches", weights=window if weights == "array" else weights,
        confidence=confidence, normalize=normalize, backend=backend,
    )  # fmt: skip
    np.testing.assert_allclose(result, plain_fold(found, "clamp_last", window, confidence, normalize), rtol=1e-13)
    if confident:
        shared = sparsefast.fold(
            found, SIZE, **PLACES, layout="patches", confidence=confidence[0], normalize=normalize, backend=backend
        )
        each = plain_fold(found, "clamp_last", None, confidence[[0, 0]], normalize)
        np.testing.assert_allclose(shared, each, rtol=1e-13)


@every_backend
@every_border
@pytest.mark.parametrize("dtype", DTYPES)
def test_untouched_patches_give_the_image_back(backend, border, dtype):
    x = picture(dtype)
    back = sparsefast.fold(
        sparsefast.unfold(x, (5, 4), (3, 2), border=border), SIZE, **PLACES, border=border, backend=backend
    )
    covered = torch.from_numpy(sparsefast.coverage_map(SIZE, **PLACES, border=border) > 0)
    assert back.dtype == x.dtype
    # In 8 and 16 bits a mean of equal numbers is rounded to the number.
    rtol = {"float32": 1e-6, "float64": 1e-15}.get(dtype, 0)
    torch.testing.assert_close(back[:, :, covered], x[:, :, covered], rtol=rtol, atol=0)
    assert not back[:, :, ~covered].any()
    assert covered.all() == (border != "drop")


@every_backend
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_sum_is_that_of_pytorch(backend, dtype):
    found = torch.from_numpy(patches(layout="columns", border="drop")).to(dtype)
    result = sparsefast.fold(found, SIZE, **PLACES, border="drop", normalize=False, backend=backend)
    # Four sums at most, of numbers up to 255.
    atol = 4 * 4 * 255 * torch.finfo(dtype).eps
    torch.testing.assert_close(result, F.fold(found, SIZE, (5, 4), stride=(3, 2)), rtol=0, atol=atol)


@every_backend
def test_16_bits_are_summed_in_float32_and_rounded_once(backend):
    many = torch.full((1, 64, 25 * 25), 1.01).bfloat16()
    total = sparsefast.fold(many, 32, 8, normalize=False, backend=backend)
    exact = F.fold(many.double(), (32, 32), 8)
    assert torch.equal(total, exact.bfloat16())


@every_backend
def test_fold_is_the_adjoint_of_unfold(backend):
    x = X.double()
    for border in ("clamp_last", "pad", "drop"):
        p = torch.from_numpy(patches(layout="columns", border=border))
        left = (sparsefast.unfold(x, (5, 4), (3, 2), border=border, backend=backend) * p).sum()
        right = (x * sparsefast.fold(p, SIZE, **PLACES, border=border, normalize=False, backend=backend)).sum()
        torch.testing.assert_close(left, right, rtol=1e-13, atol=0)


@every_backend
def test_patches_at_centers_are_added_where_they_lie(backend):
    rng = np.random.default_rng(3)
    centers = rng.uniform(-6, 38, (2, 60, 2))
    p, confidence, window = rng.random((2, 60, 3, 5, 4)), rng.random((2, 60)), rng.random((5, 4))
    sums, weights = np.zeros((2, 3, 80, 80)), np.zeros((2, 1, 80, 80))
    for b in range(2):
        for n, (y, x) in enumerate(np.floor(centers[b] - [2, 1.5] + 0.5).astype(int) + 20):
            w = window * confidence[b, n]
            sums[b, :, y : y + 5, x : x + 4] += w * p[b, n]
            weights[b, 0, y : y + 5, x : x + 4] += w
    sums, weights = sums[:, :, 20:41, 20:54], weights[:, :, 20:41, 20:54]
    options = dict(centers=centers, weights=window, confidence=confidence, backend=backend)
    for layout in ("columns", "patches"):
        total = sparsefast.fold(laid_out(p, layout), SIZE, (5, 4), layout=layout, normalize=False, **options)
        np.testing.assert_allclose(total, sums, rtol=1e-13, atol=1e-15)
        mean = sparsefast.fold(laid_out(p, layout), SIZE, (5, 4), layout=layout, **options)
        expected = np.divide(sums, weights, out=np.zeros_like(sums), where=weights != 0)
        np.testing.assert_allclose(mean, expected, rtol=1e-13, atol=1e-15)
    shared = sparsefast.fold(p, SIZE, (5, 4), layout="patches", centers=centers[0], backend=backend)
    alone = sparsefast.fold(p[1], SIZE, (5, 4), layout="patches", centers=centers[0], backend=backend)
    np.testing.assert_array_equal(shared[1], alone)


def test_one_image_is_a_batch_without_its_dimension():
    for layout in ("columns", "patches", "signals"):
        found = patches(layout=layout)
        whole = sparsefast.fold(found, SIZE, **PLACES, layout=layout)
        for given in (found[1], torch.from_numpy(np.array(found[1]))):
            np.testing.assert_array_equal(sparsefast.fold(given, SIZE, **PLACES, layout=layout), whole[1])


def test_layouts_grids_and_centers_sum_in_one_order():
    p = patches("float32")
    centers = sparsefast.patch_centers(SIZE, **PLACES)
    for weights in ("uniform", "gaussian"):
        options = dict(weights=weights, normalize=False)
        first = sparsefast.fold(p, SIZE, **PLACES, layout="patches", **options)
        columns = np.ascontiguousarray(laid_out(p, "columns"))
        np.testing.assert_array_equal(sparsefast.fold(columns, SIZE, **PLACES, **options), first)
        np.testing.assert_array_equal(sparsefast.fold(columns, SIZE, (5, 4), centers=centers, **options), first)


def test_empty_batches_and_no_patches():
    assert sparsefast.fold(np.empty((0, 60, 112)), SIZE, **PLACES).shape == (0, 3, 21, 34)
    assert sparsefast.fold(np.empty((2, 0, 112)), SIZE, **PLACES).shape == (2, 0, 21, 34)
    none = sparsefast.fold(np.empty((2, 0, 3, 5, 4)), SIZE, (5, 4), layout="patches", centers=np.empty((0, 2)))
    assert none.shape == (2, 3, 21, 34) and not none.any()


@every_backend
def test_out_is_written_and_handed_back(backend):
    p = patches("float32", "columns")
    expected = sparsefast.fold(p, SIZE, **PLACES, backend=backend)
    for out in (np.full((2, 3, *SIZE), np.nan, np.float32), torch.full((2, 3, *SIZE), torch.nan)):
        given = p if isinstance(out, np.ndarray) else torch.from_numpy(p)
        assert sparsefast.fold(given, SIZE, **PLACES, out=out, backend=backend) is out
        np.testing.assert_array_equal(out, expected)


def test_out_in_the_memory_of_the_patches_is_refused():
    p = np.ascontiguousarray(patches("float32", "columns"))
    with pytest.raises(ValueError, match="fold: out lies in the memory of patches"):
        sparsefast.fold(p, SIZE, **PLACES, out=p.reshape(-1)[: 2 * 3 * 21 * 34].reshape(2, 3, *SIZE))


P = torch.from_numpy(patches("float32", "columns"))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (dict(patches=P.int()), TypeError, "patches has dtype int32; it must be one of uint8"),
        (dict(patches=P[0, 0]), ValueError, r"patches has shape \(112,\); it must be \(B, C \* ph \* pw, L\)"),
        (dict(layout="patches"), ValueError, r'patches has .*; it must be \(B, L, C, ph, pw\) .* layout="patches"'),
        (dict(patches=P[:, :, 1:]), ValueError, r"patches has shape \(2, 60, 111\); 112 patches of 5 x 4 pixels for"),
        (dict(patches=P[:, 1:]), ValueError, r"patches has shape \(2, 59, 112\); 112 patches of 5 x 4 pixels for"),
        (dict(layout="signals"), ValueError, r"patches has shape .*; 112 patches of 5 x 4 .* \(21, 34\) are \(B, L, C"),
        (dict(output_size=(0, 3)), ValueError, r"output_size=\(0, 3\); it must be at least 1"),
        (dict(output_size=4), ValueError, r"patch_size \(5, 4\) is larger than the image \(4, 4\)"),
        (dict(weights="hann"), ValueError, "weights='hann'; it must be one of 'uniform', 'gaussian', 'kaiser'"),
        (dict(weights=torch.ones(4, 5)), ValueError, r"weights has shape \(4, 5\); it must be that of a patch"),
        (dict(weights=np.ones((5, 4))), TypeError, "patches is a PyTorch tensor and weights a NumPy array"),
        (dict(weights=torch.ones(5, 4) > 0), TypeError, "weights has dtype bool; it must be real numbers"),
        (dict(confidence=torch.ones(3)), ValueError, r"confidence has shape \(3,\); it must be \(112,\) or \(2, 112\)"),
        (dict(confidence=[1.0]), TypeError, "confidence is a list"),
        (dict(normalize=1), TypeError, "normalize=1; it must be True or False"),
        (dict(centers=torch.zeros(5, 2), stride=1), ValueError, "patches has shape .*; 5 patches of 5 x 4 pixels"),
    ],
)  # fmt: skip
def test_an_error_names_the_argument_what_it_was_and_what_it_must_be(call, error, message):
    with pytest.raises(error, match="^fold: " + message):
        sparsefast.fold(**{"patches": P, "output_size": SIZE, **PLACES, **call})


class TestPlaces:
    """`patch_centers` and `coverage_map`."""

    @every_border
    def test_centers_are_in_the_middle_of_patches_row_by_row(self, border):
        expected = [(y + 2, x + 1.5) for y in starts(21, 5, 3, border) for x in starts(34, 4, 2, border)]
        centers = sparsefast.patch_centers(SIZE, **PLACES, border=border)
        assert centers.dtype == np.float64
        np.testing.assert_array_equal(centers, expected)

    def test_they_are_like_another_array(self):
        for like, dtype in ((X, torch.float32), (X.half(), torch.float32), (X.double(), torch.float64)):
            centers = sparsefast.patch_centers(SIZE, **PLACES, like=like)
            assert isinstance(centers, torch.Tensor) and centers.dtype == dtype
        assert sparsefast.patch_centers(SIZE, **PLACES, like=X.numpy()).dtype == np.float32

    @every_border
    @pytest.mark.parametrize("weights", ["uniform", "gaussian", "array"])
    def test_coverage_is_the_fold_of_ones(self, border, weights):
        if weights == "array":
            weights = np.random.default_rng(2).random((5, 4))
        coverage = sparsefast.coverage_map(SIZE, **PLACES, border=border, weights=weights)
        ones = np.ones_like(patches(border=border))
        total = sparsefast.fold(
            ones, SIZE, **PLACES, border=border, layout="patches", weights=weights, normalize=False, backend="reference"
        )
        np.testing.assert_allclose(coverage, total[0, 0], rtol=1e-14)

    def test_coverage_of_patches_that_lie_on_no_grid(self):
        centers = sparsefast.patch_centers(SIZE, **PLACES)
        at = sparsefast.coverage_map(SIZE, (5, 4), centers=centers)
        np.testing.assert_array_equal(at, sparsefast.coverage_map(SIZE, **PLACES))

    def test_a_stride_that_leaves_pixels_out_shows(self):
        covered = sparsefast.coverage_map(256, 7, 5, border="drop") > 0
        assert 1 - covered.mean() == pytest.approx(0.031, abs=5e-4)
        assert sparsefast.coverage_map(256, 7, 5).min() == 1

    def test_errors_name_the_function(self):
        with pytest.raises(ValueError, match=r"^coverage_map: weights has shape \(2, 2\)"):
            sparsefast.coverage_map(SIZE, **PLACES, weights=np.ones((2, 2)))
        with pytest.raises(ValueError, match=r"^patch_centers: image_size=0"):
            sparsefast.patch_centers(0, 3)


class TestWindows:
    """`patch_window`."""

    def test_they_are_those_of_numpy_and_of_the_formula(self):
        np.testing.assert_array_equal(sparsefast.patch_window("uniform", (2, 3)), np.ones((2, 3)))
        kaiser = np.outer(np.kaiser(8, 2.0), np.kaiser(5, 2.0))
        np.testing.assert_allclose(sparsefast.patch_window("kaiser", (8, 5)), kaiser, rtol=1e-15)
        gaussian = sparsefast.patch_window("gaussian", 7, sigma=1.5)
        assert gaussian[3, 3] == 1
        assert gaussian[3, 5] == pytest.approx(math.exp(-2 / 1.5**2))
        assert gaussian[0, 6] == pytest.approx(math.exp(-9 / 1.5**2))
        assert sparsefast.patch_window("gaussian", 8)[0, 3] == pytest.approx(math.exp(-(3.5**2 + 0.5**2) / 8))

    @pytest.mark.parametrize(
        "call", [dict(name="hann"), dict(patch_size=0), dict(sigma=0.0), dict(sigma=math.nan), dict(beta=-1.0)]
    )
    def test_what_they_refuse(self, call):
        with pytest.raises(ValueError, match=f"^patch_window: {next(iter(call))}="):
            sparsefast.patch_window(**{"name": "gaussian", "patch_size": 3, **call})


def test_what_is_kept_of_coverage_is_given_back():
    p = P.repeat(1, 1, 1)
    first = sparsefast.fold(p, SIZE, **PLACES)
    assert sparsefast.release_memory() >= 21 * 34 * 4
    assert torch.equal(sparsefast.fold(p, SIZE, **PLACES), first)


def test_a_window_that_changed_in_place_counts_as_it_is_now():
    window = np.ones((5, 4))
    p = patches()
    before = sparsefast.fold(p, SIZE, **PLACES, layout="patches", weights=window)
    window[:2] = 0.1
    after = sparsefast.fold(p, SIZE, **PLACES, layout="patches", weights=window)
    np.testing.assert_allclose(after, plain_fold(p, "clamp_last", window), rtol=1e-13)
    assert not np.array_equal(before, after)
