"""KSVDBottleneck: how its dictionary learns, when it does not, and what it does about what cannot be learned."""

import io

import pytest
import torch
from torch.nn.functional import mse_loss, normalize

import sparsefast
from sparsefast.nn import KSVDBottleneck, SparseBottleneck
from sparsefast.nn.sites import sites_of
from tests.nn.helper import C, K, built, latent

learning = pytest.mark.parametrize("name", ["ksvd", "ksvd online"])


def structured(n, seed, patch_size=1):
    """Latents (n, C, 12, 12) of sparse combinations of K unknown directions, and a little noise."""
    features = C * patch_size**2
    fixed = torch.Generator().manual_seed(99)
    truth = normalize(torch.randn(K, features, generator=fixed, dtype=torch.float64), dim=1)
    generator = torch.Generator().manual_seed(seed)
    places = torch.rand(n * 144, K, generator=generator).argsort(dim=1)[:, :2]
    values = torch.randn(n * 144, 2, generator=generator, dtype=torch.float64)
    rows = (values[..., None] * truth[places]).sum(dim=1)
    rows = rows + 0.01 * torch.randn(rows.shape, generator=generator, dtype=torch.float64)
    return rows.reshape(n, 12, 12, C).permute(0, 3, 1, 2)


def error(layer, z):
    """Of orthogonal matching pursuit in the layer's dictionary."""
    signals = sites_of(z, layer.patch_size)
    return mse_loss(sparsefast.omp(signals, layer.atoms.detach(), layer.sparsity_level).decode(layer.atoms), signals)


def learner(name, **options):
    return built(name, **{"sparsity_level": 2, "coefficient_bits": None, "revive_every": 0, **options})


@learning
def test_training_calls_lower_the_error_of_latents_that_were_never_seen(name):
    layer, held_out = learner(name), structured(2, seed=1000)
    before = error(layer, held_out).item()
    for step in range(20):
        layer(structured(4, seed=step))
    assert error(layer, held_out).item() < 0.5 * before
    assert layer.failures.item() == 0


def test_exact_and_approximate_sweeps_end_at_about_the_same_error():
    found = []
    for method in ("approx", "exact"):
        layer = learner("ksvd", ksvd_method=method)
        for step in range(20):
            layer(structured(4, seed=step))
        found.append(error(layer, structured(2, seed=1000)).item())
    assert found[0] != found[1]
    assert max(found) < 1.5 * min(found)


def test_more_sweeps_reconstruct_the_signals_of_the_call_better():
    z, found = structured(4, seed=0), []
    for sweeps in (1, 2, 5):
        layer = learner("ksvd", ksvd_iterations=sweeps)
        found.append(mse_loss(layer(z)[0], z).item())
    assert found[0] > found[1] > found[2]


