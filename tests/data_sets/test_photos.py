"""Crops of photographs."""

import importlib.util

import numpy as np
import pytest

from sparsefast.data.config import PhotosConfig
from sparsefast.data.image_set import open_set
from sparsefast.data.seeds import sample_seeds
from sparsefast.data.sets.photos import RandomCrops
from sparsefast.images.photos import photos


def batch_of(images, n, epoch=0):
    indices = np.arange(n)
    return images.batch(indices, sample_seeds(1, epoch, indices))["image"]


def places(image, pictures):
    """The names of the pictures (C, H, W) that hold an image somewhere, as it is or mirrored."""
    found = []
    size = image.shape[1]
    for name, picture in pictures.items():
        windows = np.lib.stride_tricks.sliding_window_view(picture[0], (size, size))
        for way in (image, image[:, :, ::-1]):
            # Few places have the same corners; those are looked at in full.
            near = (windows[:, :, 0, 0] == way[0, 0, 0]) & (windows[:, :, -1, -1] == way[0, -1, -1])
            near &= windows[:, :, 0, -1] == way[0, 0, -1]
            if any((picture[:, y : y + size, x : x + size] == way).all() for y, x in np.argwhere(near)):
                found.append(name)
    return set(found)


def planar(split):
    return {
        name: np.moveaxis(np.broadcast_to(np.atleast_3d(p), (*p.shape[:2], 3)), 2, 0)
        for name, p in photos(split).items()
    }


def test_training_crops_are_parts_of_training_photographs_and_of_no_others():
    images = batch_of(open_set(PhotosConfig(size=32), "train"), 16)
    assert images.shape == (16, 3, 32, 32)
    train, held_out = planar("train"), planar("held-out")
    detailed = [image for image in images if image.std() > 10]
    assert len(detailed) > 4
    assert all(places(image, train) for image in detailed)
    assert not any(places(image, held_out) for image in detailed)


def test_held_out_crops_are_a_grid_over_the_held_out_photographs():
    images = open_set(PhotosConfig(size=64), "held-out")
    shapes = [picture.shape[:2] for picture in photos("held-out").values()]
    assert len(images) == sum((h // 64) * (w // 64) for h, w in shapes)
    found = batch_of(images, len(images))
    pictures, number = planar("held-out"), 0
    for picture in pictures.values():
        _, h, w = picture.shape
        rows, columns = h // 64, w // 64
        blocks = found[number : number + rows * columns].reshape(rows, columns, 3, 64, 64)
        top, left = h % 64 // 2, w % 64 // 2
        expected = picture[:, top : top + 64 * rows, left : left + 64 * columns]
        np.testing.assert_array_equal(blocks.transpose(2, 0, 3, 1, 4).reshape(expected.shape), expected)
        number += rows * columns


def test_held_out_crops_are_the_same_whatever_the_seeds():
    images = open_set(PhotosConfig(size=64), "held-out")
    indices = np.arange(9)
    np.testing.assert_array_equal(batch_of(images, 9), images.batch(indices, sample_seeds(5, 3, indices))["image"])


def test_pictures_are_chosen_by_their_area():
    """Each of one value, which tells what a crop is of."""
    shapes = [(5, 7), (9, 31), (40, 11)]
    pictures = [np.full((1, *shape), value, np.uint8) for value, shape in enumerate(shapes)]
    n = 20000
    found = batch_of(RandomCrops(pictures, 5, n, False), n)
    counts = np.bincount(found[:, 0, 0, 0], minlength=3)
    share = np.array([h * w for h, w in shapes]) / sum(h * w for h, w in shapes)
    # Five standard deviations of a count.
    assert (np.abs(counts - n * share) <= 5 * np.sqrt(n * share * (1 - share))).all()


def test_crops_reach_every_edge():
    picture = np.arange(6 * 9, dtype=np.uint8).reshape(1, 6, 9)
    corners = batch_of(RandomCrops([picture], 5, 500, False), 500)[:, 0, 0, 0]
    assert set(corners.tolist()) == {row * 9 + column for row in range(2) for column in range(5)}


def test_half_are_mirrored_and_mirroring_changes_nothing_else():
    plain, mirrored = (batch_of(open_set(PhotosConfig(size=32, flip=f), "train"), 400) for f in (False, True))
    same = (plain == mirrored).all(axis=(1, 2, 3))
    turned = (plain[..., ::-1] == mirrored).all(axis=(1, 2, 3))
    assert (same | turned).all()
    assert abs((turned & ~same).mean() - 0.5) < 0.15


def test_crops_change_with_the_epoch_and_are_the_same_in_it():
    images = open_set(PhotosConfig(size=32), "train")
    np.testing.assert_array_equal(batch_of(images, 8, 1), batch_of(images, 8, 1))
    differ = (batch_of(images, 64, 0) != batch_of(images, 64, 1)).any(axis=(1, 2, 3))
    assert differ.mean() > 0.9  # some are black sky in both


def test_one_channel_is_the_luma_as_pillow_has_it():
    from PIL import Image

    grey, colour = (open_set(PhotosConfig(size=64, channels=channels), "held-out") for channels in (1, 3))
    assert grey.image_shape == (1, 64, 64)
    for one, three in zip(batch_of(grey, 90), batch_of(colour, 90), strict=True):
        np.testing.assert_array_equal(one[0], np.asarray(Image.fromarray(np.moveaxis(three, 0, 2)).convert("L")))


def test_a_size_larger_than_every_photograph_is_refused():
    with pytest.raises(ValueError, match=r"data.size=1412 must be at most 1411"):
        open_set(PhotosConfig(size=1412), "train")
    with pytest.raises(ValueError, match=r"data.size=600 must be at most 512, as the largest photograph held out"):
        open_set(PhotosConfig(size=600), "held-out")


def test_without_photographs_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match=r"pip install scikit-image"):
        open_set(PhotosConfig(), "train")
