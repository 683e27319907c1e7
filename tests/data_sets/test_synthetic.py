"""Made pictures have the statistics that they are made for, each from its seed alone."""

import numpy as np
import pytest

from sparsefast.data.config import KINDS, SyntheticConfig
from sparsefast.data.image_set import open_set
from sparsefast.data.seeds import sample_seeds
from sparsefast.data.synthetic.dead_leaves import dead_leaves
from sparsefast.data.synthetic.gaussian_fields import gaussian_fields
from sparsefast.data.synthetic.textures import textures


def seeds(n, epoch=0):
    return sample_seeds(1, epoch, np.arange(n))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [1, 2, 7, 33])
def test_every_kind_is_made_in_every_size(kind, size):
    images = open_set(SyntheticConfig(kinds=[kind], size=size), "train").batch(np.arange(6), seeds(6))["image"]
    assert images.shape == (6, 3, size, size)
    assert images.dtype == np.uint8
    if size > 2:
        assert (images.std(axis=(1, 2, 3)) > 1).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_does_not_depend_on_those_made_with_it(kind):
    images = open_set(SyntheticConfig(kinds=[kind], size=23), "train")
    whole = images.batch(np.arange(9), seeds(9))["image"]
    for first, last in ((0, 1), (1, 4), (4, 9)):
        part = images.batch(np.arange(first, last), seeds(9)[first:last])["image"]
        np.testing.assert_array_equal(part, whole[first:last])


def test_each_epoch_has_new_pictures_and_the_held_out_ones_are_always_the_same():
    train, held_out = (open_set(SyntheticConfig(size=16, eval_images=9), split) for split in ("train", "held-out"))
    index = np.arange(9)
    batches = [train.batch(index, seeds(9, epoch))["image"] for epoch in (0, 1)]
    batches += [held_out.batch(index, seeds(9, epoch))["image"] for epoch in (0, 1)]
    np.testing.assert_array_equal(batches[2], batches[3])
    assert (batches[0] != batches[1]).any(axis=(1, 2, 3)).all()
    assert len(np.unique(np.concatenate(batches[:3]).reshape(27, -1), axis=0)) == 27


def test_kinds_are_drawn_as_often_as_they_are_listed():
    n = 3000
    images = open_set(SyntheticConfig(size=1, kinds=["texture", "dead-leaves", "texture"]), "train")
    drawn = []
    images._made = lambda kind, some: drawn.append((kind, len(some))) or np.zeros((len(some), 3, 1, 1))
    images.batch(np.arange(n), seeds(n))
    share = dict(drawn)["texture"] / n
    assert dict(drawn).keys() == {"texture", "dead-leaves"}
    assert abs(share - 2 / 3) < 5 * np.sqrt(2 / 9 / n)


@pytest.mark.parametrize("alpha", [0.0, 1.0, 2.0, 3.5])
def test_gaussian_fields_have_the_spectrum(alpha):
    """The mean power of a frequency of n fields has a relative deviation of 1 / sqrt(n)."""
    n, size = 400, 15
    fields = gaussian_fields(seeds(n), size, alpha)
    luma = np.tensordot([0.299, 0.587, 0.114], fields, axes=(0, 1)) - 0.5
    power = (np.abs(np.fft.fft2(luma)) ** 2).mean(axis=0)
    squares = np.fft.fftfreq(size)[:, None] ** 2 + np.fft.fftfreq(size) ** 2
    law = power * np.where(squares, squares, 1) ** (alpha / 2)
    assert power[0, 0] < 1e-20
    law = law[squares > 0]
    assert np.abs(law / law.mean() - 1).max() < 5 / np.sqrt(n)
    # Variances of the fields, by Parseval; deviations of luma as they are set, of colour below.
    assert abs(luma.std() / 0.18 - 1) < 0.05
    assert (fields - fields.mean(axis=1, keepdims=True)).std() > 0.02


def test_leaves_have_radii_of_r_to_the_minus_3():
    """Of what is drawn: the share of radii over 2 r0 is about a quarter of those over r0, as r^-2 is their tail."""
    from sparsefast.data.seeds import SHAPE, uniforms
    from sparsefast.data.synthetic.dead_leaves import N_LEAVES, radii_of

    radii = radii_of(uniforms(seeds(200), SHAPE, 7 * N_LEAVES).reshape(-1, 7, N_LEAVES)[:, 0], 64)
    assert 2 <= radii.min() < radii.max() <= 32
    for r in (3, 4, 6):
        expected = (r**-2 - 32**-2) / (2**-2 - 32**-2)
        assert abs((radii > r).mean() - expected) < 5 * np.sqrt(expected / radii.size)


def test_leaves_are_patches_of_one_colour_with_sharp_edges():
    """Most neighbours are almost the same and some differ a lot: a kurtosis far over that of a Gaussian, 3."""

    def kurtosis(pictures):
        steps = np.diff(pictures.mean(axis=1), axis=2)
        return (steps**4).mean() / (steps**2).mean() ** 2

    assert kurtosis(dead_leaves(seeds(20), 48)) > 6
    assert abs(kurtosis(gaussian_fields(seeds(100), 48, 2.0)) - 3) < 0.3


def test_textures_have_their_power_around_one_frequency():
    """Half of it in a tenth of the frequencies, which white noise would have a tenth in."""
    pictures = textures(seeds(40), 48).mean(axis=1)
    power = np.abs(np.fft.fft2(pictures - pictures.mean(axis=(1, 2), keepdims=True))) ** 2
    ordered = np.sort(power.reshape(40, -1), axis=1)[:, ::-1]
    assert (ordered[:, : 48 * 48 // 10].sum(axis=1) / ordered.sum(axis=1) > 0.5).all()


def test_one_channel_is_the_luma_of_three():
    from sparsefast.data.crops import luma

    three, one = (open_set(SyntheticConfig(size=16, channels=c), "train").batch(np.arange(9), seeds(9)) for c in (3, 1))
    np.testing.assert_array_equal(one["image"], luma(three["image"]))
