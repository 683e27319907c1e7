"""Layers for models that are trained: bottlenecks of autoencoders, and how many bits their codes take.

`VectorQuantizer`, `SparseBottleneck`, `KSVDBottleneck` and `HybridBottleneck` are called alike and return alike, so
that one takes the other's place in a line. Import from here or from the modules; either imports PyTorch.
"""

from sparsefast.nn.hybrid_bottleneck import HybridBottleneck
from sparsefast.nn.ksvd_bottleneck import KSVDBottleneck
from sparsefast.nn.sparse_bottleneck import SparseBottleneck
from sparsefast.nn.vector_quantizer import VectorQuantizer

__all__ = ["HybridBottleneck", "KSVDBottleneck", "SparseBottleneck", "VectorQuantizer"]
