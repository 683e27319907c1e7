"""HybridBottleneck and its bins: coefficients as whole numbers, codes as tokens, and what is lost."""

import pytest
import torch
from torch.nn.functional import mse_loss, normalize

import sparsefast
from sparsefast.nn import HybridBottleneck
from sparsefast.nn.mu_law import MuLawQuantizer
from sparsefast.nn.sites import sites_of
from tests.nn.helper import C, K, built, latent


def quantizer(n_bins=15, mu=10.0, scale=2.0):
    found = MuLawQuantizer(n_bins, mu).double()
    found.scale.fill_(scale)
    return found


def test_levels_are_symmetric_increase_and_have_zero_and_the_scale():
    levels = quantizer().levels(torch.float64)
    assert torch.equal(levels, -levels.flip(0))
    assert (levels.diff() > 0).all()
    assert (levels[7].item(), levels[-1].item()) == (0, pytest.approx(2))
    steps = levels[7:].diff()
    assert (steps.diff() > 0).all()  # the denser the nearer to zero


def test_bins_are_those_of_the_formula_and_every_level_is_its_own():
    q = quantizer()
    assert torch.equal(q.bins(q.levels(torch.float64)), torch.arange(15))
    values = torch.linspace(-3, 3, 1001, dtype=torch.float64)
    held = values.clamp(-2, 2)
    loudness = held.sign() * torch.log(1 + 10 * held.abs() / 2) / torch.log(torch.tensor(11.0, dtype=torch.float64))
    expected = 7 + torch.round(7 * loudness)
    assert torch.equal(q.bins(values), expected.to(torch.int64))
    assert torch.isnan(q(torch.tensor([float("nan")]))).all()


def test_with_next_to_no_mu_the_levels_are_even():
    steps = quantizer(mu=1e-3).levels(torch.float64).diff()
    torch.testing.assert_close(steps, torch.full_like(steps, 2 / 7), rtol=1e-3, atol=0)


@pytest.mark.parametrize("patch_size", [1, 2])
@pytest.mark.parametrize("bins", [3, 63])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tokens_give_what_the_layer_gives_bit_for_bit(patch_size, bins, dtype):
    layer = built("hybrid", patch_size=patch_size, coefficient_bins=bins).to(dtype)
    z = latent(dtype=dtype)
    z[0, :, 0:2, 0:2] = 0  # a signal without any atom
    for _ in range(2):
        layer(z)
    out, _, code = layer.eval()(z)
    assert code.counts.min() == 0
    state = {key: value.clone() for key, value in layer.state_dict().items()}
    tokens, height, width = layer.train().encode_to_indices(z)
    assert all(torch.equal(value, layer.state_dict()[key]) for key, value in state.items())
    assert (height, width) == tuple(code.shape[1:])
    assert tokens.shape == (4, height * width * layer.tokens_per_site) and tokens.dtype == torch.int64
    assert torch.equal(layer.decode_from_indices(tokens, height, width, (5, 7)), out)
    whole = layer.decode_from_indices(tokens, height, width)
    assert whole.shape == (4, C, height * patch_size, width * patch_size)
    assert torch.equal(whole[..., :5, :7], out)


def test_each_support_has_one_spelling():
    layer = built("hybrid", coefficient_bins=3)
    layer(latent())
    tokens, height, width = layer.encode_to_indices(latent())
    pairs = tokens.reshape(4, height, width, 3, 2)
    atoms, bins = pairs.unbind(dim=-1)
    assert (atoms.diff(dim=-1) > 0).all()  # sorted, and none twice
    assert atoms.min() >= 0 and atoms.max() < K
    assert bins.min() >= K and bins.max() < K + 3 == layer.vocabulary_size
    _, _, code = layer.eval()(latent())
    zero = bins == K + 1
    assert torch.equal(3 - zero.sum(dim=-1), code.counts.to(torch.int64))
    assert zero.any()
    # Any order of the pairs is read, and read alike.
    turned = pairs.flip(-2).reshape(4, -1)
    assert not torch.equal(turned, tokens)
    ours, theirs = (layer.decode_from_indices(x, height, width) for x in (tokens, turned))
    assert torch.equal(ours, theirs)
    # What was decoded is encoded again by the same words where atoms are orthogonal.
    with torch.no_grad():
        layer.dictionary.copy_(torch.eye(C, dtype=torch.float64).repeat(6, 1)[:K])
    tokens, *size = layer.encode_to_indices(latent())
    again, *_ = layer.encode_to_indices(layer.decode_from_indices(tokens, *size))
    assert torch.equal(again, tokens)


