"""The benchmark on a GPU: the same cases and checks as on the CPU, beside peers in PyTorch, timed by the device."""
