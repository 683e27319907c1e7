"""Training steps of `model=dlvae` at the size of CIFAR's pictures, on any device: forward, backward, and AdamW.

Contenders are the same autoencoder with other bottlenecks, and its bottlenecks alone, in turns in one process. A turn
is several steps that are launched one after the other, as in training: on a GPU from when it is idle until it is again,
in the processor's own seconds on a CPU. Pictures are on the device before the clock starts.

On a GPU each model also runs with its whole step as one CUDA graph, which leaves out the time of launching: small
batches take little else. No atoms are exchanged there. A peer that cannot be captured says so.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

PEER = "torch Batch-OMP"
NONE = "no bottleneck"
OURS = "DL ste"
GRAPH = " graph"
GOAL = 5.0
"""How many times the pictures a second of the peer the dictionary bottlenecks are to have, in the whole model."""
SIDE = 32
BATCHES = {"cpu": (16,), "cuda": (64, 256, 1024)}
# By their names, as keys of `model=dlvae`: its defaults, and every place of the latent coded by many atoms.
SETTINGS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "64/512/8": {"num_embeddings": 512, "embedding_dim": 64, "patch_size": 1, "sparsity_level": 8},
}
_STEPS = {"cpu": 1, "cuda": 10}
_LEAST_TURNS = 3


@dataclass
class Row:
    """One contender: medians over the turns."""

    setting: str
    batch: int
    part: str
    """model or bottleneck."""
    contender: str
    images_per_second: float
    mean_images_per_second: float
    """Over all turns together: in one of several dead atoms begin anew."""
    times: float
    """How many times as fast as the peer: the median of the ratios within a turn; 0: not measured in turns with it."""
    absent: str | None = None
    """Why there are no numbers."""


def measure(setting: str, batch: int, device: str, seconds: float) -> Iterator[Row]:
    """Measure all contenders at one setting, for about so many seconds each."""
    import torch

    torch.manual_seed(0)
    models = models_of(setting, device)
    images = pictures(batch, device)
    _begin_alike(models, images)
    with torch.no_grad():
        latent = models[OURS].encode(images)
    grad = torch.randn_like(latent)
    layers = {name: copy.deepcopy(m.bottleneck) for name, m in models.items() if name != NONE}
    steps = {name: _training(model, images) for name, model in models.items()}
    if device == "cuda":
        steps |= {name + GRAPH: _graphed(model, images) for name, model in models.items() if name != PEER}
    for part, calls in (
        ("model", steps),
        ("bottleneck", {name: _there_and_back(layer, latent, grad) for name, layer in layers.items()}),
    ):
        times = _turns(calls, device, seconds)
        n_images = batch * _STEPS[device]
        for name, own in times.items():
            yield Row(
                setting,
                batch,
                part,
                name,
                n_images / statistics.median(own),
                n_images / statistics.fmean(own),
                statistics.median(p / t for p, t in zip(times[PEER], own, strict=True)),
            )


def measure_graphed_peer(setting: str, batch: int, seconds: float) -> Row:
    """The peer's whole step as one CUDA graph, where it can be captured. To be called after all others: what a capture
    that fails leaves behind is not known."""
    name = PEER + GRAPH
    try:
        calls = {PEER: _graphed(models_of(setting, "cuda")[PEER], pictures(batch, "cuda"))}
        own = _turns(calls, "cuda", seconds)[PEER]
    except RuntimeError as error:
        return Row(setting, batch, "model", name, 0, 0, 0, absent=str(error).splitlines()[0])
    n_images = batch * _STEPS["cuda"]
    return Row(setting, batch, "model", name, n_images / statistics.median(own), n_images / statistics.fmean(own), 0)


def pictures(batch: int, device: str) -> Any:
    """Smooth random images (batch, 3, SIDE, SIDE) in [-1, 1]."""
    import torch

    small = torch.randn(batch, 3, SIDE // 4, SIDE // 4, device=device)
    return torch.nn.functional.interpolate(small, scale_factor=4, mode="bilinear").clamp(-1, 1)


def models_of(setting: str, device: str) -> dict[str, Any]:
    """The contenders by name, in training mode."""
    import torch

    from sparsefast.bench.laser.peers import PlainDictionaryBottleneck
    from sparsefast.pipelines.laser.autoencoder import Autoencoder
    from sparsefast.pipelines.laser.config import DLVAEConfig, VQVAEConfig

    def built(config: Any) -> Any:
        # The layout that models are trained in.
        return Autoencoder(config, (3, SIDE, SIDE)).to(device).to(memory_format=torch.channels_last)

    keys = SETTINGS[setting]
    config = DLVAEConfig(**keys)
    found = {PEER: built(config)}
    found[PEER].bottleneck = PlainDictionaryBottleneck(
        config.num_embeddings,
        config.embedding_dim,
        config.sparsity_level,
        config.commitment_cost,
        config.dictionary_weight,
        config.patch_size,
    ).to(device)
    found[OURS] = built(config)
    found["DL implicit"] = built(DLVAEConfig(**keys, gradient="implicit"))
    found["VQ"] = built(VQVAEConfig(**{key: value for key, value in keys.items() if key != "sparsity_level"}))
    found[NONE] = built(config)
    found[NONE].bottleneck = _no_bottleneck()
    return found


def _begin_alike(models: dict[str, Any], images: Any) -> None:
    """Give all models the weights of one, and its atoms, which begin at latents of these images."""
    first = models[OURS]
    first.initialize(images)
    for model in models.values():
        model.encoder.load_state_dict(first.encoder.state_dict())
        model.decoder.load_state_dict(first.decoder.state_dict())
        if hasattr(model.bottleneck, "dictionary"):
            model.bottleneck.dictionary.data.copy_(first.bottleneck.dictionary)
        if getattr(model.bottleneck, "coefficients", None) is not None:
            model.bottleneck.coefficients.scale.copy_(first.bottleneck.coefficients.scale)


def _no_bottleneck() -> Any:
    """What gives latents back as they are: the model then takes what all contenders take."""
    import torch

    class Identity(torch.nn.Module):
        def forward(self, z: Any) -> tuple[Any, Any, None]:
            return z, z.new_zeros(()), None

    return Identity()


def _training(model: Any, images: Any, capturable: bool = False) -> Callable[[], None]:
    import torch

    config = model.config
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, capturable=capturable)

    def step() -> None:
        y, loss, _ = model(images)
        loss = config.recon_weight * (y - images).square().mean() + config.bottleneck_weight * loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def _graphed(model: Any, images: Any) -> Callable[[], None]:
    """The same with the whole step as one launch."""
    import torch

    model = copy.deepcopy(model)
    if hasattr(model.bottleneck, "revive_every"):
        model.bottleneck.revive_every = 0
    step = _training(model, images, capturable=True)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()

    def replay(_held: Any = step) -> None:
        # The graph reads and writes the memory of the model and of the optimiser, which are in `step`.
        graph.replay()

    return replay


def _there_and_back(layer: Any, latent: Any, grad: Any) -> Callable[[], None]:
    import torch

    def call() -> None:
        z = latent.detach().requires_grad_()
        out, loss, _ = layer(z)
        torch.autograd.backward([out, loss], [grad, torch.ones_like(loss)])
        layer.zero_grad()

    return call


def _turns(calls: dict[str, Callable[[], None]], device: str, seconds: float) -> dict[str, list[float]]:
    """Seconds of each turn of each contender."""
    for call in calls.values():
        for _ in range(3 if device == "cuda" else 1):  # compiles, and fills the caches of memory
            call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    until = time.perf_counter() + seconds * len(calls)
    while time.perf_counter() < until or len(times[PEER]) < _LEAST_TURNS:
        for name, call in calls.items():
            start = _now(device)
            for _ in range(_STEPS[device]):
                call()
            times[name].append(max(_now(device) - start, 1e-9))
    return times


def _now(device: str) -> float:
    if device == "cpu":
        return time.process_time()
    import torch

    torch.cuda.synchronize()
    return time.perf_counter()
