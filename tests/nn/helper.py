"""Bottlenecks as the tests build them."""

import torch

from sparsefast.nn import HybridBottleneck, KSVDBottleneck, SparseBottleneck, VectorQuantizer

K, C = 32, 6
BOTTLENECKS = {
    "vq": lambda **options: VectorQuantizer(K, C, **options),
    "vq by gradient": lambda **options: VectorQuantizer(K, C, **{"decay": 0, **options}),
    "dl": lambda **options: SparseBottleneck(K, C, **{"sparsity_level": 3, **options}),
    "dl implicit": lambda **options: SparseBottleneck(K, C, **{"sparsity_level": 3, "gradient": "implicit", **options}),
    "ksvd": lambda **options: KSVDBottleneck(K, C, **{"sparsity_level": 3, **options}),
    "ksvd online": lambda **options: KSVDBottleneck(
        K, C, **{"sparsity_level": 3, "ksvd_iterations": 0, "use_online_learning": True, **options}
    ),
    "hybrid": lambda **options: HybridBottleneck(K, C, **{"sparsity_level": 3, **options}),
}


def built(name, seed=0, **options):
    """A bottleneck in float64, the same for the same seed."""
    torch.manual_seed(seed)
    return BOTTLENECKS[name](**options).double()


def latent(batch=4, height=5, width=7, seed=1, dtype=torch.float64):
    """Latents (batch, C, height, width) that differ in size and direction."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(batch, C, height, width, generator=generator, dtype=torch.float64)
    return (z * torch.linspace(0.3, 2, C, dtype=torch.float64)[:, None, None]).to(dtype)