def test_a_sweep_is_that_of_ksvd_update():
    layer, z = learner("ksvd"), latent()
    signals, atoms = sites_of(z, 1), layer.atoms.clone()
    expected = sparsefast.ksvd_update(signals, atoms, sparsefast.omp(signals, atoms, 2))
    out, loss, code = layer(z)
    torch.testing.assert_close(layer.dictionary, expected.dictionary, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(code.values, expected.code.values, rtol=1e-12, atol=1e-12)
    assert loss.item() == pytest.approx(0.25 * mse_loss(out, z).item(), rel=1e-12)


def test_online_learning_fades_what_it_knew_by_the_rate():
    layer, batches = learner("ksvd online", dict_learning_rate=0.3), [latent(seed=s) for s in (1, 2)]
    stats, atoms = sparsefast.DictionaryStats(K, C, like=layer.dictionary), layer.atoms.clone()
    for z in batches:
        signals = sites_of(z, 1)
        stats.add(signals, sparsefast.omp(signals, atoms, 2), forgetting=0.7)
        atoms = sparsefast.online_update(stats, atoms, constraint="sphere")
        _, _, code = layer(z)
        expected = sparsefast.omp(signals, atoms, 2)
        torch.testing.assert_close(layer.dictionary, atoms, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(code.values, expected.values, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(layer.gram, stats.A, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(layer.cross, stats.B, rtol=1e-10, atol=1e-10)


def test_a_higher_learning_rate_goes_farther_from_what_was_learned():
    moved = []
    for rate in (0.01, 0.1, 0.9):
        layer = learner("ksvd online", dict_learning_rate=rate)
        for step in range(5):
            layer(structured(4, seed=step))
        before = layer.dictionary.clone()
        layer(latent(8))
        moved.append((layer.dictionary - before).norm().item())
    assert moved[0] < moved[1] < moved[2]


@learning
@pytest.mark.parametrize("patch_size", [1, 2])
@pytest.mark.parametrize("bits", [None, 4])
def test_codes_reconstruct_what_came_out_in_training_and_after(name, patch_size, bits):
    layer = built(name, patch_size=patch_size, coefficient_bits=bits, quantize_in_training=True)
    for training in (True, False):
        out, _, code = layer.train(training)(latent())
        assert torch.equal(layer.decode(code, (5, 7)), out)
    assert (code.values.unique().numel() <= 15) == (bits == 4)


@learning
def test_it_learns_in_training_mode_alone_and_gives_no_gradient_to_the_dictionary(name):
    layer, z = built(name), latent().requires_grad_()
    assert not list(layer.parameters())
    before = {key: value.clone() for key, value in layer.state_dict().items()}
    layer.eval()(z)
    assert all(torch.equal(value, before[key]) for key, value in layer.state_dict().items())
    out, loss, _ = layer.train()(z)
    assert not torch.equal(layer.dictionary, before["dictionary"])
    weights = latent(seed=5)
    (grad,) = torch.autograd.grad((out * weights).sum(), z, retain_graph=True)
    assert torch.equal(grad, weights)
    (grad,) = torch.autograd.grad(loss, z)
    torch.testing.assert_close(grad, 0.5 * (z - out).detach() / z.numel(), rtol=1e-12, atol=1e-14)


def test_without_sweeps_and_online_learning_it_is_the_bottleneck_that_learns_by_gradient():
    layer, other = built("ksvd", ksvd_iterations=0, dictionary_weight=3.0), built("dl", dictionary_weight=3.0)
    for step in range(2):
        (out, loss, _), (their_out, their_loss, _) = layer(latent(seed=step)), other(latent(seed=step))
        assert torch.equal(out, their_out)
        assert torch.equal(loss, their_loss)
        grads = [torch.autograd.grad(x, b.dictionary)[0] for x, b in ((loss, layer), (their_loss, other))]
        assert torch.equal(*grads) and grads[0].abs().max() > 0


def test_two_ways_to_learn_at_once_are_refused():
    with pytest.raises(ValueError, match=r"ksvd_iterations=2 and use_online_learning=True .* must be 0 or .* False"):
        KSVDBottleneck(K, C, ksvd_iterations=2, use_online_learning=True)


@learning
def test_signals_that_are_not_finite_teach_nothing_and_are_counted(name):
    layer, clean, z = built(name), built(name), latent()
    clean(z)
    spoiled = torch.cat([z, z[:1]])
    spoiled[-1, 2] = float("nan")
    layer(spoiled)
    torch.testing.assert_close(layer.dictionary, clean.dictionary, rtol=1e-12, atol=1e-12)
    assert layer.failures.item() == 5 * 7
    assert clean.failures.item() == 0


@pytest.mark.parametrize("method", ["approx", "exact"])
def test_atoms_whose_update_is_not_finite_stay_and_are_counted(method, monkeypatch):
    layer, z = built("ksvd", ksvd_method=method), latent()
    before, real = layer.atoms.clone(), sparsefast.ksvd_update

    def failing(*args, **kwargs):
        update = real(*args, **kwargs)
        update.dictionary[4] = float("nan")
        update.code.values[update.code.indices == 4] = float("inf")
        return update

    monkeypatch.setattr(sparsefast, "ksvd_update", failing)
    out, loss, _ = layer(z)
    assert torch.equal(layer.dictionary[4], before[4])
    assert not torch.isclose(layer.dictionary[5], before[5]).all()
    assert torch.isfinite(out).all() and torch.isfinite(loss)
    assert layer.failures.item() == 1


@pytest.mark.parametrize(("size", "failures"), [(1e200, 4 * 5 * 7), (3e153, 1)])
def test_what_is_too_large_to_be_squared_or_summed_is_left_out_of_the_statistics(size, failures):
    layer = built("ksvd online")
    layer(latent())
    before = layer.gram.clone()
    layer(torch.full((4, C, 5, 7), size, dtype=torch.float64))
    assert layer.failures.item() == failures
    torch.testing.assert_close(layer.gram, 0.9 * before)
    assert torch.isfinite(layer.dictionary).all()


@learning
def test_a_state_dict_goes_on_with_statistics_and_failures(name):
    layer, z = built(name, revive_every=3), latent()
    z[0, 0, 0, 0] = float("inf")
    for _ in range(2):
        layer(z)
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    other = built(name, seed=4, revive_every=3)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert (other.failures.item(), other.calls) == (2, 2)
    for step in range(3):
        assert torch.equal(layer(latent(seed=step))[0], other(latent(seed=step))[0])
    assert torch.equal(layer.dictionary, other.dictionary)


@learning
def test_dead_atoms_begin_anew_and_what_is_known_of_them_is_forgotten(name):
    layer = built(name, revive_every=2, sparsity_level=1)
    layer(latent())
    layer.usage[9] = 0
    layer(latent(seed=2))
    assert 9 in layer.revived.tolist()
    assert layer.usage[9] > 0
    if name == "ksvd online":
        layer = built(name, revive_every=2)
        layer(latent())
        layer.usage[9] = 0
        z = latent(seed=2)
        layer._begin_training_call(z)
        assert 9 in layer.revived.tolist()
        assert not layer.gram[9].any() and not layer.gram[:, 9].any() and not layer.cross[9].any()
        assert layer.gram.any()


def test_statistics_begin_anew_with_initialize():
    layer = built("ksvd online")
    layer(latent())
    layer.initialize(latent(16))
    assert not layer.gram.any() and not layer.cross.any()
    assert (layer.dictionary.norm(dim=1) - 1).abs().max() < 1e-12


def test_it_takes_the_place_of_a_sparse_bottleneck():
    torch.manual_seed(0)
    for other in (KSVDBottleneck(512, 64), SparseBottleneck(512, 64)):
        z = torch.randn(2, 64, 4, 4)
        out, loss, code = other(z)
        assert (out.shape, loss.shape, code.shape) == (z.shape, (), (2, 4, 4))
