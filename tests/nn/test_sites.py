"""Latents to signals and back."""

import pytest
import torch

from sparsefast.nn.sites import grid_of, latent_of, sites_of
from tests.nn.helper import latent


@pytest.mark.parametrize("patch_size", [1, 2, 3])
@pytest.mark.parametrize("size", [(6, 12), (5, 7), (2, 1)], ids=str)
def test_latents_come_back_from_their_sites(patch_size, size):
    z = latent(2, *size)
    sites = sites_of(z, patch_size)
    assert sites.shape == (2, *grid_of(*size, patch_size), z.shape[1] * patch_size**2)
    assert torch.equal(latent_of(sites, size, patch_size), z)


@pytest.mark.parametrize("patch_size", [1, 2, 3])
def test_features_stand_as_pytorch_unfolds_them(patch_size):
    z = latent(2, 6, 12)
    theirs = torch.nn.functional.unfold(z, patch_size, stride=patch_size).transpose(1, 2)
    assert torch.equal(sites_of(z, patch_size).flatten(1, 2), theirs)


@pytest.mark.parametrize("size", [(4, 6), (5, 7)], ids=str)
def test_gradients_go_through_both_ways(size):
    z = latent(2, *size).requires_grad_()
    weights = latent(2, *size, seed=2)
    (latent_of(2 * sites_of(z, 2), size, 2) * weights).sum().backward()
    assert torch.equal(z.grad, 2 * weights)


def test_a_site_of_one_pixel_is_a_view():
    z = latent()
    assert sites_of(z, 1).data_ptr() == z.data_ptr()
