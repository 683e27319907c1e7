"""What the border of the CUDA kernels asks of PyTorch: no more than a call needs. Without a device."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("sparsefast._emulated", reason="development builds alone have the emulated device")

from sparsefast.kernels.cuda import memory  # noqa: E402

QUEUE = (0, 7)


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The streams that events were recorded on."""
    recorded: list[Any] = []

    class Event:
        def record(self, stream: Any) -> None:
            recorded.append(stream)

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device=None: "current")
    return recorded


def test_only_what_is_kept_can_be_waited_for(events: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    like = torch.zeros(3)
    buffer = memory.allocate(like, 100)
    once = memory.Packed(like, buffer, QUEUE, kept=False)
    assert events == []
    assert once.on_stream(7) == buffer.description == (buffer.owner.data_ptr(), "uint8", (100,), (1,))
    kept = memory.Packed(like, buffer, QUEUE, kept=True)
    assert events == ["current"]
    followed: list[int] = []
    monkeypatch.setattr(memory.Packed, "_follow", lambda self, stream: followed.append(stream))
    assert kept.on_stream(7) is kept.on_stream(9)
    assert followed == [9]


def test_nothing_takes_no_memory() -> None:
    for like in (torch.zeros(3), np.zeros(3)):
        owner, description = memory.allocate(like, 0)
        assert owner is None
        assert description == (0, "uint8", (0,), (1,))


@pytest.mark.parametrize("raw", [True, False], ids=["address", "object"])
def test_the_current_stream_is_asked_for_by_its_address(raw: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stream:
        cuda_stream = 5

    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream)
    monkeypatch.setattr(torch._C, "_cuda_getCurrentRawStream", (lambda device: 6) if raw else None, raising=False)
    assert memory.queue_of(torch.zeros(3)) == (-1, 6 if raw else 5)
    assert memory.queue_of(np.zeros(3)) == (0, 0)


@pytest.mark.parametrize("name", ["float32", "float64", "float16", "bfloat16", "int64", "int32", "uint8", "bool"])
def test_tensors_are_described_as_arrays_are(name: str) -> None:
    x = torch.zeros((4, 6), dtype=getattr(torch, name))[::2, 1:]
    assert memory.describe(x) == (x.data_ptr(), name, (2, 5), (12, 1))
    if name != "bfloat16":
        assert memory.describe(x.numpy()) == memory.describe(x)
