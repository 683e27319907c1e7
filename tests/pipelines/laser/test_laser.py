"""LASER by the names of the original: its bottlenecks, its tokens, and models that were trained."""

import numpy as np
import pytest
import torch
from torch.nn.functional import mse_loss

from sparsefast.nn import KSVDBottleneck, SparseBottleneck
from sparsefast.pipelines.laser import LASER, DictionaryLearning, KSVDDictionaryLearning, VectorQuantizer
from sparsefast.tensor_files import load_arrays, save_arrays
from sparsefast.training.checkpoints import read_checkpoint
from tests.pipelines.laser.test_autoencoder import pictures
from tests.training.runs import trained

SMALL = dict(
    num_hiddens=16, num_embeddings=32, embedding_dim=8, sparsity_level=3, num_residual_blocks=1, num_residual_hiddens=8
)
BOTTLENECKS = ("ksvd", "dl", "vq", "hybrid")


def built(bottleneck, **options):
    torch.manual_seed(0)
    return LASER(bottleneck=bottleneck, **{**SMALL, **options})


@pytest.mark.parametrize("bottleneck", BOTTLENECKS)
@pytest.mark.parametrize("patch_size", [1, 2])
def test_a_model_gives_reconstruction_loss_and_codes(bottleneck, patch_size):
    model = built(bottleneck, patch_size=patch_size)
    x = pictures(2)
    model.initialize(x)
    x_recon, loss, codes = model(x)
    assert (x_recon.shape, loss.shape) == (x.shape, ())
    unit = 4 * patch_size
    assert tuple(codes.shape) == (2, -(-16 // unit), 24 // unit)
    optimizer = model.configure_optimizers()
    assert optimizer.param_groups[0]["lr"] == 1e-4
    (mse_loss(x_recon, x) + loss).backward()
    before = model.autoencoder.encoder.layers[0].weight.detach().clone()
    optimizer.step()
    assert not torch.equal(model.autoencoder.encoder.layers[0].weight, before)


def test_the_call_of_the_original_works():
    model = LASER(
        in_channels=3, num_hiddens=128, num_embeddings=512, embedding_dim=64, sparsity_level=8, num_residual_blocks=2,
        num_residual_hiddens=64, commitment_cost=0.25, learning_rate=1e-4, ksvd_iterations=1, patch_size=1,
    )  # fmt: skip
    x_recon, _, coeffs = model(pictures(2, height=32, width=32))
    assert x_recon.shape == (2, 3, 32, 32)
    assert coeffs.shape == (2, 8, 8)
    assert isinstance(model.autoencoder.bottleneck, KSVDBottleneck)


@pytest.mark.parametrize(
    ("bottleneck", "options"),
    [
        *((b, o) for b in BOTTLENECKS for o in (
            dict(num_hiddens=8), dict(num_embeddings=16), dict(embedding_dim=6), dict(num_residual_blocks=2),
            dict(num_residual_hiddens=4), dict(commitment_cost=1.0), dict(learning_rate=0.01), dict(patch_size=2),
        )),
        *((b, dict(sparsity_level=2)) for b in ("ksvd", "dl", "hybrid")),
        ("ksvd", dict(ksvd_iterations=2)), ("ksvd", dict(ksvd_iterations=0, use_online_learning=True)),
        ("ksvd", dict(normalize_atoms=False)), ("dl", dict(dictionary_weight=5.0)), ("vq", dict(decay=0.5)),
        ("hybrid", dict(coefficient_bins=7)),
    ],
    ids=str,
)  # fmt: skip
def test_every_argument_changes_the_result(bottleneck, options):
    def answers(model):
        optimizer, x = model.configure_optimizers(), pictures(4)
        for _ in range(2):
            if isinstance(model.autoencoder.bottleneck, SparseBottleneck):
                with torch.no_grad():
                    model.autoencoder.bottleneck.dictionary.mul_(1.5)
            x_recon, loss, _ = model(x)
            optimizer.zero_grad()
            (mse_loss(x_recon, x) + loss).backward()
            optimizer.step()
        x_recon, loss, _ = model.eval()(x)
        return torch.cat([x_recon.detach().reshape(-1), loss.detach().reshape(1)])

    assert not torch.equal(answers(built(bottleneck)), answers(built(bottleneck, **options)))


@pytest.mark.parametrize("bottleneck", ["vq", "hybrid"])
def test_pictures_come_back_from_tokens_bit_for_bit(bottleneck):
    model = built(bottleneck, patch_size=2)
    model(pictures(4))
    model.eval()
    x = pictures(2, height=17, width=21)
    indices, H, W = model.encode_to_indices(x)
    assert (H, W) == (3, 3)
    assert indices.shape == (2, 9 * (1 if bottleneck == "vq" else 6))
    assert torch.equal(model.decode_from_indices(indices, H, W, (17, 21)), model(x)[0])
    assert model.decode_from_indices(indices, H, W).shape == (2, 3, 24, 24)


@pytest.mark.parametrize("bottleneck", ["ksvd", "dl"])
def test_codes_with_coefficients_are_no_tokens(bottleneck):
    model = built(bottleneck)
    with pytest.raises(ValueError, match=r"are no tokens; take bottleneck=\"hybrid\""):
        model.encode_to_indices(pictures(1))
    with pytest.raises(ValueError, match="are no tokens"):
        model.decode_from_indices(torch.zeros(1, 4, dtype=torch.int64), 2, 2)


def test_what_a_bottleneck_does_not_have_is_refused():
    with pytest.raises(ValueError, match="bottleneck='rvq'; it must be one of ksvd, dl, vq, hybrid"):
        LASER(bottleneck="rvq")
    with pytest.raises(TypeError, match=r"decay=0.5; bottleneck='dl' has no such option"):
        LASER(bottleneck="dl", decay=0.5)
    with pytest.raises(ValueError, match="ksvd_iterations=1 must be 0 with use_online_learning=True"):
        LASER(use_online_learning=True)
    with pytest.raises(ValueError, match="sparsity_level=0 must be 1 to"):
        LASER(sparsity_level=0)


def test_the_names_of_the_original_are_the_bottlenecks():
    z = torch.randn(2, 8, 4, 4)
    shared = dict(num_embeddings=32, embedding_dim=8, commitment_cost=0.25, patch_size=2)
    sparse = dict(sparsity_level=4, normalize_atoms=True, dictionary_weight=5.0)
    layers = [
        VectorQuantizer(**shared),
        DictionaryLearning(**shared, **sparse),
        KSVDDictionaryLearning(**shared, **sparse, ksvd_iterations=1),
        KSVDDictionaryLearning(
            **shared, **sparse, ksvd_iterations=0, use_online_learning=True, dict_learning_rate=0.5
        ),
        KSVDDictionaryLearning(**shared, **sparse, ksvd_iterations=0),
    ]  # fmt: skip
    for layer in layers:
        z_reconstructed, loss, codes = layer(z)
        assert (z_reconstructed.shape, loss.shape, tuple(codes.shape)) == (z.shape, (), (2, 2, 2))
    import sparsefast.pipelines.laser as names

    with pytest.raises(AttributeError, match="no attribute 'RVQ'"):
        _ = names.RVQ


@pytest.mark.parametrize("model", ["laser", "hybridvae", "vqvae", "dlvae"])
def test_a_trained_model_is_loaded_from_its_folder_its_weights_or_its_checkpoint(model, tmp_path):
    folder = trained(model, tmp_path, "train.max_steps=3", "train.checkpoint_every=3")
    loaded = LASER.load_from_checkpoint(folder)
    assert not loaded.training
    assert loaded.config.name == model and loaded.config.num_hiddens == 8
    weights = load_arrays(folder / "weights.safetensors", "weights", 1)[0]
    for name, x in loaded.state_dict().items():
        np.testing.assert_array_equal(x.numpy(), weights[name], err_msg=name)
    # The averages, which are not the weights that training has reached.
    reached = read_checkpoint(folder / "checkpoints" / "last.ckpt")["state_dict"]["autoencoder.encoder.layers.0.weight"]
    assert not torch.equal(loaded.autoencoder.encoder.layers[0].weight, reached)
    x = pictures(2)
    expected = loaded(x)[0]
    for path in (folder / "weights.safetensors", str(folder / "checkpoints" / "last.ckpt")):
        assert torch.equal(LASER.load_from_checkpoint(path)(x)[0], expected)
    if model == "laser":
        spoiled, about = load_arrays(folder / "weights.safetensors", "weights", 1)
        about["config"]["model"]["more"] = 1
        save_arrays(tmp_path / "w.safetensors", "weights", 1, spoiled, about)
        with pytest.raises(ValueError, match=r"has model\.more, which is not known here"):
            LASER.load_from_checkpoint(tmp_path / "w.safetensors")


def test_what_holds_no_such_model_is_refused(tmp_path):
    folder = trained("denoiser", tmp_path, "train.max_steps=1")
    with pytest.raises(ValueError, match="is of model denoiser; LASER is laser, dlvae, vqvae, hybridvae"):
        LASER.load_from_checkpoint(folder)
    with pytest.raises(ValueError, match=r"holds no weights\.safetensors"):
        LASER.load_from_checkpoint(tmp_path)
    (tmp_path / "x.ckpt").write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match="give a checkpoint that sparsefast train wrote"):
        LASER.load_from_checkpoint(tmp_path / "x.ckpt")
