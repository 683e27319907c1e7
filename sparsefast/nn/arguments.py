"""Checks of the arguments of layers: one line that names the argument, what it was and what it must be."""

from __future__ import annotations

from typing import Any


def check_whole(owner: str, name: str, value: Any, least: int, most: int | None = None) -> int:
    """A whole number of at least `least`, and at most `most`."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{owner}: {name}={value!r}; it must be a whole number")
    if value < least or (most is not None and value > most):
        bounds = f"at least {least}" if most is None else f"{least} to {most}"
        raise ValueError(f"{owner}: {name}={value}; it must be {bounds}")
    return value


def check_number(owner: str, name: str, value: Any, least: float, below: float | None = None) -> float:
    """A number of at least `least` and less than `below`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{owner}: {name}={value!r}; it must be a number")
    if not (value >= least and value < (float("inf") if below is None else below)):
        bounds = f"at least {least:g} and finite" if below is None else f"at least {least:g} and less than {below:g}"
        raise ValueError(f"{owner}: {name}={value}; it must be {bounds}")
    return float(value)


def check_choice(owner: str, name: str, value: Any, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise ValueError(f"{owner}: {name}={value!r}; it must be one of {', '.join(choices)}")
    return str(value)
