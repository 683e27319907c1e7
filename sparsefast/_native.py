"""Loads the native module `sparsefast._C`, and says why there is none when there is none."""

import importlib
import json
import os
from importlib import resources
from types import ModuleType
from typing import Any

from sparsefast._version import __version__


def build_record() -> dict[str, Any]:
    """What the build wrote down: `version`, `native`, `reason`, `cuda`, `cuda_reason`; empty if nothing was built.

    Pure-Python installs have it too, because pip hides what a build prints.
    """
    try:
        return dict(json.loads(resources.files("sparsefast").joinpath("_build.json").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def _load() -> tuple[ModuleType | None, str | None]:
    try:
        module = importlib.import_module("sparsefast._C")
    except ModuleNotFoundError as error:
        if error.name != "sparsefast._C":
            raise
        return None, build_record().get("reason") or "the native module is not built; run pip install"
    except ImportError as error:
        return None, f"the native module cannot be loaded: {error}"
    built = module.build_info()["version"]
    if built != __version__:
        return None, f"the native module is of version {built}, the package {__version__}; run pip install again"
    wanted, isas = os.environ.get("SPARSEFAST_CPU_ISA"), module.isas()
    if wanted:
        if wanted not in isas:  # an error, because Numba in its place would hide the mistake
            raise ValueError(
                f"SPARSEFAST_CPU_ISA={wanted!r} is not an instruction set of this machine: {', '.join(isas)}"
            )
        module.set_isa(wanted)
    return module, None


def _load_emulated() -> ModuleType | None:
    try:
        return importlib.import_module("sparsefast._emulated")
    except ModuleNotFoundError as error:
        if error.name != "sparsefast._emulated":
            raise
        return None


module: ModuleType | None
"""`sparsefast._C`, or None."""
why_not: str | None
"""Why `module` is None, in one line; None when it is there."""
module, why_not = _load()
emulated: ModuleType | None = _load_emulated() if module is not None else None
"""`sparsefast._emulated`, which runs the CUDA sources on an emulated device in development builds, or None."""
