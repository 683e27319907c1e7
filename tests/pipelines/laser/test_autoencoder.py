"""The autoencoder: any size of image, every option of its network, and that it learns."""

import math

import pytest
import torch
from torch.nn.functional import mse_loss

from sparsefast.nn import HybridBottleneck, KSVDBottleneck, SparseBottleneck, VectorQuantizer
from sparsefast.pipelines.laser.autoencoder import Autoencoder, bottleneck_of
from sparsefast.pipelines.laser.config import AutoencoderConfig, DLVAEConfig, VQVAEConfig
from sparsefast.pipelines.laser.sparse_config import HybridConfig, LASERConfig

SMALL = dict(num_hiddens=16, num_residual_hiddens=8, num_embeddings=32, embedding_dim=8)
CONFIGS = {
    "vqvae": lambda **options: VQVAEConfig(**{**SMALL, **options}),
    "dlvae": lambda **options: DLVAEConfig(**{**SMALL, **options}),
    "laser": lambda **options: LASERConfig(**{**SMALL, **options}),
    "hybridvae": lambda **options: HybridConfig(**{**SMALL, **options}),
}
every = pytest.mark.parametrize("name", CONFIGS)


def built(name, channels=3, **options):
    torch.manual_seed(0)
    return Autoencoder(CONFIGS[name](**options), (channels, 16, 24))


