"""A GPU that is none, for the way of device tensors through the public functions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from sparsefast import dispatch, kinds, release_memory
from sparsefast.device_kinds import TorchDeviceKind


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tensors say that they are on cuda:0, and lie on the emulated device."""
    emulated = pytest.importorskip("sparsefast._emulated", reason="development builds alone have the emulated device")
    from sparsefast.kernels.cuda import coders, fold, ksvd, memory, nearest_code, products, support_solve, unfold

    where = kinds.TorchKind.memory
    monkeypatch.setattr(kinds.TorchKind, "device", lambda self, x: "cuda:0")
    monkeypatch.setattr(kinds.TorchKind, "on", lambda self, x: TorchDeviceKind(torch, "cpu"))
    monkeypatch.setattr(kinds.TorchKind, "memory", lambda self, x: (where(self, x), x._version))
    monkeypatch.setattr(coders, "Packed", lambda like, *args, kept: memory.Packed(np.empty(0), *args, kept=kept))
    for module in (coders, fold, ksvd, memory, nearest_code, products, support_solve, unfold):
        monkeypatch.setattr(module, "extension_of", lambda x: emulated, raising=False)
        monkeypatch.setattr(module, "queue_of", lambda x: (0, 0))
    monkeypatch.setitem(dispatch._BACKENDS, "cuda", dispatch.Backend("cuda", "cuda", True, lambda: None))
    dispatch.clear_cache()
    yield
    dispatch.clear_cache()
    release_memory()  # weights that are kept for cuda:0
