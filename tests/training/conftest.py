"""Runs of tests use one thread: what is summed by more is rounded otherwise, and tests run beside each other."""

import pytest


@pytest.fixture(autouse=True)
def one_thread():
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
