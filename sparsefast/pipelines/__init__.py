"""Published systems as training and sampling pipelines, a folder for each, and the names of their models.

A pipeline is a folder with `config.py`, a dataclass of the model's keys, and `task.py`, a
`sparsefast.training.task.Task` that takes it; a line in `MODELS`; and a YAML file in `sparsefast/conf/model`. The
shortest is `denoiser`.
"""

from __future__ import annotations

import importlib
from typing import Any

# The class of the model's keys, and its task, by the name in `model=`.
MODELS = {
    "denoiser": ("denoiser.config:DenoiserConfig", "denoiser.task:DenoiserTask"),
    "dlvae": ("laser.config:DLVAEConfig", "laser.task:LASERTask"),
    "hybridvae": ("laser.sparse_config:HybridConfig", "laser.task:LASERTask"),
    "laser": ("laser.sparse_config:LASERConfig", "laser.task:LASERTask"),
    "prior": ("laser.prior_config:PriorConfig", "laser.prior_task:PriorTask"),
    "vqvae": ("laser.config:VQVAEConfig", "laser.task:LASERTask"),
}


def _named(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)


def config_class(model: str) -> Any:
    """The dataclass of a model's keys."""
    return _named(MODELS[model][0])


def task_class(model: str) -> Any:
    """The task of a model."""
    return _named(MODELS[model][1])


def make_task(config: Any, image_shape: tuple[int, int, int], seed: int) -> Any:
    """The task of a model, with weights that are a function of the seed."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return task_class(config.name)(config, image_shape)
