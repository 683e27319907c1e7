"""The Fréchet distance of Gaussians against its closed forms, SciPy's root of a matrix and torchmetrics."""

import math

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from sparsefast.metrics.states import FID, frechet_distance
from tests.metrics.pictures import pieces, spoiled
from tests.metrics.process_script import Means


def moments(x):
    return x.mean(0), torch.cov(x.T)


def samples(n, n_features, seed, scale=1.0):
    return scale * torch.randn(n, n_features, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_it_is_that_of_a_root_by_scipy_and_of_torchmetrics():
    from torchmetrics.image.fid import _compute_fid

    mix = samples(7, 7, 0)
    first, second = moments(samples(50, 7, 1) @ mix), moments(samples(60, 7, 2, 1.5) + 0.3)
    (m1, c1), (m2, c2) = first, second
    by_scipy = ((m1 - m2) ** 2).sum() + np.trace((c1 + c2).numpy() - 2 * sqrtm((c1 @ c2).numpy()).real)
    assert float(frechet_distance(*first, *second)) == pytest.approx(float(by_scipy), rel=1e-10)
    assert float(frechet_distance(*first, *second)) == pytest.approx(float(_compute_fid(*first, *second)), rel=1e-10)


def test_of_diagonal_covariances_it_is_the_distance_of_means_and_deviations():
    a, b = torch.tensor([1.0, 0.0, 4.0], dtype=torch.float64), torch.tensor([9.0, 0.0, 0.25], dtype=torch.float64)
    zero, one = torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
    assert float(frechet_distance(zero, a.diag(), one, b.diag())) == pytest.approx(3 + 2**2 + 1.5**2, rel=1e-14)


def test_fewer_images_than_features_cost_no_precision():
    x = samples(9, 200, 3)
    assert 0 <= float(frechet_distance(*moments(x), *moments(x))) < 1e-11
    # A shift of a set by s is at distance |s|².
    assert float(frechet_distance(*moments(x), *moments(x + 0.01))) == pytest.approx(200 * 0.01**2, rel=1e-9)


def test_the_class_takes_rounded_pixels_in_any_batches():
    images = pieces(9, 16)
    others = spoiled(images, 0.1)
    metric = FID(Means(), 12)
    for x in images.split(4):
        metric.update(x, real=True)
    metric.update(others, real=False)
    first = Means()((images * 255).round().byte()).double()
    second = Means()((others * 255).round().byte()).double()
    assert float(metric.compute()) == pytest.approx(
        float(frechet_distance(*moments(first), *moments(second))), rel=1e-9
    )
    metric.update(others * math.nan, real=False)
    assert math.isnan(float(metric.compute()))
