"""SparseBottleneck: its values, both of its gradients, its losses, its coefficients, its dead atoms."""

import pytest
import torch
from torch.nn.functional import mse_loss, normalize

import sparsefast
from sparsefast.nn import SparseBottleneck
from sparsefast.nn.sites import latent_of, sites_of
from tests.nn.helper import C, K, built, latent


@pytest.mark.parametrize("patch_size", [1, 2])
@pytest.mark.parametrize("solver", ["omp", "iht", "topk"])
def test_it_is_the_solver_on_the_patches_with_both_losses(patch_size, solver):
    layer = built("dl", patch_size=patch_size, sparse_solver=solver, dictionary_weight=3.0, coefficient_bits=None)
    z = latent()
    out, loss, code = layer(z)
    signals, atoms = sites_of(z, patch_size), normalize(layer.dictionary.detach(), dim=1)
    expected = getattr(sparsefast, solver)(signals, atoms, 3)
    assert code.equals(expected)
    assert code.shape == signals.shape[:-1]
    decoded = expected.decode(atoms)
    assert torch.equal(out, latent_of(decoded, (5, 7), patch_size))
    assert loss.item() == pytest.approx(3.25 * mse_loss(decoded, signals).item(), rel=1e-12)


@pytest.mark.parametrize("name", ["dl", "dl implicit"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    "made",
    [lambda z: z, lambda z: z.permute(0, 2, 3, 1).reshape(-1, C), lambda z: z.permute(0, 2, 3, 1).flatten(1, 2)],
    ids=["latent", "rows", "batches of rows"],
)
def test_one_pass_is_the_same_as_its_steps(name, dtype, made, monkeypatch):
    at_once, in_steps = built(name, dictionary_weight=2.0), built(name, dictionary_weight=2.0)
    monkeypatch.setattr(in_steps, "_in_one_pass", lambda: False)
    results = []
    for layer in (at_once, in_steps):
        z = made(latent(dtype=dtype)).detach().requires_grad_()
        out, loss, code = layer(z)
        (out.double().square().sum() + loss).backward()
        results.append((out, loss, code.values, code.indices, layer.usage, z.grad, layer.dictionary.grad))
        assert code.shape == (z.shape[:-1] if z.ndim < 4 else (4, 5, 7))
        assert out.dtype == dtype and layer.coefficients.scale == code.values.abs().max()
    for found, wanted in zip(*results, strict=True):
        assert found.shape == wanted.shape
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("name", ["dl", "dl implicit"])
@pytest.mark.parametrize("options", [{}, {"sparse_solver": "topk"}, {"quantize_in_training": True}], ids=str)
def test_the_loss_moves_signals_to_atoms_and_atoms_to_signals_with_coefficients_as_they_are(name, options):
    layer, z = built(name, dictionary_weight=2.0, coefficient_bits=3, **options), latent().requires_grad_()
    out, loss, code = layer(z)
    of_z, of_dictionary = torch.autograd.grad(loss, (z, layer.dictionary))
    torch.testing.assert_close(of_z, 2 * 0.25 * (z - out).detach() / z.numel(), rtol=1e-12, atol=1e-14)
    dictionary = layer.dictionary.detach().clone().requires_grad_()
    values = sparsefast.SparseCode(code.indices, code.values.detach(), code.counts, code.status, K)
    (2 * mse_loss(values.decode(normalize(dictionary, dim=1)), sites_of(z, 1).detach())).backward()
    torch.testing.assert_close(of_dictionary, dictionary.grad, rtol=1e-12, atol=1e-14)


def test_straight_through_is_the_identity_and_moves_the_dictionary_by_its_loss_alone():
    layer, z, weights = built("dl", dictionary_weight=2.0), latent().requires_grad_(), latent(seed=5)
    out, loss, code = layer(z)
    (grad,) = torch.autograd.grad((out * weights).sum(), z, retain_graph=True)
    assert torch.equal(grad, weights)
    ((out * weights).sum() + loss).backward()
    dictionary = layer.dictionary.detach().clone().requires_grad_()
    reconstruction = code.decode(normalize(dictionary, dim=1))  # the coefficients are constants
    (2 * mse_loss(reconstruction, sites_of(z, 1).detach())).backward()
    torch.testing.assert_close(layer.dictionary.grad, dictionary.grad, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("patch_size", [1, 2])
@pytest.mark.parametrize("normalize_atoms", [True, False])
def test_implicit_gradients_are_the_derivatives(patch_size, normalize_atoms):
    torch.manual_seed(0)
    layer = SparseBottleneck(
        9, 3, 2, patch_size=patch_size, normalize_atoms=normalize_atoms, gradient="implicit", coefficient_bits=None
    ).double()  # fmt: skip

    def run(z, dictionary):
        # Not the loss, which stops gradients in places: differences cannot see that.
        return torch.func.functional_call(layer.eval(), {"dictionary": dictionary}, (z,))[0]

    z = latent(1, 3, 2)[:, :3].requires_grad_()
    assert torch.autograd.gradcheck(run, (z, layer.dictionary.detach().requires_grad_()))


def test_the_implicit_gradient_is_the_projection_on_the_atoms():
    layer, weights = built("dl implicit").eval(), latent(seed=5)
    layer.coefficients = None
    z = latent().requires_grad_()
    out, _, code = layer(z)
    (grad,) = torch.autograd.grad((out * weights).sum(), z)
    support = layer.atoms.detach()[code.indices[0, 0, 0]]
    projector = support.T @ torch.linalg.solve(support @ support.T, support)
    torch.testing.assert_close(grad[0, :, 0, 0], projector @ weights[0, :, 0, 0], rtol=1e-9, atol=1e-11)


def test_implicit_gradients_move_the_dictionary_by_the_output_too():
    layer, z = built("dl implicit"), latent()
    out, _, _ = layer(z)
    assert torch.autograd.grad(out.square().sum(), layer.dictionary)[0].abs().max() > 0


def test_it_takes_the_place_of_a_vector_quantizer():
    torch.manual_seed(0)
    layer = SparseBottleneck(512, 64)
    z = torch.randn(2, 64, 4, 4)
    out, loss, code = layer(z)
    assert out.shape == z.shape
    assert loss.shape == ()
    assert code.shape == (2, 4, 4)
    assert mse_loss(out, z) < mse_loss(torch.zeros(()).expand_as(z), z)


@pytest.mark.parametrize("bits", [3, 6])
def test_coefficients_are_rounded_in_evaluation_and_in_training_where_asked_for(bits):
    exact, rounded = built("dl", coefficient_bits=bits), built("dl", coefficient_bits=bits, quantize_in_training=True)
    z = latent()
    (_, _, code), (_, _, in_training) = exact(z), rounded(z)
    out, _, evaluated = exact.eval()(z)
    scale = code.values.abs().max()
    assert exact.coefficients.scale == scale
    half = scale / (2 ** (bits - 1) - 1) / 2
    assert torch.equal(in_training.values, evaluated.values)
    assert torch.equal(evaluated.indices, code.indices)
    assert evaluated.values.unique().numel() <= 2**bits - 1 < code.values.unique().numel()
    assert (evaluated.values - code.values).abs().max() <= half * (1 + 1e-12)
    assert torch.equal(exact.decode(evaluated), out)


def test_rounding_in_training_has_the_gradient_of_the_identity():
    layer, plain = built("dl implicit", quantize_in_training=True, coefficient_bits=8), built("dl implicit")
    z, weights = latent().requires_grad_(), latent(seed=5)
    grads = [torch.autograd.grad((b(z)[0] * weights).sum(), z)[0] for b in (layer, plain)]
    torch.testing.assert_close(*grads, rtol=1e-9, atol=1e-11)


def test_dead_and_duplicate_atoms_begin_anew_at_the_worst_signals():
    layer, z = built("dl", revive_every=2, sparsity_level=1), latent()
    with torch.no_grad():
        layer.dictionary[7] = -3 * layer.dictionary[4]
    layer(z)
    layer.usage[9] = 0
    assert layer.revived.tolist() == []
    before = layer.dictionary.detach().clone()
    signals, atoms = sites_of(z, 1).reshape(-1, C), layer.atoms.detach()
    errors = (signals - sparsefast.omp(signals, atoms, 1).decode(atoms)).norm(dim=1)
    layer(z)
    revived = layer.revived.tolist()
    assert 9 in revived
    assert len({4, 7} & set(revived)) == 1
    kept = [k for k in range(K) if k not in revived]
    assert torch.equal(layer.dictionary[kept], before[kept])
    worst = normalize(signals[errors.argmax()], dim=0)
    assert (layer.dictionary[revived] @ worst).max().item() == pytest.approx(1)
    assert (layer.usage[revived] > 0).all()
    # Backward still goes: what it needs was computed after the exchange.
    (layer(z)[0].sum() + layer(z)[1]).backward()
    assert layer.revived.tolist() == [] or layer.calls % 2 == 0


def test_revived_atoms_have_the_usual_norm_where_atoms_are_not_normalized():
    layer, z = built("dl", revive_every=1, normalize_atoms=False), latent()
    with torch.no_grad():
        layer.dictionary *= 5
        layer.dictionary[3] = 0
    layer(z)
    assert 3 in layer.revived.tolist()
    assert layer.dictionary[3].norm().item() == pytest.approx(5)


def test_initialize_leaves_a_smaller_error_than_signals_themselves_do():
    layer, z = built("dl", coefficient_bits=None).eval(), latent(16)
    signals = sites_of(z, 1).reshape(-1, C)
    layer.initialize(z)
    atoms = normalize(signals[torch.randperm(len(signals), generator=torch.Generator().manual_seed(0))[:K]], dim=1)
    plain = mse_loss(sparsefast.omp(signals, atoms, 3).decode(atoms), signals)
    assert mse_loss(layer(z)[0], z) < plain
    torch.testing.assert_close(layer.dictionary.norm(dim=1), torch.ones(K, dtype=torch.float64))


def test_initialize_knows_the_scale_of_coefficients():
    layer, z = built("dl"), latent(2)
    layer.initialize(z)
    _, _, code = layer(z)
    assert layer.coefficients.scale == code.values.abs().max()
