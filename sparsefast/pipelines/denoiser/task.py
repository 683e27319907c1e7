"""Denoising score matching, and sampling along the probability flow.

    y = x + sigma n,   loss = mean (D(y, sigma) - x)^2 / (weight of sigma),   dy/dsigma = (y - D(y, sigma)) / sigma

Source: T. Karras, M. Aittala, T. Aila, S. Laine, Elucidating the design space of diffusion-based generative models,
NeurIPS 2022: its preconditioning (table 1, with sigma_data = 0.5) and Heun's method (algorithm 1).
"""

import itertools
import math
from typing import Any

import torch
from torch import Tensor

from sparsefast.pipelines.denoiser.network import Network
from sparsefast.training.randomness import normal, uniform
from sparsefast.training.task import Batch, Task

_SIGMA_DATA = 0.5


class DenoiserTask(Task):
    """See `DenoiserConfig`."""

    free_keys = ("sigma_eval", "sample_steps")

    def __init__(self, config: Any, image_shape: tuple[int, int, int]) -> None:
        super().__init__(config, image_shape)
        self.network = Network(image_shape[0], config.width, config.blocks)

    def denoised(self, y: Tensor, sigma: Tensor) -> Tensor:
        """D(y, sigma): pictures (B, C, H, W) with noise, its deviations (B,), to their means (B, C, H, W)."""
        s = sigma.view(-1, 1, 1, 1)
        total = (s**2 + _SIGMA_DATA**2).sqrt()
        network = self.network(y / total, sigma.log() / 4)
        return (_SIGMA_DATA / total) ** 2 * y + (s * _SIGMA_DATA / total) * network

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        x, low, high = batch["image"], math.log(self.config.sigma_min), math.log(self.config.sigma_max)
        sigma = (low + (high - low) * uniform(batch["seed"], 0, ())).exp().to(x.dtype)
        y = x + sigma.view(-1, 1, 1, 1) * normal(batch["seed"], 1, x.shape[1:], x.dtype)
        error = (self.denoised(y, sigma) - x).square().mean(dim=(1, 2, 3))
        weight = (sigma**2 + _SIGMA_DATA**2) / (sigma * _SIGMA_DATA) ** 2
        return {"loss": (weight * error).mean(), "denoising_mse": error.mean()}

    def evaluate(self, batch: Batch) -> dict[str, Tensor]:
        x = batch["image"]
        sigma = torch.full_like(x[:, 0, 0, 0], self.config.sigma_eval)
        y = x + self.config.sigma_eval * normal(batch["seed"], 2, x.shape[1:], x.dtype)
        found = self.denoised(y, sigma)
        return {"loss": (found - x).square().mean(), "images": x, "reconstructions": found}

    def pictures(self, batch: Batch) -> dict[str, Tensor]:
        x = batch["image"]
        y = x + self.config.sigma_eval * normal(batch["seed"], 2, x.shape[1:], x.dtype)
        sigma = torch.full_like(x[:, 0, 0, 0], self.config.sigma_eval)
        return {"noisy": y, "denoised": self.denoised(y, sigma), "samples": self.sample(len(x), 0)}

    def reconstruct(self, images: Tensor) -> tuple[Tensor, dict[str, float]]:
        height, width = images.shape[2:]
        even = torch.nn.functional.pad(images, (0, width % 2, 0, height % 2), "replicate")
        sigma = torch.full_like(even[:, 0, 0, 0], self.config.sigma_eval)
        return self.denoised(even, sigma)[..., :height, :width], {"sigma": self.config.sigma_eval}

    def sample(self, n: int, seed: int) -> Tensor:
        like = next(self.parameters())
        seeds = torch.arange(n, device=like.device) + (seed << 32)
        levels = torch.logspace(
            math.log10(self.config.sigma_max), math.log10(self.config.sigma_min), self.config.sample_steps
        )
        levels = torch.cat([levels, levels.new_zeros(1)]).to(like)
        y = levels[0] * normal(seeds, 3, self.image_shape, like.dtype)
        for now, then in itertools.pairwise(levels):
            slope = (y - self.denoised(y, now.expand(n))) / now
            step = y + (then - now) * slope
            if then > 0:  # Heun's second half
                slope = (slope + (step - self.denoised(step, then.expand(n))) / then) / 2
            y = y + (then - now) * slope
        return y
