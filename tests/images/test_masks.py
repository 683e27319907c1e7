"""Masks: how many pixels are known, which ones, and the same ones for the same seed."""

import numpy as np
import pytest

from sparsefast.images.masks import (
    KINDS,
    block_mask,
    center_mask,
    corner_mask,
    grid_mask,
    grid_stride,
    line_mask,
    make_mask,
    random_mask,
)

SHAPES = [(32, 32), (61, 83), (5, 200), (1, 7), (7, 1), (1, 1)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("keep", [0, 0.01, 0.1, 0.2, 0.5, 1])
def test_a_random_mask_keeps_exactly_its_share(shape, keep):
    mask = random_mask(shape, keep, 0)
    assert mask.shape == shape
    assert mask.dtype == bool
    assert mask.sum() == round(keep * mask.size)


def test_every_pixel_of_a_random_mask_is_as_likely_as_any_other():
    rng = np.random.default_rng(0)
    shares = np.mean([random_mask((6, 7), 0.3, rng) for _ in range(4000)], axis=0)
    # The standard error of a share is 0.007; 6 of them.
    np.testing.assert_allclose(shares, round(0.3 * 42) / 42, atol=0.044)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("keep", [0.04, 0.2, 0.5, 1.0])
def test_every_kind_keeps_about_its_share(kind, shape, keep):
    mask = make_mask(kind, shape, keep, 0)
    assert mask.shape == shape
    assert mask.dtype == bool
    assert mask.flags.writeable
    if keep == 1:
        assert mask.all()
    elif kind in ("center", "corner", "block"):
        # Off by at most half a column of the rectangle.
        assert abs(mask.sum() - keep * mask.size) <= 0.5 * shape[0] + 0.5
    elif kind == "line":
        assert abs(mask.sum() - keep * mask.size) <= 0.5 * shape[1] + 1e-9


@pytest.mark.parametrize("kind", ["random", "block", "line"])
def test_the_seed_decides(kind):
    shape = (40, 50)
    np.testing.assert_array_equal(make_mask(kind, shape, 0.2, 4), make_mask(kind, shape, 0.2, 4))
    assert any((make_mask(kind, shape, 0.2, 4) != make_mask(kind, shape, 0.2, seed)).any() for seed in range(5, 8))
    np.testing.assert_array_equal(make_mask(kind, shape, 0.2, np.random.default_rng(4)), make_mask(kind, shape, 0.2, 4))


def test_a_grid_is_every_stride_th_pixel():
    mask = grid_mask((7, 8), 3)
    assert [tuple(place) for place in np.argwhere(mask)] == [(y, x) for y in (0, 3, 6) for x in (0, 3, 6)]
    shifted = grid_mask((7, 8), (2, 3), (1, 2))
    assert [tuple(place) for place in np.argwhere(shifted)] == [(y, x) for y in (1, 3, 5) for x in (2, 5)]
    assert [grid_stride(keep) for keep in (1, 0.5, 0.25, 0.2, 0.11, 0.04, 0.01)] == [1, 2, 2, 2, 3, 5, 10]


def box(mask):
    rows, columns = np.nonzero(mask.any(axis=1))[0], np.nonzero(mask.any(axis=0))[0]
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    assert mask[top:bottom, left:right].all()
    assert mask.sum() == (bottom - top) * (right - left)
    return top, bottom, left, right


def test_rectangles_are_where_they_are_said_to_be():
    shape = (61, 83)
    top, bottom, left, right = box(center_mask(shape, 0.25))
    assert abs(top - (61 - bottom)) <= 1
    assert abs(left - (83 - right)) <= 1
    assert (bottom - top) / (right - left) == pytest.approx(61 / 83, rel=0.05)
    for corner, inside in (
        ("top-left", (0, 0)),
        ("top-right", (0, -1)),
        ("bottom-left", (-1, 0)),
        ("bottom-right", (-1, -1)),
    ):
        mask = corner_mask(shape, 0.1, corner)
        box(mask)
        assert mask[inside]
        assert mask.sum() < 0.2 * mask.size
    places = {box(block_mask(shape, 0.1, seed)) for seed in range(20)}
    assert len(places) > 10


def test_lines_are_whole():
    rows, columns = line_mask((40, 50), 0.25, 1), line_mask((40, 50), 0.3, 1, axis=1)
    assert (rows == rows[:, :1]).all()
    assert rows[:, 0].sum() == 10
    assert (columns == columns[:1]).all()
    assert columns[0].sum() == 15


def test_wrong_arguments_are_named():
    for call, message in (
        (lambda: random_mask((4, 4), 1.5), "keep=1.5 must be 0 to 1"),
        (lambda: random_mask((4, 4), float("nan")), "keep=nan must be 0 to 1"),
        (lambda: random_mask((0, 4), 0.5), r"shape=\(0, 4\) must be \(height, width\)"),
        (lambda: grid_mask((4, 4), 0), "stride=0 must be at least 1"),
        (lambda: grid_mask((4, 4), 2, 2), "offset=2 must be at least 0 and below stride=2"),
        (lambda: make_mask("grid", (4, 4), 0), "keep=0 must be above 0"),
        (lambda: make_mask("stripes", (4, 4), 0.5), "kind='stripes' must be one of random, grid"),
        (lambda: corner_mask((4, 4), 0.5, "left"), "corner='left' must be one of top-left"),
        (lambda: line_mask((4, 4), 0.5, axis=2), "axis=2 must be 0"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
