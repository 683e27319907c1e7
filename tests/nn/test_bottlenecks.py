"""What all bottlenecks promise alike."""

import copy
import io
import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sparsefast.nn import HybridBottleneck, KSVDBottleneck, SparseBottleneck, VectorQuantizer
from tests.nn.helper import BOTTLENECKS, C, K, built, latent

every = pytest.mark.parametrize("name", BOTTLENECKS)


def values_of(code):
    return code if isinstance(code, torch.Tensor) else code.values


@every
@pytest.mark.parametrize("patch_size", [1, 2, 3])
def test_what_goes_in_comes_out_in_its_shape_and_dtype(name, patch_size):
    layer = built(name, patch_size=patch_size).float()
    for dtype in (torch.float32, torch.bfloat16):
        z = latent(2, 5, 7, dtype=dtype)
        out, loss, code = layer.eval()(z)
        assert (out.shape, out.dtype) == (z.shape, dtype)
        assert (loss.shape, loss.dtype) == ((), torch.float32)
        assert tuple(code.shape) == (2, -(-5 // patch_size), -(-7 // patch_size))
        assert torch.equal(layer.decode(code, (5, 7)).to(dtype), out)
        whole = layer.decode(code)
        assert whole.shape == (2, C, code.shape[1] * patch_size, code.shape[2] * patch_size)
        assert torch.equal(whole[..., :5, :7].to(dtype), out)


@every
def test_rows_are_coded_as_the_pixels_of_images(name):
    layer, z = built(name).eval(), latent(2)
    out, loss, code = layer(z)
    rows = z.permute(0, 2, 3, 1)
    for shape in ((-1, C), (2, -1, C)):
        theirs, their_loss, their_code = layer(rows.reshape(shape))
        assert torch.equal(theirs, out.permute(0, 2, 3, 1).reshape(shape))
        assert their_loss.item() == pytest.approx(loss.item())
        assert torch.equal(values_of(their_code).reshape(values_of(code).shape), values_of(code))
        assert torch.equal(layer.decode(their_code), theirs)


@every
def test_it_runs_under_autocast_in_float32(name):
    layer, z = built(name).float(), latent(dtype=torch.float32)
    expected, _, _ = copy.deepcopy(layer)(z.bfloat16().float())
    with torch.autocast("cpu", torch.bfloat16):
        z = z.bfloat16().requires_grad_()
        out, loss, _ = layer(z)
    assert (out.dtype, loss.dtype) == (torch.bfloat16, torch.float32)
    torch.testing.assert_close(out.float(), expected, rtol=2**-8, atol=1e-6)
    (out.float().sum() + loss).backward()
    assert torch.isfinite(z.grad).all()


@every
def test_nothing_as_large_as_a_code_for_every_atom_is_made(name):
    class Largest(TorchDispatchMode):
        n = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            sizes = (x.numel() for x in tree_leaves(out) if isinstance(x, torch.Tensor))
            self.n = max(self.n, *sizes, 0)
            return out

    torch.manual_seed(0)
    layer = built(name, revive_every=1)
    z = latent(8, 9, 10).requires_grad_()
    with Largest() as largest:
        layer.initialize(z)
        out, loss, _ = layer(z)
        (out.sum() + loss).backward()
    assert z.numel() <= largest.n < z.numel() // C * K


@every
def test_a_checkpoint_goes_on_as_the_run_that_it_is_of(name):
    layer = built(name, revive_every=3)
    for step in range(4):
        layer(latent(seed=step))
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    other = built(name, seed=8, revive_every=3)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert other.calls == 4
    revived = []
    for step in range(4, 10):
        layer.usage[step], other.usage[step] = 0, 0
        (out, loss, _), (their_out, their_loss, _) = layer(latent(seed=step)), other(latent(seed=step))
        assert torch.equal(out, their_out)
        assert torch.equal(loss, their_loss)
        assert torch.equal(layer.revived, other.revived)
        revived += layer.revived.tolist()
    assert revived
    assert all(torch.equal(value, other.state_dict()[key]) for key, value in layer.state_dict().items())


@every
@pytest.mark.parametrize("training", [True, False])
def test_forward_compiles_to_one_graph_where_nothing_is_revived(name, training):
    layer, theirs = (built(name, revive_every=0).train(training) for _ in range(2))
    whole = not (training and name == "ksvd online")  # whose statistics are gathered outside
    compiled = torch.compile(theirs, fullgraph=whole, backend="aot_eager")
    for step in range(2):
        z, other = latent(seed=step).requires_grad_(), latent(seed=step).requires_grad_()
        (out, loss, code), (their_out, their_loss, their_code) = layer(z), compiled(other)
        torch.testing.assert_close(out, their_out, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(loss, their_loss, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(values_of(code), values_of(their_code), rtol=1e-12, atol=1e-12)
        for x in (out, their_out):
            x.square().sum().backward()
        torch.testing.assert_close(z.grad, other.grad, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(layer.usage, theirs.usage, rtol=1e-12, atol=0)
    assert training == (not torch.equal(layer.usage, torch.ones(K, dtype=torch.float64)))


def answers(layer):
    """What a layer gives and what it becomes, in a few steps of training and one of evaluation, as one row."""
    found = []
    for step in range(4):
        z = latent(seed=step).requires_grad_()
        layer.usage[5], layer.usage[6] = 0, 0.3 * layer.usage.mean()
        out, loss, _ = layer(z)
        (out.square().sum() + loss).backward()
        found += [out, loss, z.grad, *(p.grad for p in layer.parameters()), *layer.buffers()]
    found += layer.eval()(latent())[:2]
    return torch.cat([x.detach().double().reshape(-1) for x in found])


OPTIONS = {
    "vq": [
        dict(commitment_cost=0.5), dict(decay=0.9), dict(decay=0), dict(patch_size=2), dict(revive_every=2),
        dict(revive_every=2, revive_below=0.5),
    ],
    "dl": [
        dict(sparsity_level=2), dict(commitment_cost=0.5), dict(dictionary_weight=2.0), dict(normalize_atoms=False),
        dict(patch_size=2), dict(sparse_solver="iht"), dict(sparse_solver="topk"), dict(gradient="implicit"),
        dict(coefficient_bits=3), dict(coefficient_bits=None), dict(quantize_in_training=True), dict(revive_every=2),
        dict(revive_every=2, revive_below=0.5),
    ],
    "ksvd": [
        dict(sparsity_level=2), dict(commitment_cost=0.5), dict(normalize_atoms=False), dict(patch_size=2),
        dict(ksvd_iterations=2), dict(ksvd_iterations=0), dict(ksvd_iterations=0, dictionary_weight=2.0),
        dict(ksvd_method="exact"), dict(coefficient_bits=3), dict(coefficient_bits=None),
        dict(quantize_in_training=True), dict(revive_every=2), dict(revive_every=2, revive_below=0.5),
    ],
    "ksvd online": [
        dict(dict_learning_rate=0.5), dict(normalize_atoms=False), dict(use_online_learning=False),
        dict(sparsity_level=2), dict(patch_size=2), dict(coefficient_bits=3), dict(revive_every=2),
    ],
    "hybrid": [
        dict(sparsity_level=2), dict(commitment_cost=0.5), dict(dictionary_weight=2.0), dict(normalize_atoms=False),
        dict(patch_size=2), dict(gradient="implicit"), dict(coefficient_bins=15), dict(mu=100.0),
        dict(quantisation_weight=1.0), dict(revive_every=2), dict(revive_every=2, revive_below=0.5),
    ],
}  # fmt: skip


@pytest.mark.parametrize(("name", "options"), [(name, o) for name in OPTIONS for o in OPTIONS[name]], ids=str)
def test_every_option_changes_what_is_computed(name, options):
    less = {"revive_every": 0, **options}
    less.pop(next(reversed(options)))
    # Norms other than 1, which normalising changes.
    layers = [built(name, **given) for given in ({"revive_every": 0, **less}, {"revive_every": 0, **options})]
    for layer in layers:
        with torch.no_grad():
            layer._table().mul_(1.5)
    before, after = map(answers, layers)
    assert before.shape != after.shape or not torch.equal(before, after)


REFUSED = [
    (VectorQuantizer, dict(num_embeddings=1)),
    (VectorQuantizer, dict(num_embeddings=2.0)),
    (VectorQuantizer, dict(embedding_dim=0)),
    (VectorQuantizer, dict(commitment_cost=-1)),
    (VectorQuantizer, dict(commitment_cost=float("nan"))),
    (VectorQuantizer, dict(decay=1.0)),
    (VectorQuantizer, dict(decay="0.9")),
    (VectorQuantizer, dict(patch_size=0)),
    (VectorQuantizer, dict(revive_every=-1)),
    (VectorQuantizer, dict(revive_below=1.0)),
    (SparseBottleneck, dict(num_embeddings=0)),
    (SparseBottleneck, dict(sparsity_level=0)),
    (SparseBottleneck, dict(sparsity_level=C + 1)),
    (SparseBottleneck, dict(dictionary_weight=-0.5)),
    (SparseBottleneck, dict(dictionary_weight=float("inf"))),
    (SparseBottleneck, dict(normalize_atoms=1)),
    (SparseBottleneck, dict(patch_size=True)),
    (SparseBottleneck, dict(sparse_solver="lasso")),
    (SparseBottleneck, dict(gradient="none")),
    (SparseBottleneck, dict(coefficient_bits=1)),
    (SparseBottleneck, dict(coefficient_bits=17)),
    (SparseBottleneck, dict(quantize_in_training="yes")),
    (KSVDBottleneck, dict(sparsity_level=0)),
    (KSVDBottleneck, dict(ksvd_iterations=-1)),
    (KSVDBottleneck, dict(use_online_learning=1)),
    (KSVDBottleneck, dict(dict_learning_rate=-0.1)),
    (KSVDBottleneck, dict(dict_learning_rate=1.5)),
    (KSVDBottleneck, dict(ksvd_method="qr")),
    (KSVDBottleneck, dict(coefficient_bits=1)),
    (HybridBottleneck, dict(coefficient_bins=1)),
    (HybridBottleneck, dict(coefficient_bins=64)),
    (HybridBottleneck, dict(mu=0)),
    (HybridBottleneck, dict(mu=float("inf"))),
    (HybridBottleneck, dict(quantisation_weight=-1.0)),
    (HybridBottleneck, dict(gradient="none")),
]


@pytest.mark.parametrize(("layer", "options"), REFUSED, ids=lambda x: str(x) if isinstance(x, dict) else x.__name__)
def test_bad_arguments_are_refused_by_name(layer, options):
    name = list(options)[-1]
    with pytest.raises((ValueError, TypeError), match=rf"{layer.__name__}: {name}=.*; it must be"):
        layer(**{"num_embeddings": K, "embedding_dim": C, **options})


@every
def test_bad_latents_are_refused(name):
    for patch_size, shape in ((1, (2, C + 1, 4, 4)), (1, (C, 5)), (1, (C,)), (2, (10, C)), (2, (C, 4, 4))):
        with pytest.raises(ValueError, match=r"z has shape .*; it must be \(B, 6, H, W\)"):
            built(name, patch_size=patch_size)(torch.zeros(shape))
    with pytest.raises(TypeError, match=r"z is torch.int64; it must be a tensor of floats"):
        built(name)(torch.zeros(2, C, 4, 4, dtype=torch.int64))


@every
def test_no_signals_give_no_codes(name):
    out, _, code = built(name, revive_every=1).eval()(torch.zeros(0, C, 4, 4, dtype=torch.float64))
    assert out.shape == (0, C, 4, 4)
    assert tuple(code.shape) == (0, 4, 4)


def test_bits_per_site():
    assert built("vq").bits_per_site == 5
    assert built("dl", sparsity_level=1, coefficient_bits=8).bits_per_site == pytest.approx(13)
    assert built("dl", sparsity_level=1, coefficient_bits=None).bits_per_site == pytest.approx(37)
    assert built("ksvd", sparsity_level=1, coefficient_bits=8).bits_per_site == pytest.approx(13)
    assert built("hybrid", sparsity_level=1, coefficient_bins=3).bits_per_site == pytest.approx(5 + math.log2(3))
