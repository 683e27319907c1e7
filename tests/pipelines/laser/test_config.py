"""The options of vqvae, dlvae, laser and hybridvae."""

from dataclasses import fields, replace

import pytest

from sparsefast.pipelines.laser.config import DLVAEConfig, VQVAEConfig
from sparsefast.pipelines.laser.sparse_config import HybridConfig, LASERConfig

CONFIGS = VQVAEConfig, DLVAEConfig, LASERConfig, HybridConfig


def test_the_defaults_are_allowed_and_named():
    assert [config().name for config in CONFIGS] == ["vqvae", "dlvae", "laser", "hybridvae"]
    assert DLVAEConfig(embedding_dim=16, patch_size=3).n_features == 144


def test_keys_that_mean_nothing_to_a_bottleneck_are_not_its_keys():
    vq, dl = ({field.name for field in fields(config)} for config in (VQVAEConfig, DLVAEConfig))
    assert vq - dl == {"decay"}
    assert dl - vq == {
        "sparsity_level", "dictionary_weight", "coherence_weight", "normalize_atoms", "sparse_solver", "gradient",
        "coefficient_bits", "quantize_in_training",
    }  # fmt: skip
    ksvd, hybrid = ({field.name for field in fields(config)} for config in (LASERConfig, HybridConfig))
    assert ksvd - dl == {"ksvd_iterations", "ksvd_method", "use_online_learning", "dict_learning_rate"}
    assert dl - ksvd == {"sparse_solver", "gradient", "coherence_weight"}
    assert hybrid - dl == {"coefficient_bins", "mu", "quantisation_weight"}
    assert dl - hybrid == {"sparse_solver", "coefficient_bits", "quantize_in_training"}


def test_they_are_structured_configs_of_omegaconf():
    omegaconf = pytest.importorskip("omegaconf")
    for config in CONFIGS:
        node = omegaconf.OmegaConf.structured(config)
        assert omegaconf.OmegaConf.to_object(node) == config()
        with pytest.raises(omegaconf.errors.ConfigAttributeError):
            node.num_hidens = 3
    node = omegaconf.OmegaConf.structured(DLVAEConfig)
    changed = omegaconf.OmegaConf.merge(node, {"coefficient_bits": None, "num_hiddens": 32})
    assert omegaconf.OmegaConf.to_object(changed) == DLVAEConfig(coefficient_bits=None, num_hiddens=32)


REFUSED = [
    dict(num_hiddens=0), dict(num_hiddens=33), dict(num_residual_blocks=-1), dict(num_residual_hiddens=0),
    dict(num_embeddings=1), dict(embedding_dim=0), dict(patch_size=0), dict(commitment_cost=-1.0),
    dict(perceptual_weight=-1.0), dict(mr_dct_weight=-1.0), dict(mr_gradient_weight=-1.0),
    dict(recon_weight=-0.1), dict(bottleneck_weight=float("inf")), dict(learning_rate=0.0), dict(init="zeros"),
    dict(learning_rate=float("nan")), dict(revive_every=-1), dict(revive_below=1.0),
]  # fmt: skip
OWN = [
    (VQVAEConfig, dict(decay=1.0)), (VQVAEConfig, dict(decay=-0.1)), (DLVAEConfig, dict(sparsity_level=0)),
    (DLVAEConfig, dict(sparsity_level=65)), (DLVAEConfig, dict(dictionary_weight=-1.0)),
    (DLVAEConfig, dict(coherence_weight=-1.0)), (DLVAEConfig, dict(coherence_weight=float("nan"))),
    (DLVAEConfig, dict(sparse_solver="lasso")), (DLVAEConfig, dict(gradient="none")),
    (DLVAEConfig, dict(coefficient_bits=1)), (DLVAEConfig, dict(coefficient_bits=17)),
    (LASERConfig, dict(sparsity_level=0)), (LASERConfig, dict(sparsity_level=65)),
    (LASERConfig, dict(dictionary_weight=-1.0)), (LASERConfig, dict(ksvd_iterations=-1)),
    (LASERConfig, dict(ksvd_method="qr")), (LASERConfig, dict(dict_learning_rate=1.5)),
    (LASERConfig, dict(dict_learning_rate=-0.5)), (LASERConfig, dict(coefficient_bits=1)),
    (LASERConfig, dict(use_online_learning=True, ksvd_iterations=2)),
    (HybridConfig, dict(sparsity_level=0)), (HybridConfig, dict(gradient="none")),
    (HybridConfig, dict(coefficient_bins=64)), (HybridConfig, dict(coefficient_bins=1)),
    (HybridConfig, dict(mu=0.0)), (HybridConfig, dict(quantisation_weight=-1.0)),
]  # fmt: skip


@pytest.mark.parametrize(("config", "options"), [(c, o) for c in CONFIGS for o in REFUSED] + OWN, ids=str)
def test_values_out_of_range_are_refused_by_key(config, options):
    key, value = list(options.items())[-1]
    with pytest.raises(ValueError, match=rf"^model={config.name}: {key}={value!r} must "):
        config(**options)
    changed = config()
    with pytest.raises(ValueError, match=key):
        replace(changed, **options)


def test_the_two_ways_of_ksvd_to_learn_are_refused_together_with_both_keys():
    with pytest.raises(ValueError, match="ksvd_iterations=1 must be 0 with use_online_learning=True"):
        LASERConfig(use_online_learning=True)
