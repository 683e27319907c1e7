"""The exponential moving average of the weights, in float32, which is what gets evaluated.

    n-th step:  a <- a + (1 - d_n) (w - a),    d_n = min(decay, (1 + n) / (10 + n))

The smaller decay of the first steps is TensorFlow's: a short run must not end with the average of its start.
Source: B. Polyak, A. Juditsky, Acceleration of stochastic approximation by averaging, SIAM J. Control Optim. 30 (1992).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from lightning.pytorch import Callback
from torch import Tensor

from sparsefast.training.task import Task


class WeightAverage(Callback):
    """Follows the trained parameters after every step of the optimiser; buffers are used as they are.

    Parameters
    ----------
    decay : float
        At least 0 and below 1.
    """

    def __init__(self, decay: float) -> None:
        self._decay, self._steps = decay, 0
        self._averages: dict[str, Tensor] = {}

    def start(self, task: Task) -> None:
        """Before the first step of this process: from the weights as they are, or the averages that were loaded."""
        for name, weight in _weights(task).items():
            known = self._averages.get(name)
            self._averages[name] = weight.detach().float().clone() if known is None else known.to(weight.device)

    def step(self, task: Task) -> None:
        """After a step of the optimiser."""
        decay = min(self._decay, (1 + self._steps) / (10 + self._steps))
        self._steps += 1
        weights = [weight.detach().float() for weight in _weights(task).values()]
        torch._foreach_lerp_(list(self._averages.values()), weights, 1 - decay)

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self._steps, "averages": dict(self._averages)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._steps = int(state_dict["steps"])
        self._averages = {name: x.clone() for name, x in state_dict["averages"].items()}

    @contextlib.contextmanager
    def applied(self, task: Task) -> Iterator[None]:
        """The task with the averages for weights, inside the block."""
        with applied(task, self._averages):
            yield


def _weights(task: Any) -> dict[str, Tensor]:
    return {name: p for name, p in task.named_parameters() if p.requires_grad}


@contextlib.contextmanager
def applied(task: Task, averages: dict[str, Tensor]) -> Iterator[None]:
    """A task with other values of some of its parameters, inside the block."""
    parameters = dict(task.named_parameters())
    kept = {name: parameters[name].detach().clone() for name in averages}
    with torch.no_grad():
        for name, x in averages.items():
            parameters[name].copy_(x)
    try:
        yield
    finally:
        with torch.no_grad():
            for name, x in kept.items():
                parameters[name].copy_(x)
