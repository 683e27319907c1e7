"""Training of the prior, and pictures that are drawn from it token by token."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from sparsefast.pipelines.laser.autoencoder import Autoencoder
from sparsefast.pipelines.laser.prior_config import PriorConfig
from sparsefast.pipelines.laser.prior_network import Cache, TokenTransformer
from sparsefast.training.checkpoints import load_weights
from sparsefast.training.randomness import uniform
from sparsefast.training.task import Batch, Task


class PriorTask(Task):
    """See `PriorConfig`. The autoencoder is as it was trained, and goes into the files of the prior."""

    free_keys = ("temperature", "top_k")

    def __init__(self, config: PriorConfig, image_shape: tuple[int, int, int]) -> None:
        super().__init__(config, image_shape)
        self.autoencoder = _frozen(config.autoencoder, image_shape)
        with torch.no_grad():
            tokens, self._height, self._width = self._tokens(torch.zeros(1, *image_shape))
        codes = self.autoencoder.bottleneck
        ranges = torch.tensor([codes.token_range(i % codes.tokens_per_site) for i in range(tokens.shape[1])])
        each = torch.arange(codes.vocabulary_size)
        self.transformer = TokenTransformer(
            codes.vocabulary_size,
            tokens.shape[1],
            config.width,
            config.heads,
            config.blocks,
            config.dropout,
            (each >= ranges[:, :1]) & (each < ranges[:, 1:]),
        )

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        nats = self._nats(batch["image"])
        return {"loss": nats, "bits_per_pixel": nats.detach() * self._bits}

    def evaluate(self, batch: Batch) -> dict[str, Tensor]:
        return self.losses(batch)

    @property
    def _bits(self) -> float:
        """Bits per pixel of a nat per token."""
        return self.transformer.length / math.log(2) / (self.image_shape[1] * self.image_shape[2])

    def _nats(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            tokens, _, _ = self._tokens(images)
        logits = self.transformer(tokens)
        return cross_entropy(logits.flatten(0, 1).float(), tokens.flatten())

    def _tokens(self, images: Tensor) -> tuple[Tensor, int, int]:
        """The tokens (B, length) of images, and the rows and columns of sites that they stand for."""
        model = self.autoencoder.eval()  # whatever the task is set to
        return model.bottleneck.encode_to_indices(model.encode(images))

    def pictures(self, batch: Batch) -> dict[str, Tensor]:
        reconstructed, _, _ = self.autoencoder(batch["image"])
        return {"from tokens": reconstructed, "samples": self.sample(len(batch["image"]), 0)}

    def sample(self, n: int, seed: int) -> Tensor:
        """Token by token, each drawn from the probabilities that its predecessors leave it: by the inverse of their sum
        at a number of the picture's own, so that a picture does not depend on the others."""
        device = self.transformer.place.device
        seeds = torch.arange(n, device=device) + (seed << 32)
        draws = uniform(seeds, 0, (self.transformer.length,))
        cache: Cache = []
        last = torch.full((n,), self.transformer.n_tokens, device=device)
        tokens = []
        for at in range(self.transformer.length):
            logits = self.transformer.next_logits(last, at, cache).double() / self.config.temperature
            if 0 < self.config.top_k < logits.shape[1]:
                least = logits.topk(self.config.top_k, dim=1).values[:, -1:]
                logits = logits.masked_fill(logits < least, -torch.inf)
            below = logits.softmax(dim=1).cumsum(dim=1)
            # Rounding may leave the whole sum a little below 1.
            last = torch.searchsorted(below, draws[:, at : at + 1] * below[:, -1:], right=True)[:, 0]
            last = last.clamp_max(self.transformer.n_tokens - 1)
            tokens.append(last)
        z = self.autoencoder.bottleneck.decode_from_indices(torch.stack(tokens, dim=1), self._height, self._width)
        return self.autoencoder.decode(z, (self.image_shape[1], self.image_shape[2]))


def _frozen(path: str, image_shape: tuple[int, int, int]) -> Any:
    """The autoencoder of a run, which is not trained any more."""
    from sparsefast.pipelines import config_class

    file = Path(path)
    weights, about = load_weights(file / "weights.safetensors" if file.is_dir() else file)
    keys = about["config"]["model"]
    if keys["name"] not in ("vqvae", "hybridvae"):
        raise ValueError(f"model.autoencoder={path} is of model {keys['name']}, which has no tokens; train a vqvae")
    if about["image_shape"][0] != image_shape[0]:
        raise ValueError(
            f"model.autoencoder={path} is of pictures of {about['image_shape'][0]} channels, data of {image_shape[0]}"
        )
    model = Autoencoder(config_class(keys["name"])(**keys), image_shape)
    prefix = "autoencoder."
    model.load_state_dict({name.removeprefix(prefix): x for name, x in weights.items() if name.startswith(prefix)})
    return model.requires_grad_(False).eval()