def pictures(n=4, channels=3, height=16, width=24, seed=0):
    """Smooth pictures in [-1, 1]."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, channels, 5, 5, generator=generator) * 2 - 1
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear", align_corners=True)


@every
@pytest.mark.parametrize("patch_size", [1, 2, 3])
@pytest.mark.parametrize("size", [(16, 24), (17, 5), (1, 3)], ids=str)
def test_images_of_any_size_come_back_in_that_size(name, patch_size, size):
    model, images = built(name, patch_size=patch_size).eval(), pictures(2, 3, *size)
    out, loss, codes = model(images)
    unit = 4 * patch_size
    assert out.shape == images.shape
    assert loss.shape == ()
    assert tuple(codes.shape) == (2, -(-size[0] // unit), -(-size[1] // unit))
    torch.testing.assert_close(model.decode_codes(codes, size), out)
    z = model.encode(images)
    assert z.shape == (2, 8, codes.shape[1] * patch_size, codes.shape[2] * patch_size)
    assert model.decode(z).shape == (2, 3, codes.shape[1] * unit, codes.shape[2] * unit)


@every
def test_what_is_padded_repeats_the_border(name):
    model, images = built(name).eval(), pictures(1, 3, 13, 18)
    right = 2 if name == "vqvae" else 6  # to a multiple of 4, or of 8 for patches of 2
    rows = torch.cat([images, images[..., -1:, :].expand(-1, -1, 3, -1)], dim=2)
    whole = torch.cat([rows, rows[..., -1:].expand(-1, -1, -1, right)], dim=3)
    assert torch.equal(model.encode(images), model.encode(whole))


def test_the_defaults_have_comparable_rates():
    configs = VQVAEConfig, DLVAEConfig, LASERConfig, HybridConfig
    vq, dl, ksvd, hybrid = (Autoencoder(config(), (3, 64, 64)).bits_per_pixel for config in configs)
    assert vq == pytest.approx(9 / 16)
    assert dl == ksvd == pytest.approx((9 + math.log2(1023) + 12) / 64)  # 1024 choose 2 is 512 * 1023
    assert hybrid == pytest.approx((9 + math.log2(1023) + 2 * math.log2(63)) / 64)


@pytest.mark.parametrize("name", ["dlvae", "laser"])
def test_without_bits_coefficients_are_not_rounded(name):
    model = built(name, coefficient_bits=None)
    assert model.bottleneck.coefficients is None
    assert torch.isfinite(model(pictures())[1])


def test_the_bottleneck_is_that_of_the_config():
    assert isinstance(built("vqvae").bottleneck, VectorQuantizer)
    assert type(built("dlvae").bottleneck) is SparseBottleneck
    assert isinstance(built("laser").bottleneck, KSVDBottleneck)
    assert isinstance(built("hybridvae").bottleneck, HybridBottleneck)
    with pytest.raises(TypeError, match="config is AutoencoderConfig; it must be VQVAEConfig, DLVAEConfig"):
        bottleneck_of(AutoencoderConfig())


NETWORK = [
    dict(num_hiddens=20), dict(num_residual_blocks=1), dict(num_residual_hiddens=4), dict(num_embeddings=16),
    dict(embedding_dim=6), dict(patch_size=3), dict(commitment_cost=0.5), dict(init="random"), dict(revive_every=1),
    dict(init="random", revive_every=1, revive_below=0.9),
]  # fmt: skip
OWN = {
    "vqvae": [dict(decay=0.5)],
    "dlvae": [
        dict(sparsity_level=3), dict(dictionary_weight=3.0), dict(normalize_atoms=False), dict(sparse_solver="iht"),
        dict(gradient="implicit"), dict(coefficient_bits=7), dict(quantize_in_training=False),
    ],
    "laser": [
        dict(sparsity_level=3), dict(normalize_atoms=False), dict(ksvd_iterations=2), dict(ksvd_method="exact"),
        dict(ksvd_iterations=0, use_online_learning=True), dict(coefficient_bits=7), dict(quantize_in_training=False),
        dict(ksvd_iterations=0, use_online_learning=True, dict_learning_rate=0.5),
        dict(ksvd_iterations=0, dictionary_weight=3.0),
    ],
    "hybridvae": [
        dict(sparsity_level=3), dict(dictionary_weight=3.0), dict(normalize_atoms=False), dict(gradient="implicit"),
        dict(coefficient_bins=31), dict(mu=50.0), dict(quantisation_weight=1.0),
    ],
}  # fmt: skip


def answers(model):
    model.initialize(pictures(8))
    for step in range(2):
        images = pictures(seed=step)
        with torch.no_grad():
            model.bottleneck.usage[1], model.bottleneck.usage[2] = 0, 0.5 * model.bottleneck.usage.mean()
            if isinstance(model.bottleneck, SparseBottleneck):
                model.bottleneck.dictionary.mul_(1.5)
        out, loss, _ = model(images)
        (mse_loss(out, images) + loss).backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= 0.01 * parameter.grad
    out, loss, _ = model.eval()(pictures(seed=9))
    return torch.cat([out.detach().reshape(-1), loss.detach().reshape(1)])


@pytest.mark.parametrize(("name", "options"), [(n, o) for n in CONFIGS for o in NETWORK + OWN[n]], ids=str)
def test_every_option_of_the_model_changes_what_it_computes(name, options):
    others = dict(list(options.items())[:-1])
    torch.manual_seed(0)
    assert not torch.equal(answers(built(name, **others)), answers(built(name, **options)))


@every
def test_training_lowers_the_error(name):
    torch.manual_seed(0)
    model, images = built(name), pictures(8)
    model.initialize(images)
    adam = torch.optim.Adam(model.parameters(), lr=1e-2)
    errors = []
    for _ in range(100):
        out, loss, _ = model(images)
        error = mse_loss(out, images)
        adam.zero_grad()
        (error + loss).backward()
        adam.step()
        errors.append(error.item())
    # A grey image leaves what the network does before its first step.
    assert errors[-1] < 0.5 * errors[0]
    assert mse_loss(model.eval()(images)[0], images) < 0.6 * errors[0]


def test_bits_per_pixel_count_the_sites_of_the_padded_image():
    assert built("vqvae").bits_per_pixel == pytest.approx(5 / 16)
    model = Autoencoder(CONFIGS["vqvae"](patch_size=2), (1, 9, 24))
    assert model.bits_per_pixel == pytest.approx(2 * 3 * 5 / (9 * 24))
    assert built("dlvae", sparsity_level=1, coefficient_bits=3).bits_per_pixel == pytest.approx(8 / 64)


@every
def test_statistics_are_those_of_the_bottleneck(name):
    model = built(name)
    model.bottleneck.usage[:3] = 0
    found = model.statistics()
    assert found["dead"].item() == 3
    assert found["perplexity"].item() == pytest.approx(29)
    assert found["usage_entropy"].item() == pytest.approx(torch.tensor(29.0).log2().item())
    if name != "vqvae":
        with torch.no_grad():
            model.bottleneck.dictionary[4] = 2 * model.bottleneck.dictionary[7]
        assert model.statistics()["coherence"].item() == pytest.approx(1, abs=1e-6)
        model(pictures())
        assert model.statistics()["coefficient_scale"].item() == model.bottleneck.coefficients.scale.item() > 0


@every
def test_channels_last_and_autocast_give_what_they_should(name):
    model, images = built(name).eval(), pictures()
    expected, _, _ = model(images)
    model = model.to(memory_format=torch.channels_last)
    out, _, _ = model(images.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(out, expected, rtol=1e-3, atol=1e-4)
    with torch.autocast("cpu", torch.bfloat16):
        out, loss, _ = model.train()(images)
    (out.float().square().mean() + loss).backward()
    assert out.dtype == torch.bfloat16
    assert loss.dtype == torch.float32
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())


@every
def test_images_and_shapes_that_do_not_fit_are_refused(name):
    model = built(name)
    for shape in ((2, 1, 16, 16), (3, 16, 16)):
        with pytest.raises(ValueError, match=r"images has shape .*; it must be \(B, 3, H, W\)"):
            model(torch.zeros(shape))
    with pytest.raises(ValueError, match=r"image_shape=\(3, 0, 4\); it must be"):
        Autoencoder(CONFIGS[name](), (3, 0, 4))
