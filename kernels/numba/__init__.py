"""Kernels compiled by Numba: the CPU backend of an install without a C++ compiler, and of forked children."""
