"""Kernels in CUDA C++ (csrc/cuda): of the extension on NVIDIA GPUs, and of its emulated device on NumPy arrays."""
