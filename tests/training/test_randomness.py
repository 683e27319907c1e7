"""Random numbers of a sample are its own: of splitmix64, of the right distribution, whatever the batch."""

import numpy as np
import pytest
import torch

from sparsefast.training.randomness import bits, normal, uniform

M = (1 << 64) - 1


def mixed(x):
    """The finaliser of splitmix64, in Python's numbers."""
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & M
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & M
    return x ^ (x >> 31)


def test_bits_are_those_of_splitmix64():
    # Its first numbers from state 0, as published with the generator of java.util.SplittableRandom.
    step = 0x9E3779B97F4A7C15
    assert [hex(mixed(step * i & M)) for i in (1, 2, 3)] == [
        "0xe220a8397b1dcdaf", "0x6e789e6aa1b965f4", "0x6c45d188009454f",
    ]  # fmt: skip
    seeds = torch.tensor([0, 1, -1, 2**62, -(2**63)])
    for stream in (0, 3):
        found = bits(seeds, stream, 4).numpy().astype(np.uint64)
        for row, seed in zip(found, seeds.tolist(), strict=True):
            key = mixed((seed + step * (2 * stream + 1)) & M)
            assert row.tolist() == [mixed((key + step * (i + 1)) & M) for i in range(4)]


def test_a_sample_has_its_numbers_in_any_batch():
    seeds = torch.arange(5) * 7919
    whole = normal(seeds, 2, (3, 7))
    assert torch.equal(whole[2:4], normal(seeds[2:4], 2, (3, 7)))
    assert torch.equal(whole.double(), normal(seeds, 2, (3, 7), torch.float64).float().double())
    assert not torch.equal(whole, normal(seeds, 3, (3, 7)))


def test_uniform_numbers_are_uniform_and_normal_ones_normal():
    from scipy.stats import kstest

    seeds = torch.arange(1000)
    n = 200_000
    for stream in (0, 1):
        u, x = (f(seeds, stream, (n // 1000,)).flatten().double().numpy() for f in (uniform, normal))
        assert u.min() >= 0 and u.max() < 1
        # p is uniform: below 1e-6 once in a million changes of the generator.
        assert kstest(u, "uniform").pvalue > 1e-6
        assert kstest(x, "norm").pvalue > 1e-6
    # Neighbours, in seed and in place, and the two halves of Box and Muller know nothing of each other.
    x = normal(seeds, 0, (200,), torch.float64).numpy()
    for a, b in ((x[:-1], x[1:]), (x[:, :-1], x[:, 1:]), (x[:, :100], x[:, 100:])):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 5 / np.sqrt(a.size)


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 3)])
def test_shapes(shape):
    assert normal(torch.arange(4), 0, shape).shape == (4, *shape)
    assert uniform(torch.arange(0), 0, shape).shape == (0, *shape)
