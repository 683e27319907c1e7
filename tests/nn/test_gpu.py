"""The bottlenecks on a GPU: the answers of the CPU, nothing that waits for the device, and steps that can be captured.

Nothing is exchanged here: that looks at numbers, once in many steps.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.nn.helper import BOTTLENECKS, built, latent

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no GPU"),
]
# A sweep of K-SVD and its statistics have tests of their own.
every = pytest.mark.parametrize("name", [name for name in BOTTLENECKS if not name.startswith("ksvd")])


def step(layer: Any, z: torch.Tensor) -> dict[str, torch.Tensor]:
    """Forward and backward in training mode: what comes out, and all gradients."""
    z = z.detach().requires_grad_()
    layer.zero_grad()
    out, loss, _ = layer(z)
    ((out * out).sum() + loss).backward()
    found = {"out": out.detach(), "loss": loss.detach(), "z": z.grad}
    return found | {n: p.grad for n, p in layer.named_parameters() if p.grad is not None} | dict(layer.named_buffers())


@every
@pytest.mark.parametrize("patch_size", [1, 2])
def test_answers_and_gradients_are_those_of_the_cpu(name, patch_size):
    here, there = (built(name, patch_size=patch_size, revive_every=0) for _ in range(2))
    there.cuda()
    for seed in range(2):
        z = latent(2, 5, 7, seed=seed)
        wanted = step(here, z)
        found = step(there, z.cuda())
        assert found.keys() == wanted.keys()
        for key, x in found.items():
            torch.testing.assert_close(x.cpu(), wanted[key], rtol=1e-9, atol=1e-9, msg=lambda m, k=key: f"{k}: {m}")


@every
def test_nothing_waits_for_the_device(name):
    layer, z = built(name, revive_every=0).float().cuda(), latent(dtype=torch.float32).cuda()
    step(layer, z)  # compiles and probes
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        step(layer, z)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@every
def test_a_step_can_be_captured_in_a_graph(name):
    layer, z = built(name, revive_every=0).float().cuda(), latent(dtype=torch.float32).cuda()
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        step(layer, z)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = step(layer, z)
    z.copy_(latent(seed=1, dtype=torch.float32))
    before = {key: x.clone() for key, x in layer.state_dict().items() if isinstance(x, torch.Tensor)}
    graph.replay()
    torch.cuda.synchronize()
    found = {key: x.clone() for key, x in found.items()}
    layer.load_state_dict({**layer.state_dict(), **before})
    for key, x in step(layer, z).items():
        torch.testing.assert_close(found[key], x, msg=lambda m, k=key: f"{k}: {m}")
