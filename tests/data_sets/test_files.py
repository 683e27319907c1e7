"""CelebA and Imagenette, from the folders that their archives give."""

import numpy as np
import pytest
from PIL import Image

from sparsefast.data.config import CelebAConfig, ImagenetteConfig
from sparsefast.data.image_set import open_set
from sparsefast.data.seeds import sample_seeds
from tests.data_sets import made


def whole(images, epoch=0):
    indices = np.arange(len(images))
    return images.batch(indices, sample_seeds(1, epoch, indices))


@pytest.mark.parametrize("below", ["celeba", "."])
def test_faces_are_the_middle_of_each_picture_resized(tmp_path, below):
    folder = made.write_celeba(tmp_path, below=below)
    for split, numbers in (("train", (1, 4, 5)), ("held-out", (3, 7, 8))):
        images = open_set(CelebAConfig(root=str(tmp_path), flip=False), split)
        found = whole(images)["image"]
        assert found.shape == (3, 3, 64, 64)
        for image, number in zip(found, numbers, strict=True):
            picture = Image.open(folder / f"{number:06d}.jpg").crop((19, 39, 159, 179))
            expected = np.asarray(picture.resize((64, 64), Image.Resampling.BILINEAR))
            np.testing.assert_array_equal(np.moveaxis(image, 0, 2), expected)


def test_without_a_test_part_the_validation_part_is_held_out(tmp_path):
    made.write_celeba(tmp_path, (0, 1, 0, 1, 1))
    assert open_set(CelebAConfig(root=str(tmp_path)), "held-out").names == ["000002.jpg", "000004.jpg", "000005.jpg"]


def test_faces_that_are_missing_or_damaged_are_named(tmp_path):
    config = CelebAConfig(root=str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"celeba/img_align_celeba is not there: unpack img_align_celeba.zip"):
        open_set(config, "train")
    folder = made.write_celeba(tmp_path)
    listing = folder.parent / "list_eval_partition.txt"
    text = listing.read_text()
    listing.write_text(text.replace("000002.jpg 1", "000002.jpg 7"))
    with pytest.raises(ValueError, match=r"list_eval_partition.txt, line 2: '000002.jpg 7' must be the name"):
        open_set(config, "train")
    listing.write_text(text.replace("000002.jpg 1", "../../000002.jpg 1"))
    with pytest.raises(ValueError, match=r"line 2: '../../000002.jpg 1' must be the name"):
        open_set(config, "train")
    listing.write_text("000003.jpg 2\n")
    with pytest.raises(ValueError, match=r"lists no picture of training \(0\)"):
        open_set(config, "train")
    listing.unlink()
    with pytest.raises(FileNotFoundError, match=r"list_eval_partition.txt is not there: put"):
        open_set(config, "train")
    listing.write_text(text)
    (folder / "000004.jpg").write_bytes((folder / "000004.jpg").read_bytes()[:2000])
    with pytest.raises(ValueError, match=r"000004.jpg cannot be read as a picture"):
        whole(open_set(config, "train"))
    Image.new("RGB", (100, 200)).save(folder / "000004.jpg")
    with pytest.raises(ValueError, match=r"000004.jpg is 100 x 200 pixels: smaller than data.crop=140"):
        whole(open_set(config, "train"))
    (folder / "000004.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"000004.jpg is not there, nor 0 others"):
        open_set(config, "train")


def test_labels_count_the_sorted_classes_and_sides_are_folders(tmp_path):
    made.write_imagenette(tmp_path)
    for split, folder in (("train", "train"), ("held-out", "val")):
        images = open_set(ImagenetteConfig(root=str(tmp_path), size=40), split)
        assert len(images) == 12
        assert [path.parent.parent.name for path in images.paths] == [folder] * 12
        found = whole(images)
        assert found["image"].shape == (12, 3, 40, 40)
        np.testing.assert_array_equal(found["label"], np.repeat([0, 1, 2], 4), strict=True)
        assert [path.parent.name for path in images.paths] == list(np.repeat(made.WNIDS, 4))


def shrunk(path, size):
    picture = Image.open(path)
    scale = size / min(picture.size)
    return picture.resize([round(side * scale) for side in picture.size], Image.Resampling.BILINEAR)


def test_held_out_pictures_are_cropped_from_the_middle(tmp_path):
    made.write_imagenette(tmp_path)
    images = open_set(ImagenetteConfig(root=str(tmp_path), size=40), "held-out")
    for image, path in zip(whole(images, 1)["image"], images.paths, strict=True):
        picture = shrunk(path, 40)
        left, top = ((side - 40) // 2 for side in picture.size)
        expected = np.asarray(picture.crop((left, top, left + 40, top + 40)))
        np.testing.assert_array_equal(np.moveaxis(image, 0, 2), expected)


def test_training_pictures_are_cropped_at_random_along_the_longer_side(tmp_path):
    made.write_imagenette(tmp_path)
    images = open_set(ImagenetteConfig(root=str(tmp_path), size=40), "train")
    starts = set()
    for epoch in range(12):
        for image, path in zip(whole(images, epoch)["image"], images.paths, strict=True):
            picture = np.moveaxis(np.asarray(shrunk(path, 40)), 2, 0)
            places = [
                (y, x)
                for y in range(picture.shape[1] - 39)
                for x in range(picture.shape[2] - 39)
                if any((way == picture[:, y : y + 40, x : x + 40]).all() for way in (image, image[:, :, ::-1]))
            ]
            assert places
            starts.add(places[0])
    assert len(starts) > 10


@pytest.mark.parametrize("variant", ["imagenette2", "imagenette2-320"])
def test_variants_are_folders_of_their_own(tmp_path, variant):
    made.write_imagenette(tmp_path, variant, n=1)
    assert len(open_set(ImagenetteConfig(root=str(tmp_path), variant=variant), "train")) == 3
    with pytest.raises(FileNotFoundError, match=rf"imagenette2-160 is not there.*; data.variant={variant} is there"):
        open_set(ImagenetteConfig(root=str(tmp_path)), "train")


def test_what_is_missing_of_imagenette_is_named(tmp_path):
    config = ImagenetteConfig(root=str(tmp_path))
    with pytest.raises(
        FileNotFoundError, match=r"unpack https://s3.amazonaws.com/fast-ai-imageclas/imagenette2-160.tgz"
    ):
        open_set(config, "train")
    folder = made.write_imagenette(tmp_path, n=1)
    (folder / "val" / "n99").mkdir()
    with pytest.raises(ValueError, match=r"val/n99 is of a class that .*train has not"):
        open_set(config, "held-out")
    picture = next((folder / "train").rglob("*.JPEG"))
    picture.write_bytes(b"")
    with pytest.raises(ValueError, match=rf"{picture.name} is empty, and no picture"):
        whole(open_set(config, "train"))
    for path in folder.rglob("*.JPEG"):
        path.unlink()
    with pytest.raises(FileNotFoundError, match=r"train holds no pictures in folders of classes"):
        open_set(config, "train")
