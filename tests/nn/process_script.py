"""What a process does that has a part of each batch; run as `process_script.py folder`, as torchrun would."""

import sys
from datetime import timedelta
from pathlib import Path

import torch

from sparsefast.nn import processes
from tests.nn.helper import BOTTLENECKS, built, latent

BATCH = 8


def layers():
    return {name: built(name, revive_every=2, revive_below=0.5) for name in BOTTLENECKS}


def trained(layer, rank, size):
    """Start, losses and state after six calls on this process's part of each batch, with gradients summed as by DDP."""
    part = slice(rank * BATCH // size, (rank + 1) * BATCH // size)
    layer.initialize(latent(BATCH)[part])
    found = {f"start {name}": value.clone() for name, value in layer.state_dict().items()}
    revived = []
    for step in range(6):
        layer.usage[step], layer.usage[2 * step + 1] = 0, 0.3 * layer.usage.mean()
        out, loss, _ = layer(latent(BATCH, seed=2 + step)[part] * (1 + step))
        revived.append(layer.revived)
        for parameter in layer.parameters():
            (grad,) = torch.autograd.grad(out.square().mean() + loss, parameter)
            with torch.no_grad():
                parameter -= 0.1 * processes.total(grad) / size
        found[f"loss {step}"] = processes.total(loss.detach()) / size
    return found | layer.state_dict() | {"revived": torch.cat(revived)}


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", timeout=timedelta(seconds=60))
    rank, size = torch.distributed.get_rank(), torch.distributed.get_world_size()
    x = torch.tensor([[rank, 10.0]])
    found = {"total": processes.total(x), "largest": processes.largest(x), "gathered": processes.gathered(x), "x": x}
    torch.save([found, {name: trained(layer, rank, size) for name, layer in layers().items()}], folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
