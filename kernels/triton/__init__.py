"""Kernels in Triton, for any GPU it knows, and under its interpreter (TRITON_INTERPRET=1) on the CPU."""