def test_values_and_loss_are_those_that_are_said():
    layer, z = built("hybrid", dictionary_weight=3.0, quantisation_weight=2.0), latent().requires_grad_()
    out, loss, code = layer(z)
    signals, atoms = sites_of(z.detach(), 1), normalize(layer.dictionary.detach(), dim=1)
    exact = sparsefast.omp(signals, atoms, 3)
    rounded = sparsefast.SparseCode(
        exact.indices, layer.coefficients(exact.values), exact.counts, exact.status, K
    ).decode(atoms)
    torch.testing.assert_close(out.permute(0, 2, 3, 1), rounded, rtol=1e-12, atol=1e-12)
    lost = mse_loss(exact.decode(atoms), rounded)
    expected = 3.25 * mse_loss(rounded, signals) + 2 * lost
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
    (grad,) = torch.autograd.grad(loss, z, retain_graph=True)
    pull = (0.25 * (signals - rounded) + 2 * (exact.decode(atoms) - rounded)).permute(0, 3, 1, 2)
    torch.testing.assert_close(grad, 2 * pull / z.numel(), rtol=1e-10, atol=1e-12)
    assert torch.autograd.grad(loss, layer.dictionary)[0].abs().max() > 0
    assert code.values.unique().numel() <= 63


def test_more_bins_lose_less_and_more_bits():
    losses, bits = [], []
    for n_bins in (3, 15, 255):
        layer = built("hybrid", coefficient_bins=n_bins)
        layer(latent())
        losses.append(mse_loss(layer.eval()(latent())[0], latent()).item())
        bits.append(layer.bits_per_site)
    assert losses[0] > losses[1] > losses[2]
    assert bits[0] < bits[1] < bits[2]


def test_the_implicit_gradient_goes_through_the_bins_to_the_dictionary():
    layer, z = built("hybrid", gradient="implicit"), latent().requires_grad_()
    out, _, _ = layer(z)
    grads = torch.autograd.grad(out.square().sum(), (z, layer.dictionary))
    assert all(torch.isfinite(grad).all() and grad.abs().max() > 0 for grad in grads)


def test_a_vector_quantizer_has_tokens_too():
    layer, z = built("vq", patch_size=2).eval(), latent()
    out, _, indices = layer(z)
    tokens, height, width = layer.encode_to_indices(z)
    assert torch.equal(tokens, indices.reshape(4, 12)) and (height, width) == (3, 4)
    assert torch.equal(layer.decode_from_indices(tokens, height, width, (5, 7)), out)
    assert (layer.vocabulary_size, layer.tokens_per_site) == (K, 1)


@pytest.mark.parametrize("name", ["vq", "hybrid"])
def test_tokens_that_mean_nothing_are_refused(name):
    layer = built(name)
    tokens, height, width = layer.encode_to_indices(latent())
    with pytest.raises(ValueError, match=r"indices has shape .*; for H=5 and W=8, at least 1, it must be \(B, "):
        layer.decode_from_indices(tokens, 5, 8)
    with pytest.raises(TypeError, match=r"indices is torch\.float64; it must be a tensor of whole numbers"):
        layer.decode_from_indices(tokens.double(), height, width)
    for bad in (-1, layer.vocabulary_size):
        spoiled = tokens.clone()
        spoiled[1, 2] = bad
        with pytest.raises(ValueError, match=r"they must be 0 to 31"):
            layer.decode_from_indices(spoiled, height, width)
    if name == "hybrid":
        spoiled = tokens.clone()
        spoiled[0, 1] = 3  # an atom in the place of a bin
        with pytest.raises(ValueError, match=r"where bins stand; they must be 32 to 94"):
            layer.decode_from_indices(spoiled, height, width)
    with pytest.raises(ValueError, match=r"z is \(3, 6\); it must be a tensor \(B, C, H, W\)"):
        layer.encode_to_indices(torch.zeros(3, C))


def test_what_is_not_finite_has_no_tokens():
    z = latent()
    z[0, 0, 0, 0] = float("nan")
    with pytest.raises(ValueError, match="z holds NaN or infinity"):
        built("hybrid").encode_to_indices(z)


def test_before_any_training_the_bins_reach_to_one():
    layer = HybridBottleneck(K, C, 2)
    _, _, code = layer.eval()(torch.randn(2, C, 3, 3) * 5)
    assert code.values.abs().max() == 1
