"""The start of codebooks."""

import torch

import sparsefast
from sparsefast.nn.kmeans import kmeans, sample_of, seeded_centres
from sparsefast.nn.sums import sums_by_code


def clusters(n_each=40, n_clusters=7, spread=0.01):
    generator = torch.Generator().manual_seed(3)
    centres = 5 * torch.randn(n_clusters, 3, generator=generator, dtype=torch.float64)
    noise = spread * torch.randn(n_each, n_clusters, 3, generator=generator, dtype=torch.float64)
    return (centres + noise).reshape(-1, 3), centres


def test_kmeans_finds_clusters_that_are_far_apart():
    signals, centres = clusters()
    found = kmeans(signals, 7)
    assert sparsefast.nearest_code(centres, found).distances.max() < 0.01
    assert sparsefast.nearest_code(centres, found).indices.unique().numel() == 7


def test_each_of_lloyds_iterations_lowers_the_error():
    signals = torch.randn(500, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    errors = [
        sparsefast.nearest_code(signals, kmeans(signals, 20, n_iterations=n)).distances.square().sum().item()
        for n in range(6)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[5] < 0.95 * errors[0]


def test_seeds_are_signals_and_differ_while_there_are_others():
    signals = torch.arange(20.0)[:, None].repeat(3, 2)  # each three times
    seeds = seeded_centres(signals, 20, seed=5)
    assert torch.equal(seeds[:, 0].sort().values, torch.arange(20.0))
    assert not torch.equal(seeds, seeded_centres(signals, 20, seed=6))
    assert torch.equal(seeds, seeded_centres(signals, 20, seed=5))


def test_more_clusters_than_signals_leave_no_two_centres_alike():
    for n in (0, 1, 3):
        found = kmeans(torch.ones(n, 2) * torch.arange(n)[:, None], 5)
        assert torch.isfinite(found).all()
        assert found.unique(dim=0).shape == (5, 2)


def test_the_sample_is_of_finite_signals_in_their_order():
    signals = torch.arange(100.0)[:, None].repeat(1, 2)
    signals[::2, 1] = torch.nan
    assert torch.equal(sample_of(signals, 100, 0), signals[1::2])
    few = sample_of(signals, 10, 0)
    assert len(few) == 10
    assert torch.equal(few, few[few[:, 0].argsort()])
    assert not torch.equal(few, sample_of(signals, 10, 1))


def test_sums_by_code_are_those_of_one_hot_rows():
    signals = torch.randn(50, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    indices = torch.arange(50) % 6
    counts, sums = sums_by_code(signals, indices, 8)
    one_hot = torch.nn.functional.one_hot(indices, 8).double()
    assert torch.equal(counts, one_hot.sum(0))
    torch.testing.assert_close(sums, one_hot.T @ signals, rtol=1e-13, atol=1e-13)
