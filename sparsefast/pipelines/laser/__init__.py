"""LASER: autoencoders of images whose bottleneck is a codebook (`vqvae`), a dictionary that learns by gradient
(`dlvae`) or by K-SVD (`laser`), or a dictionary whose codes are tokens (`hybridvae`).

The networks follow A. van den Oord, O. Vinyals, K. Kavukcuoglu, "Neural discrete representation learning", NeurIPS
2017. By the names of the original: `LASER` is the model; `VectorQuantizer`, `DictionaryLearning` and
`KSVDDictionaryLearning` are bottlenecks, `VectorQuantizer`, `SparseBottleneck` and `KSVDBottleneck` of `sparsefast.nn`,
each called as `z_reconstructed, loss, codes = layer(z)`. Any of them imports PyTorch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sparsefast.nn import KSVDBottleneck as KSVDDictionaryLearning
    from sparsefast.nn import SparseBottleneck as DictionaryLearning
    from sparsefast.nn import VectorQuantizer
    from sparsefast.pipelines.laser.laser import LASER

# Where each is; the configuration is composed without PyTorch.
_PLACES = {
    "DictionaryLearning": ("sparsefast.nn", "SparseBottleneck"),
    "KSVDDictionaryLearning": ("sparsefast.nn", "KSVDBottleneck"),
    "LASER": ("sparsefast.pipelines.laser.laser", "LASER"),
    "VectorQuantizer": ("sparsefast.nn", "VectorQuantizer"),
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    module, its_name = _PLACES[name]
    return getattr(importlib.import_module(module), its_name)


__all__ = ["LASER", "DictionaryLearning", "KSVDDictionaryLearning", "VectorQuantizer"]
