"""CIFAR-10 from the files of its authors, and nothing from those of others."""

import os
import pickle

import numpy as np
import pytest

from sparsefast.data.cifar_files import read_binary, read_pickled
from sparsefast.data.config import CIFAR10Config
from sparsefast.data.image_set import open_set
from sparsefast.data.seeds import sample_seeds
from tests.data_sets import made

NAMES = [f"data_batch_{number}" for number in range(1, 6)]


def whole(images, epoch=0):
    indices = np.arange(len(images))
    return images.batch(indices, sample_seeds(1, epoch, indices))


@pytest.mark.parametrize("form", ["2", "3", "bin"])
def test_every_form_gives_what_was_written(tmp_path, form):
    batches = made.write_cifar(tmp_path, form)
    config = CIFAR10Config(root=str(tmp_path), flip=False)
    train, held_out = whole(open_set(config, "train")), whole(open_set(config, "held-out"))
    np.testing.assert_array_equal(train["image"], np.concatenate([batches[name][0] for name in NAMES]), strict=True)
    np.testing.assert_array_equal(train["label"], np.concatenate([batches[name][1] for name in NAMES]), strict=True)
    np.testing.assert_array_equal(held_out["image"], batches["test_batch"][0], strict=True)
    np.testing.assert_array_equal(held_out["label"], batches["test_batch"][1], strict=True)


@pytest.mark.parametrize("as_bytes", [True, False])
@pytest.mark.parametrize("protocol", range(6))
def test_pickles_of_python_3_are_read_whatever_the_protocol(tmp_path, protocol, as_bytes):
    images, labels = made.cifar_batches(5)["test_batch"]
    path = tmp_path / "batch"
    path.write_bytes(pickle.dumps(made.batch_dict(images, labels, as_bytes), protocol))
    found = read_pickled(path)
    np.testing.assert_array_equal(found[0], images, strict=True)
    np.testing.assert_array_equal(found[1], labels, strict=True)


@pytest.mark.parametrize("fortran", [False, True])
def test_arrays_of_either_order_are_read(tmp_path, fortran):
    images, labels = made.cifar_batches(5)["test_batch"]
    (tmp_path / "old").write_bytes(made.pickled_by_python_2(images, labels, fortran))
    data = np.asarray(images.reshape(5, -1), order="F" if fortran else "C")
    (tmp_path / "new").write_bytes(pickle.dumps({b"data": data, b"labels": labels.tolist()}))
    for name in ("old", "new"):
        np.testing.assert_array_equal(read_pickled(tmp_path / name)[0], images, strict=True)


def test_what_python_2_wrote_is_what_pickle_itself_reads_of_it():
    """So that the bytes made here are of the published layout."""
    images, labels = made.cifar_batches(3)["test_batch"]
    found = pickle.loads(made.pickled_by_python_2(images, labels), encoding="bytes")
    assert list(found) == [b"batch_label", b"labels", b"data", b"filenames"]
    np.testing.assert_array_equal(found[b"data"], images.reshape(3, -1))
    assert found[b"labels"] == labels.tolist()


