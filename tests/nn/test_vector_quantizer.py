"""VectorQuantizer against VQ-VAE written out in plain PyTorch."""

import pytest
import torch
from torch.nn.functional import mse_loss, one_hot

from sparsefast.nn import VectorQuantizer
from tests.nn.helper import C, K, built, latent


class Reference:
    """VQ-VAE by the book: all distances, one-hot rows, running means."""

    def __init__(self, codebook, decay):
        self.codebook, self.decay = codebook.clone(), decay
        self.n, self.m = torch.ones(len(codebook), dtype=torch.float64), codebook.clone()

    def __call__(self, z):
        x = z.permute(0, 2, 3, 1).reshape(-1, C)
        indices = torch.cdist(x, self.codebook, compute_mode="donot_use_mm_for_euclid_dist").argmin(1)
        z_q = self.codebook[indices].reshape(*z.permute(0, 2, 3, 1).shape).permute(0, 3, 1, 2)
        loss = 0.25 * mse_loss(z, z_q.detach())
        rows = one_hot(indices, K).double()
        self.n = self.decay * self.n + (1 - self.decay) * rows.sum(0)
        self.m = self.decay * self.m + (1 - self.decay) * rows.T @ x.detach()
        smoothed = (self.n + 1e-5) / (self.n.sum() + K * 1e-5) * self.n.sum()
        self.codebook = self.m / smoothed[:, None]
        return z + (z_q - z).detach(), loss, indices


def test_it_is_vq_vae():
    quantizer = built("vq", decay=0.9)
    reference = Reference(quantizer.codebook, 0.9)
    for step in range(5):
        z = latent(seed=step).requires_grad_()
        weights = latent(seed=100 + step)
        z_q, loss, indices = quantizer(z)
        their_z_q, their_loss, their_indices = reference(z)
        assert torch.equal(indices.reshape(-1), their_indices)
        torch.testing.assert_close(z_q, their_z_q, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(loss, their_loss, rtol=1e-12, atol=0)
        mine, theirs = (
            torch.autograd.grad((weights * out).sum() + other, z)
            for out, other in ((z_q, loss), (their_z_q, their_loss))
        )
        torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(quantizer.codebook, reference.codebook, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(quantizer.usage, reference.n, rtol=1e-12, atol=0)


def test_without_decay_the_codebook_has_the_gradient_of_its_loss_alone():
    quantizer, z = built("vq by gradient"), latent().requires_grad_()
    before = quantizer.codebook.detach().clone()
    z_q, loss, indices = quantizer(z)
    (z_q.sum() + loss).backward()
    codebook = before.clone().requires_grad_()
    mse_loss(codebook[indices].permute(0, 3, 1, 2), z.detach()).backward()
    torch.testing.assert_close(quantizer.codebook.grad, codebook.grad, rtol=1e-12, atol=1e-14)
    assert loss.item() == pytest.approx(1.25 * mse_loss(z_q, z).item())
    assert torch.equal(quantizer.codebook, before)
    assert isinstance(quantizer.codebook, torch.nn.Parameter)


def test_with_decay_it_has_no_parameters_and_learns_in_training_mode_only():
    quantizer, z = built("vq"), latent()
    assert not list(quantizer.parameters())
    state = {name: value.clone() for name, value in quantizer.state_dict().items()}
    quantizer.eval()
    quantizer(z)
    assert all(torch.equal(value, state[name]) for name, value in quantizer.state_dict().items())
    quantizer.train()
    quantizer(z)
    assert not torch.equal(quantizer.codebook, state["codebook"])


@pytest.mark.parametrize("name", ["vq", "vq by gradient"])
def test_codes_that_nothing_uses_begin_anew_at_the_worst_signals(name):
    quantizer, z = built(name, revive_every=2), latent(1, 4, 8)  # as many places as codes
    quantizer(z)
    assert quantizer.revived.tolist() == []
    with torch.no_grad():
        quantizer.codebook[:] = z.permute(0, 2, 3, 1).reshape(K, C)
        quantizer.codebook[[3, 5]] = 90.0
        quantizer.usage[[3, 5]] = 0.05
    _, loss, indices = quantizer(z)
    assert quantizer.revived.tolist() == [3, 5]
    # The two signals whose codes were lost have them back, and every signal its own.
    assert loss.item() == 0
    assert {3, 5} == set(indices.reshape(-1)[[3, 5]].tolist())
    assert (quantizer.usage[[3, 5]] > 0.9).all()
    quantizer(z)
    assert quantizer.revived.tolist() == []


def test_a_revived_code_stays_at_its_signal():
    quantizer, z = built("vq", revive_every=1), latent()
    quantizer.initialize(z)
    quantizer(z)
    quantizer.usage[4] = 0
    quantizer.codebook[4] = 90.0
    _, _, indices = quantizer(z)
    assert quantizer.revived.tolist() == [4]
    signal = z.permute(0, 2, 3, 1)[indices == 4].mean(dim=0)
    assert (quantizer.codebook[4] - signal).norm() < 0.2 * signal.norm()


def test_running_means_stay_wide_in_a_16_bit_model():
    torch.manual_seed(0)
    quantizer = VectorQuantizer(K, C).bfloat16()
    assert quantizer.codebook.dtype == torch.bfloat16
    assert quantizer.sums.dtype == quantizer.usage.dtype == torch.float32
    before = quantizer.sums.clone()
    z_q, _, _ = quantizer(latent(dtype=torch.bfloat16))
    assert z_q.dtype == torch.bfloat16
    assert not torch.equal(quantizer.sums, before)


def test_initialize_starts_at_centres_of_the_signals():
    quantizer, z = built("vq"), latent(8)
    _, before, _ = quantizer.eval()(z)
    quantizer.initialize(z)
    _, after, _ = quantizer(z)
    assert after < 0.5 * before
    other = built("vq", seed=9)
    other.initialize(z)
    assert torch.equal(other.codebook, quantizer.codebook)
    other.initialize(z, seed=1)
    assert not torch.equal(other.codebook, quantizer.codebook)
