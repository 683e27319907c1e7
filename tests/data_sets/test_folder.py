"""Any folder of pictures."""

import pickle

import numpy as np
import pytest
from PIL import Image

from sparsefast.data.config import FolderConfig
from sparsefast.data.image_set import open_set
from sparsefast.data.seeds import sample_seeds
from sparsefast.images.reading import read
from tests.data_sets import made


def whole(images, epoch=0):
    indices = np.arange(len(images))
    return images.batch(indices, sample_seeds(1, epoch, indices))["image"]


def sides(root, **more):
    return [open_set(FolderConfig(root=str(root), size=32, **more), split) for split in ("train", "held-out")]


def names(images, root):
    return {path.relative_to(root).as_posix() for path in images.paths}


def test_every_picture_is_on_one_side_and_stays_there_when_others_come_or_the_folder_moves(tmp_path):
    root = tmp_path / "pictures"
    made.write_folder(root, 40)
    train, held_out = (names(images, root) for images in sides(root, holdout=4))
    assert not train & held_out
    assert len(train | held_out) == 40
    assert 2 <= len(held_out) <= 18  # ten, and three standard deviations
    made.write_folder(root / "more", 9)
    moved = root.rename(tmp_path / "moved")
    more = [names(images, moved) for images in sides(moved, holdout=4)]
    assert (train < more[0], held_out < more[1], len(more[0] | more[1])) == (True, True, 49)


@pytest.mark.parametrize("holdout", [2, 10, 1000])
@pytest.mark.parametrize("n", [2, 3])
def test_both_sides_have_a_picture(tmp_path, n, holdout):
    made.write_folder(tmp_path, n)
    train, held_out = sides(tmp_path, holdout=holdout)
    assert (len(train) >= 1, len(held_out) >= 1, len(train) + len(held_out)) == (True, True, n)


def test_fewer_than_two_pictures_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none: there is no such folder"):
        sides(tmp_path / "none")
    with pytest.raises(ValueError, match=r"holds no picture: one to train on and one to hold out are needed"):
        sides(tmp_path)
    Image.new("RGB", (40, 40)).save(tmp_path / "one.png")
    with pytest.raises(ValueError, match=r"holds one picture: "):
        sides(tmp_path)
    with pytest.raises(ValueError, match=r"data.root='' must be a folder"):
        open_set(FolderConfig(), "train")


def test_training_crops_are_parts_of_their_picture_and_held_out_ones_its_middle(tmp_path):
    made.write_folder(tmp_path)
    train, held_out = sides(tmp_path, holdout=3, flip=False)
    for image, path in zip(whole(train), train.paths, strict=True):
        picture = np.moveaxis(read(path).pixels, 2, 0)
        windows = np.lib.stride_tricks.sliding_window_view(picture, (3, 32, 32))[0]
        assert (windows == image).all(axis=(2, 3, 4)).any()
    for image, path in zip(whole(held_out, 3), held_out.paths, strict=True):
        np.testing.assert_array_equal(np.moveaxis(image, 0, 2), read(path).pixels[6:38, 14:46])
    assert (whole(train, 0) != whole(train, 1)).any(axis=(1, 2, 3)).mean() > 0.8


def test_small_pictures_are_enlarged_to_a_crop(tmp_path):
    small = made.parts(2, 10, 15)
    for number, picture in enumerate(small):
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
    _, held_out = sides(tmp_path)
    picture = Image.open(held_out.paths[0]).resize((48, 32), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(np.moveaxis(whole(held_out)[0], 0, 2), np.asarray(picture)[:, 8:40])


def test_16_bits_and_alpha_are_read(tmp_path):
    grey = np.random.default_rng(0).integers(0, 65536, (32, 32), np.uint16)
    Image.fromarray(grey).save(tmp_path / "deep.png")
    rgba = np.concatenate([made.parts(1, 32, 32)[0], np.zeros((32, 32, 1), np.uint8)], axis=2)
    rgba[:, 16:, 3] = 255
    Image.fromarray(rgba).save(tmp_path / "clear.png")
    found = {}
    for images in sides(tmp_path, flip=False):
        found.update(zip((path.name for path in images.paths), whole(images), strict=True))
    np.testing.assert_array_equal(found["deep.png"], np.repeat(np.rint(grey / 257)[None], 3, axis=0))
    clear = np.moveaxis(found["clear.png"], 0, 2)
    assert (clear[:, :16] == 255).all()
    np.testing.assert_array_equal(clear[:, 16:], rgba[:, 16:, :3])


def test_a_damaged_picture_is_named(tmp_path):
    made.write_folder(tmp_path)
    train, _ = sides(tmp_path)
    train.paths[3].write_bytes(train.paths[3].read_bytes()[:200])
    with pytest.raises(ValueError, match=rf"{train.paths[3].name} cannot be read as a picture") as error:
        whole(train)
    assert "\n" not in str(error.value)


def test_an_epoch_of_another_length_draws_its_pictures(tmp_path):
    made.write_folder(tmp_path, height=32, width=32)
    train, _ = sides(tmp_path, epoch_images=200, flip=False)
    pictures = [np.moveaxis(read(path).pixels, 2, 0) for path in train.paths]
    found = [next(i for i, p in enumerate(pictures) if (p == image).all()) for image in whole(train)]
    assert len(found) == 200
    assert set(found) == set(range(len(pictures)))
    assert found[: len(pictures)] != list(range(len(pictures)))


def test_pictures_are_kept_up_to_the_limit_and_the_last_used_ones(tmp_path, monkeypatch):
    made.write_folder(tmp_path, 12)
    train, _ = sides(tmp_path, cache_mb=1)
    cache = train.pictures
    cache.limit = 3 * cache[0].nbytes + 100
    made_now = []
    monkeypatch.setattr(cache, "make", lambda number: made_now.append(number) or train.decode(number))
    for number in (0, 1, 2, 0, 3, 0, 1):
        cache[number]
    assert made_now == [1, 2, 3, 1]
    assert [number in cache for number in range(4)] == [True, True, False, True]
    assert cache.size == 3 * cache[0].nbytes
    cache.limit = 10
    cache[5]
    assert 5 not in cache


def test_pictures_that_are_kept_do_not_travel_and_change_nothing(tmp_path):
    made.write_folder(tmp_path)
    (train, _), (bare, _) = sides(tmp_path), sides(tmp_path, cache_mb=0)
    first = whole(train)
    assert train.pictures.size > 0
    assert len(pickle.dumps(train)) < 10_000
    again = pickle.loads(pickle.dumps(train))
    for images in (train, bare, again):
        np.testing.assert_array_equal(whole(images), first)
    assert bare.pictures.size == 0
