"""A trained model for the commands that use one: which it is, and how it is made again."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparsefast.commands.common import key_values


@dataclass
class Trained:
    """A task with its weights, on its device, and the configuration that it was trained with."""

    task: Any
    config: Any
    path: Path
    step: int
    device: Any

    @property
    def folder(self) -> Path:
        """Of the run that the file is in."""
        return self.path.parent.parent if self.path.parent.name == "checkpoints" else self.path.parent


def load_trained(args: argparse.Namespace) -> Trained:
    """What `--run` and the overrides name.

    Of the model the file has all keys; `data=`, `data.*`, `train.*` and `seed` may be given anew.

    Raises
    ------
    ValueError
        If there is no such run, the file is none of ours, or the overrides name another model.
    """
    from sparsefast.conf.compose import compose
    from sparsefast.pipelines import MODELS, make_task, task_class
    from sparsefast.training import group
    from sparsefast.training.checkpoints import put_weights, read_weights, weights_file

    given = key_values(args.overrides)
    path = weights_file(args.trained) if args.trained else _newest(given)
    weights, about = read_weights(path)
    kept = about["config"]
    model = kept["model"]["name"]
    if model not in MODELS:
        raise ValueError(f"{path} is of model {model}, which is not known here; it can be {', '.join(MODELS)}")
    if given.get("model", model) != model:
        raise ValueError(f"{path} is of model={model}, not model={given['model']}")
    free = [f"model.{key}" for key in task_class(model).free_keys]
    if fixed := [key for key in given if key.startswith("model.") and key not in free]:
        raise ValueError(f"{fixed[0]}={given[fixed[0]]}: the keys of a trained model are those of its file, {path}")
    words = [f"{key}={value}" for key, value in given.items() if key != "model"]
    config = compose(words, values=kept)
    shape = tuple(about["image_shape"])
    task = make_task(config.model, shape, config.seed)
    put_weights(task, weights, path)
    device = group.device(config.train.accelerator)
    return Trained(task.to(device).eval(), config, path, int(about["step"]), device)


def _newest(given: dict[str, str]) -> Path:
    """The weights of the newest run below `out` that goes with the choices of model and data."""
    from sparsefast.training.checkpoints import load_weights

    out = Path(given.get("out", "runs"))
    files = sorted(out.glob("**/weights.safetensors"), key=lambda file: file.stat().st_mtime, reverse=True)
    for file in files:
        config = load_weights(file)[1]["config"]
        if all(config[group]["name"] == given.get(group, config[group]["name"]) for group in ("model", "data")):
            return file
    wanted = " ".join(f"{group}={given[group]}" for group in ("model", "data") if group in given)
    raise ValueError(f"{out} holds no run{f' of {wanted}' if wanted else ''}: train one, or name it with --run")
