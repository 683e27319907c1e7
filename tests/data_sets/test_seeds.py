"""Random numbers out of counters: what they promise, and what is known of SplitMix64."""

import numpy as np
import pytest

from sparsefast.data.seeds import normals, permutation, sample_seeds, uniform_integers, uniforms, words


def test_the_finalizer_is_that_of_splitmix64():
    """The first three numbers of its generator from the seed 1234567, as published with it."""
    from sparsefast.data.seeds import GOLDEN, _mix

    state = np.array([1234567], np.uint64) + GOLDEN * np.arange(1, 4, dtype=np.uint64)
    assert _mix(state).tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_samples_of_an_epoch_have_different_seeds_and_so_have_those_of_another_epoch_or_run():
    found = np.concatenate([sample_seeds(run, epoch, np.arange(5000)) for run in (0, 1, -1) for epoch in (0, 1, 2)])
    assert found.dtype == np.uint64
    assert len(np.unique(found)) == len(found)


def test_a_seed_depends_on_nothing_but_run_epoch_and_index():
    whole = sample_seeds(7, 3, np.arange(100))
    order = np.random.default_rng(0).permutation(100)
    np.testing.assert_array_equal(sample_seeds(7, 3, order), whole[order])
    np.testing.assert_array_equal(sample_seeds(7, np.full(100, 3), np.arange(100)), whole)
    mixed = sample_seeds(7, np.array([3, 4]), np.array([5, 5]))
    assert mixed[0] == whole[5]
    assert mixed[1] == sample_seeds(7, 4, np.array([5]))[0]


@pytest.mark.parametrize("bound", [1, 2, 3, 10, 97])
def test_integers_are_uniform_to_within_their_own_spread(bound):
    n = 20000
    found = uniform_integers(sample_seeds(1, 0, np.arange(n)), 5, bound)
    counts = np.bincount(found, minlength=bound)
    assert len(counts) == bound
    # Five standard deviations of a count.
    assert np.abs(counts - n / bound).max() <= 5 * np.sqrt(n / bound)


def test_an_integer_is_the_upper_part_of_the_product_of_its_word_and_bound():
    seeds = sample_seeds(3, 1, np.arange(500))
    bounds = np.concatenate([np.arange(1, 401), np.full(100, 2**32 - 1)])
    exact = [word * bound >> 64 for word, bound in zip(words(seeds, 2).tolist(), bounds.tolist(), strict=True)]
    assert uniform_integers(seeds, 2, bounds).tolist() == exact


@pytest.mark.parametrize("bounds", [0, 2**32, np.array([3, -1])])
def test_bounds_out_of_range_are_refused(bounds):
    with pytest.raises(ValueError, match=r"must be from 1 to 2\^32 - 1"):
        uniform_integers(np.zeros(2, np.uint64), 0, bounds)


def test_streams_are_independent():
    seeds = sample_seeds(1, 0, np.arange(20000))
    a, b = (uniforms(seeds, stream, 1)[:, 0] for stream in (0, 1))
    assert abs(np.corrcoef(a, b)[0, 1]) < 5 / np.sqrt(20000)


def test_uniform_and_normal_numbers_have_their_moments():
    seeds = sample_seeds(1, 0, np.arange(400))
    u, z = uniforms(seeds, 0, 101), normals(seeds, 0, 101)
    assert u.shape == z.shape == (400, 101)
    assert 0 <= u.min() < u.max() < 1
    error = 5 / np.sqrt(u.size)
    assert abs(u.mean() - 0.5) < error * np.sqrt(1 / 12)
    assert abs(z.mean()) < error
    assert abs(z.var() - 1) < error * np.sqrt(2)
    assert abs((z**4).mean() - 3) < error * np.sqrt(96)


def test_numbers_of_one_seed_do_not_depend_on_the_others():
    seeds = sample_seeds(1, 0, np.arange(9))
    np.testing.assert_array_equal(normals(seeds[4:5], 3, 33)[0], normals(seeds, 3, 33)[4])


def test_permutations_hold_every_number_once_and_differ_by_epoch_and_seed():
    found = [permutation(seed, epoch, 101) for seed, epoch in ((1, 0), (1, 1), (2, 0))]
    for order in found:
        assert sorted(order.tolist()) == list(range(101))
    assert len({tuple(order.tolist()) for order in found}) == 3
