"""The C++ kernels, by way of the extension module."""
