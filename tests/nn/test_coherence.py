"""The loss of coherence is the mean of the Gram matrix off its diagonal, and keeps to the Welch bound."""

import math

import pytest
import torch

from sparsefast.nn.coherence import coherence_loss


def atoms(k, f, seed=0):
    return torch.randn(k, f, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 3


@pytest.mark.parametrize(("k", "f"), [(2, 1), (5, 9), (9, 5), (40, 7)])
def test_it_is_the_mean_squared_cosine_of_two_atoms(k, f):
    d = atoms(k, f)
    pairs = [torch.cosine_similarity(d[i], d[j], dim=0) ** 2 for i in range(k) for j in range(k) if i != j]
    torch.testing.assert_close(coherence_loss(d), torch.stack(pairs).mean(), rtol=1e-12, atol=0)
    torch.testing.assert_close(coherence_loss(d.float()), coherence_loss(d).float(), rtol=1e-5, atol=0)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(coherence_loss(d), coherence_loss(d))
        torch.testing.assert_close(coherence_loss(d.bfloat16()), coherence_loss(d.bfloat16().float()))


def test_it_is_0_of_orthogonal_atoms_1_of_parallel_ones_and_the_welch_bound_of_a_tight_frame():
    assert coherence_loss(2 * torch.eye(6)).item() == 0
    assert coherence_loss(torch.tensor([[1.0, 2.0], [-2.0, -4.0]])).item() == pytest.approx(1)
    angles = torch.arange(3, dtype=torch.float64) * 2 * math.pi / 3
    frame = torch.stack([angles.cos(), angles.sin()], dim=1)
    assert coherence_loss(frame).item() == pytest.approx((3 - 2) / (2 * (3 - 1)))


@pytest.mark.parametrize(("k", "f"), [(3, 5), (6, 3)])
def test_its_gradient_is_exact_and_following_it_reaches_the_bound(k, f):
    d = atoms(k, f).requires_grad_()
    torch.autograd.gradcheck(coherence_loss, d)
    adam = torch.optim.Adam([d], lr=0.1)
    for _ in range(300):
        adam.zero_grad()
        coherence_loss(d).backward()
        adam.step()
    assert coherence_loss(d).item() == pytest.approx(max(0, (k - f) / (f * (k - 1))), abs=1e-3)


def test_what_is_no_dictionary_is_refused():
    with pytest.raises(ValueError, match=r"dictionary has shape \(1, 4\); it must be \(K, F\)"):
        coherence_loss(torch.zeros(1, 4))