class Hostile:
    """Runs a command when it is loaded."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("place", ["alone", "data", "labels", "key"])
def test_a_pickle_that_would_run_a_command_is_refused_and_runs_nothing(tmp_path, monkeypatch, protocol, place):
    folder = tmp_path / "cifar-10-batches-py"
    made.write_cifar(tmp_path, "3")
    mark = tmp_path / "ran"
    hostile = Hostile(os.system, f"touch {mark}")
    images, labels = made.cifar_batches(2)["test_batch"]
    batch = made.batch_dict(images, labels)
    content = {
        "alone": hostile,
        "data": {**batch, b"data": hostile},
        "labels": {**batch, b"labels": hostile},
        "key": {**batch, b"other": hostile},
    }[place]
    (folder / "test_batch").write_bytes(pickle.dumps(content, protocol))
    with pytest.raises(
        ValueError, match=r"test_batch asks for \w+\.system, .* it is refused, and nothing run"
    ) as error:
        open_set(CIFAR10Config(root=str(tmp_path)), "held-out")
    assert "\n" not in str(error.value)
    assert not mark.exists()
    # Which it would have been.
    pickle.loads(pickle.dumps(hostile, protocol))
    assert mark.exists()


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (Hostile(eval, "1"), "eval"),
        (Hostile(getattr, (), "count"), "getattr"),
        (Hostile(np.load, "x.npy"), "load"),
        (np.float64(3), "scalar"),
    ],
)
def test_nothing_else_is_looked_up_either(tmp_path, content, name):
    path = tmp_path / "batch"
    path.write_bytes(pickle.dumps({b"data": content}))
    with pytest.raises(ValueError, match=rf"batch asks for [\w.]*{name}, which no batch"):
        read_pickled(path)


def test_no_attribute_of_what_is_allowed_can_be_reached(tmp_path):
    path = tmp_path / "batch"
    path.write_bytes(b"\x80\x04\x8c\x05numpy\x8c\x0edtype.__init__\x93.")
    with pytest.raises(ValueError, match=r"batch asks for numpy.dtype.__init__, which no batch"):
        read_pickled(path)


def test_no_codec_but_latin_1_is_run(tmp_path):
    import _codecs

    path = tmp_path / "batch"
    path.write_bytes(pickle.dumps({b"data": Hostile(_codecs.encode, "x" * 9, "rot13")}))
    with pytest.raises(ValueError, match=r"asks for _codecs.encode to 'rot13'"):
        read_pickled(path)


GOOD = np.zeros((2, 3072), np.uint8)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "it holds a list instead of a dict"),
        ({b"labels": [1, 2]}, r"its data are missing, not \(n, 3072\)"),
        ({b"data": GOOD[:, :-1].copy(), b"labels": [1, 2]}, r"its data are of shape \(2, 3071\)"),
        ({b"data": GOOD.astype(np.int16), b"labels": [1, 2]}, "its data are missing"),
        ({b"data": GOOD[:0], b"labels": []}, r"its data are of shape \(0, 3072\)"),
        ({b"data": GOOD.ravel(), b"labels": [1, 2]}, r"its data are of shape \(6144,\)"),
        ({b"data": GOOD}, "its labels are no list of integers from 0 to 9"),
        ({b"data": GOOD, b"labels": [1, 10]}, "its labels are no list"),
        ({b"data": GOOD, b"labels": [1, -1]}, "its labels are no list"),
        ({b"data": GOOD, b"labels": [1, "2"]}, "its labels are no list"),
        ({b"data": GOOD, b"labels": [1]}, "it has 1 labels for 2 images"),
    ],
)
def test_other_contents_are_named(tmp_path, content, message):
    path = tmp_path / "batch"
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match=rf"batch is no batch of CIFAR-10: {message}") as error:
        read_pickled(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("form", ["2", "3"])
@pytest.mark.parametrize("share", [0, 0.3, 0.99])
def test_a_truncated_pickle_is_named(tmp_path, form, share):
    made.write_cifar(tmp_path, form)
    path = tmp_path / "cifar-10-batches-py" / "data_batch_3"
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ValueError, match=r"data_batch_3 is no batch of CIFAR-10, or damaged: ") as error:
        open_set(CIFAR10Config(root=str(tmp_path)), "train")
    assert "\n" not in str(error.value)


def test_damaged_bytes_end_in_one_error_and_nothing_worse(tmp_path):
    images, labels = made.cifar_batches(1)["test_batch"]
    good = made.pickled_by_python_2(images, labels)
    random = np.random.default_rng(0)
    path, refused, read = tmp_path / "batch", 0, 0
    for _ in range(300):
        data = bytearray(good)
        # Within what is not pixels.
        for at in random.choice([*range(200), *range(len(good) - 60, len(good))], 2):
            data[at] = random.integers(256)
        path.write_bytes(data)
        try:
            found, _ = read_pickled(path)
            assert found.shape == (1, 3, 32, 32)
        except ValueError as error:
            refused += str(path) in str(error)
        else:
            read += 1
    assert refused + read == 300
    assert refused > 100


def test_binary_files_of_other_lengths_or_labels_are_named(tmp_path):
    path = tmp_path / "test_batch.bin"
    for data, message in (
        (b"", r"test_batch.bin has 0 bytes, not a multiple of 3073"),
        (bytes(3073 * 2 - 1), r"test_batch.bin has 6145 bytes, not a multiple of 3073: it is no batch, or truncated"),
        (bytes(3073) + b"\x0a" + bytes(3072), r"test_batch.bin .* has a label 10, over 9"),
    ):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=message):
            read_binary(path)


def test_a_file_far_too_large_is_not_read(tmp_path):
    path = tmp_path / "batch"
    with path.open("wb") as file:
        file.truncate(64_000_001)
    for read in (read_pickled, read_binary):
        with pytest.raises(ValueError, match="batch has 64,000,001 bytes"):
            read(path)


def test_what_is_missing_is_named_with_how_to_get_it(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"cifar-10-batches-py .*is not there: unpack https://www.cs.toronto.edu/"
    ):
        open_set(CIFAR10Config(root=str(tmp_path)), "train")
    made.write_cifar(tmp_path, "3")
    (tmp_path / "cifar-10-batches-py" / "data_batch_4").unlink()
    with pytest.raises(FileNotFoundError, match=r"data_batch_4 is not there.* or set data.download=true"):
        open_set(CIFAR10Config(root=str(tmp_path)), "train")


def test_images_are_mirrored_in_training_alone_and_others_in_each_epoch(tmp_path):
    batches = made.write_cifar(tmp_path, "bin", n=20)
    train, held_out = (open_set(CIFAR10Config(root=str(tmp_path)), split) for split in ("train", "held-out"))
    plain = np.concatenate([batches[name][0] for name in NAMES])
    turned = []
    for epoch in (0, 1):
        found = whole(train, epoch)["image"]
        mirrored = (found == plain[..., ::-1]).all(axis=(1, 2, 3))
        assert (mirrored | (found == plain).all(axis=(1, 2, 3))).all()
        turned.append(mirrored)
    assert 0 < (turned[0] != turned[1]).sum() < 100
    np.testing.assert_array_equal(whole(held_out, 1)["image"], batches["test_batch"][0])


def test_other_sizes_and_grey_come_of_the_same_images(tmp_path):
    from PIL import Image

    images = made.write_cifar(tmp_path, "bin")["test_batch"][0]
    large = whole(open_set(CIFAR10Config(root=str(tmp_path), size=48), "held-out"))["image"]
    grey = whole(open_set(CIFAR10Config(root=str(tmp_path), channels=1), "held-out"))["image"]
    assert large.shape == (7, 3, 48, 48)
    for image, larger, luma in zip(images, large, grey, strict=True):
        picture = Image.fromarray(np.moveaxis(image, 0, 2))
        bilinear = np.asarray(picture.resize((48, 48), Image.Resampling.BILINEAR))
        np.testing.assert_array_equal(np.moveaxis(larger, 0, 2), bilinear)
        np.testing.assert_array_equal(luma[0], np.asarray(picture.convert("L")))
