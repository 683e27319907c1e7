"""The check of `bench patches` knows right from wrong, its peers are right, and its cases are what they say."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sparsefast.bench.patches import case as cases
from sparsefast.bench.patches import peers
from sparsefast.bench.patches.case import Case
from sparsefast.bench.patches.check import Checker, rows
from sparsefast.bench.patches.contender import bound
from sparsefast.bench.patches.given import Given, tensor, windows
from sparsefast.bench.patches.measure import Bench
from sparsefast.bench.patches.variant import LAYOUTS, VARIANTS
from sparsefast.bench.patches.window import window
from sparsefast.ops.patch_weights import patch_window

WINDOW = np.arange(1.0, 13.0).reshape(3, 4)
PADDED = Case("padded", (3, 4), (2, 3), border="pad", n_images=3, channels=2, size=(14, 18))
EVERY = (*cases.TINY, PADDED)


def drawn(case, layout="columns", dtype="float32"):
    return Given(case, layout, case.n_images, dtype)


def by_hand(given, w):
    """Sums of patches, and of windows, a patch at a time in float64."""
    case, (ph, pw) = given.case, given.case.patch
    height, width = np.add(case.size, case.patch)
    total, weight = np.zeros((given.n_images, case.channels, height, width)), np.zeros((height, width))
    parts = windows(given.patches.astype(np.float64), case, given.layout)
    for n, (y, x) in enumerate(case.corners):
        total[:, :, y : y + ph, x : x + pw] += parts[..., n] * w
        weight[y : y + ph, x : x + pw] += w
    return total[:, :, : case.size[0], : case.size[1]], weight[: case.size[0], : case.size[1]]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", EVERY, ids=lambda case: case.name)
def test_the_definition_is_right_and_a_little_off_is_not(case, layout, dtype):
    given = drawn(case, layout, dtype)
    check = Checker(given)
    for w in (None, WINDOW):
        total, weight = by_hand(given, np.ones(case.patch) if w is None else w)
        mean = np.divide(total, weight, out=np.zeros_like(total), where=weight > 0)
        for result, is_mean in ((total, False), (mean, True)):
            rounded = result.astype(dtype)
            assert check.fold(rounded, 3, w, is_mean) is None
            place = (1, 1, *np.argwhere(weight > 0)[7])
            # The largest sum has four patches of up to 12 times 1: some 30 roundings.
            rounded[place] *= 1 + 100 * np.finfo(dtype).eps
            assert "image 1: 1 of" in check.fold(rounded, 3, w, is_mean)
            rounded[place] = np.nan
            assert "nan, not" in check.fold(rounded, 3, w, is_mean)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", EVERY, ids=lambda case: case.name)
def test_patches_are_compared_bit_for_bit(case, layout):
    given = drawn(case, layout)
    ph, pw = case.patch
    padded = np.pad(given.images, [(0, 0), (0, 0), (0, ph), (0, pw)])
    wanted = np.stack([padded[:, :, y : y + ph, x : x + pw] for y, x in case.corners], axis=1)
    wanted = wanted.reshape(3, case.n_patches, -1)
    wanted = wanted if layout == "signals" else np.ascontiguousarray(wanted.transpose(0, 2, 1))
    check = Checker(given)
    assert check.unfold(wanted, 3) is None
    wanted[2, 5, 6] = np.nextafter(wanted[2, 5, 6], np.float32(2))
    assert check.unfold(wanted, 3).startswith("image 2: 1 of ")
    assert "first (5, 6)" in check.unfold(wanted, 3)
    assert check.unfold(wanted[:2], 3) == "patches of 2 images for 3"
    assert "shape" in check.unfold(wanted[:, :-1], 3)
    assert "float64, not float32" in check.unfold(wanted.astype(np.float64), 3)


def test_what_no_patch_reaches_must_be_zero_unless_it_is_not_written():
    given = drawn(cases.named("tiny-at"))
    total, weight = by_hand(given, np.ones((3, 4)))
    with np.errstate(invalid="ignore"):
        unguarded = (total / weight).astype(np.float32)
    assert np.isnan(unguarded).any()
    check = Checker(given)
    assert "nan, not 0" in check.fold(unguarded, 3, None)
    assert check.fold(unguarded, 3, None, uncovered=False) is None


def test_patches_that_are_folded_do_not_agree():
    """A fold that takes each pixel from one patch alone, or leaves one out, is found."""
    given = drawn(cases.named("tiny-s1"))
    total, weight = by_hand(given, np.ones((3, 4)))
    assert np.abs(total / weight - given.images).max() > 0.01
    one_less = given.patches.copy()
    one_less[:, :, 80] = 0
    part = Given(given.case, "columns", 3)
    part.__dict__["patches"] = one_less
    assert Checker(given).fold((by_hand(part, np.ones((3, 4)))[0] / weight).astype(np.float32), 3, None) is not None


def test_ends_and_others_are_looked_at():
    assert rows(1) == [0]
    assert rows(2) == [0, 1]
    found = rows(256)
    assert (len(found), found[0], found[-1]) == (4, 0, 255)


def test_windows_are_those_of_fold():
    for case in (*cases.CASES, cases.TINY[0]):
        for weights in ("uniform", "gaussian"):
            np.testing.assert_allclose(patch_window(weights, case.patch), window(case, weights), rtol=1e-15)


def who_can(device):
    for variant in VARIANTS.values():
        for case in cases.TINY:
            for layout in LAYOUTS:
                for who in peers.theirs(variant, case, layout, device=device)[0]:
                    name = f"{variant.name}-{case.name}-{layout}-{who.name}"
                    yield pytest.param(variant, case, layout, who.name, id=name)


@pytest.mark.parametrize(("variant", "case", "layout", "name"), list(who_can("cpu")))
def test_every_peer_is_right(variant, case, layout, name):
    (who,) = peers.theirs(variant, case, layout, [name])[0]
    bench = Bench(drawn(case, layout, "float64"))
    assert bench.prepare(variant, who, 1, who.around).row.wrong is None
    bench = Bench(drawn(case, layout))
    assert bench.prepare(variant, who, 1, who.around).row.wrong is None


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", cases.TINY, ids=lambda case: case.name)
@pytest.mark.parametrize("variant", VARIANTS.values(), ids=list(VARIANTS))
def test_the_reference_is_right(variant, case, layout):
    bench = Bench(drawn(case, layout))
    result = bound(variant, "reference", bench.given)()
    if variant.op == "unfold":
        assert bench.checker.unfold(result, 3) is None
    else:
        w = None if variant.weights == "uniform" else window(case, variant.weights)
        assert bench.checker.fold(result, 3, w, variant.normalize) is None


def test_cases_are_those_of_torch_where_they_say_so():
    for case in cases.CASES:
        assert case.corners.min() >= 0
        assert (case.corners.max(axis=0) + case.patch <= case.size).all()
        if case.of_torch:
            ones = torch.ones(1, 1, *case.size)
            assert torch.nn.functional.unfold(ones, case.patch, stride=case.stride).shape[2] == case.n_patches
    grid = {case.name: case.n_patches for case in cases.CASES}
    assert grid == {"p8-s1": 249**2, "p8-s4": 63**2, "p7-s5": 50**2, "p7-s5-clamp": 51**2, "p8-at": 4096}
    assert cases.named("p7-s5-clamp").corners[-1].tolist() == [249, 249]
    assert PADDED.corners[-1].tolist() == [12, 15]
    # One image read and its patches written, in float32.
    assert cases.named("p8-s1").bytes(4) == 4 * 3 * (256**2 + 64 * 249**2)


def test_images_are_crops_of_photographs_and_the_same_every_time():
    found = cases.images(cases.named("p8-s1"), 4)
    assert (found.shape, found.dtype) == ((4, 3, 256, 256), np.float32)
    assert found.min() >= 0 and found.max() <= 1
    assert found.std(axis=(1, 2, 3)).min() > 0.05
    np.testing.assert_array_equal(cases.images(cases.named("p8-s1"), 6)[:4], found)
    assert len({image.tobytes() for image in found}) == 4


def test_tensors_and_arrays_are_given_the_same():
    for case in EVERY:
        host, there = drawn(case, "signals"), Given(case, "signals", 3, "float32", "cpu")
        assert isinstance(there.patches, torch.Tensor)
        np.testing.assert_array_equal(there.images.numpy(), host.images)
        np.testing.assert_array_equal(there.patches.numpy(), host.patches)
        assert tensor(host.out).shape == there.out.shape
