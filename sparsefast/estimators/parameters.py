"""The parameters of the estimators that learn a dictionary, looked at before anything is done with them."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from sparsefast import arrays
from sparsefast.dispatch import check_backend
from sparsefast.estimators.initial import check_initial
from sparsefast.estimators.presenting import OUTPUTS

_COUNTS = ("n_components", "n_nonzero", "max_iter", "batch_size", "checkpoint_every")
_MAY_BE_NONE = ("n_components", "n_nonzero", "batch_size", "checkpoint_every", "tol")
_RANGES = {"min_use": (0, np.inf), "max_coherence": (0, 1), "rho": (0, np.inf), "tol": (0, np.inf)}


def check_parameters(estimator: Any) -> None:
    """Raise TypeError or ValueError with the parameter, its value and what is allowed."""
    name = type(estimator).__name__
    for parameter in _COUNTS:
        value = getattr(estimator, parameter)
        if value is None and parameter in _MAY_BE_NONE:
            continue
        if arrays.index(value, f"{name}: {parameter}") < 1:
            raise ValueError(f"{name}: {parameter}={value}; it must be at least 1")
    for parameter, (low, high) in _RANGES.items():
        value = getattr(estimator, parameter)
        if value is None and parameter in _MAY_BE_NONE:
            continue
        if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
            raise TypeError(f"{name}: {parameter}={value!r}; it must be a number")
        if not low <= value <= high or (parameter == "max_coherence" and value == 0):
            above = "above 0, at most 1" if parameter == "max_coherence" else "at least 0"
            raise ValueError(f"{name}: {parameter}={value}; it must be {above}")
    if not isinstance(estimator.warm_start, (bool, np.bool_)):
        raise TypeError(f"{name}: warm_start={estimator.warm_start!r}; it must be True or False")
    if not isinstance(estimator.verbose, (bool, np.bool_, int, np.integer)) or estimator.verbose < 0:
        raise TypeError(f"{name}: verbose={estimator.verbose!r}; it must be True, False or an integer of at least 0")
    if estimator.output not in OUTPUTS:
        raise ValueError(f"{name}: output={estimator.output!r}; it must be one of {', '.join(OUTPUTS)}")
    if estimator.callback is not None and not callable(estimator.callback):
        raise TypeError(f"{name}: callback={estimator.callback!r}; it must be a function or None")
    if estimator.checkpoint is not None and not isinstance(estimator.checkpoint, (str, os.PathLike)):
        raise TypeError(f"{name}: checkpoint={estimator.checkpoint!r}; it must be a path or None")
    if estimator.backend is not None:
        check_backend(estimator.backend, f"{name}: backend")
    check_initial(name, estimator.init)
