"""Learned dictionaries in safetensors files, with all that a run needs to go on."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from sparsefast.estimators.batches import host
from sparsefast.ops.dictionary_stats import DictionaryStats
from sparsefast.tensor_files import load_arrays, save_arrays

_VERSION = 1
_OF_STATS = ("A", "B", "usage", "totals")


def save(estimator: Any, path: str | os.PathLike[str]) -> None:
    """Write a fitted estimator."""
    found = {
        "components": host(estimator.components_),
        "objective": np.asarray(estimator.objective_, np.float64),
        "recent_usage": estimator._recent_usage,
    }
    if estimator.stats_ is not None:
        stats = estimator.stats_.numpy()
        found |= {f"stats.{name}": getattr(stats, name) for name in _OF_STATS}
    plain = {k: _plain(v) for k, v in estimator.get_params().items()}
    about = {
        "params": {k: v for k, v in plain.items() if isinstance(v, (int, float, str, bool, type(None)))},
        "seed": estimator._seed,
        "progress": [estimator._epoch, estimator._step_in_epoch, estimator.n_steps_],
    }
    save_arrays(path, type(estimator).__name__, _VERSION, found, about)


def load(kind: type, path: str | os.PathLike[str]) -> Any:
    """An estimator of this class from such a file."""
    found, about = load_arrays(path, kind.__name__, _VERSION)
    try:
        self = kind(**about["params"])
        components = found["components"]
        if components.ndim != 2 or components.dtype not in (np.float32, np.float64):
            raise ValueError(f"components is {components.dtype} of shape {components.shape}")
        self.components_ = components
        self.n_features_in_ = int(components.shape[1])
        self.objective_ = found["objective"].tolist()
        self._recent_usage = found["recent_usage"]
        self._seed = int(about["seed"])
        self._epoch, self._step_in_epoch, self.n_steps_ = (int(n) for n in about["progress"])
        self.n_iter_ = self._epoch
        self.stats_ = None
        if "stats.A" in found:
            self.stats_ = DictionaryStats(*components.shape)
            for name in _OF_STATS:
                getattr(self.stats_, name)[...] = found[f"stats.{name}"]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a whole file of {kind.__name__}: {' '.join(str(error).split())}") from None
    return self


def _plain(value: Any) -> Any:
    """NumPy's numbers as Python's, which JSON knows."""
    return value.item() if isinstance(value, np.generic) else value
