"""What the four commands share."""

from __future__ import annotations

import argparse
import importlib.util
from typing import Any

# What the extra `train` of the package installs.
_NEEDED = {
    "hydra": "hydra-core",
    "lightning": "lightning",
    "torch": "torch",
    "torchmetrics": "torchmetrics",
}


def add_overrides(parser: argparse.ArgumentParser, words: str) -> None:
    """The words key=value of the command line."""
    parser.add_argument("overrides", nargs="*", metavar="key=value", help=words)


def add_run(parser: argparse.ArgumentParser) -> None:
    """Which trained model."""
    parser.add_argument(
        "--run",
        dest="trained",
        metavar="PATH",
        help="folder of a run, or a .safetensors or .ckpt file in it (default: the newest run below `out` of model= "
        "and data=)",
    )


def add_quiet(parser: argparse.ArgumentParser) -> None:
    """Without a bar."""
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def require_packages() -> None:
    """Raise an ImportError that says what to install, if something is missing."""
    if missing := [package for module, package in _NEEDED.items() if importlib.util.find_spec(module) is None]:
        raise ImportError(f"this command needs {', '.join(missing)}: pip install 'sparsefast[train]'")


def key_values(overrides: list[str]) -> dict[str, str]:
    """The words key=value, by key.

    Raises
    ------
    ValueError
        If one is none.
    """
    for word in overrides:
        if "=" not in word:
            raise ValueError(f"{word!r} is not key=value")
    return dict(word.split("=", 1) for word in overrides)


def table(numbers: dict[str, Any]) -> list[tuple[str, str]]:
    """Numbers as they are said, by name."""
    return [(name, f"{value:.6g}" if isinstance(value, float) else str(value)) for name, value in numbers.items()]
