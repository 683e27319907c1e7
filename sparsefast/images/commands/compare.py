"""`sparsefast compare`: how much two pictures differ."""

from __future__ import annotations

import argparse
import json
import math
from typing import Any

import numpy as np

from sparsefast.images.commands import common
from sparsefast.images.metrics import RADIUS, mse, psnr, ssim
from sparsefast.images.picture import Picture
from sparsefast.images.values import to_float

WINDOW = 2 * RADIUS + 1
CHANNELS = ("red", "green", "blue")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `sparsefast compare`."""
    parser.add_argument("a", metavar="A", help="a picture")
    parser.add_argument("b", metavar="B", help="another of the same size and channels; depths may differ")
    parser.add_argument("--json", action="store_true", help="print JSON; null is the PSNR of equal pictures")


def run(args: argparse.Namespace) -> int:
    """`sparsefast compare`."""
    a, b = common.read_quietly(args.a), common.read_quietly(args.b)
    if (a.width, a.height) != (b.width, b.height):
        raise ValueError(f"{args.a} is {a.width} x {a.height} pixels and {args.b} {b.width} x {b.height}")
    if (a.pixels.ndim, a.alpha is None) != (b.pixels.ndim, b.alpha is None):
        raise ValueError(f"{args.a} is {a} and {args.b} is {b}; their channels must be the same")
    whole, channels = measured(to_float(a.pixels), to_float(b.pixels)), per_channel(a, b)
    if args.json:
        print(json.dumps({"a": args.a, "b": args.b, **_plain(whole), "channels": _plain(channels)}, indent=2))
        return 0
    lines = [*common.describe("a", args.a, a), *common.describe("b", args.b, b)]
    for metric, form, unit in (("psnr", ".2f", "dB"), ("ssim", ".4f", ""), ("mse", ".3f", "on the scale 0 to 255")):
        if whole[metric] is None:
            lines.append((metric.upper(), f"none: the pictures are smaller than its window, {WINDOW} x {WINDOW}"))
            continue
        text = f"{whole[metric]:{form}} {unit}".rstrip()
        parts = [f"{name} {values[metric]:{form}}" for name, values in channels.items()]
        lines.append((metric.upper(), f"{text} ({', '.join(parts)})" if parts else text))
    common.say(lines)
    return 0


def measured(a: np.ndarray, b: np.ndarray) -> dict[str, float | None]:
    """The metrics of pixels from 0 to 1; the squared error is on the scale from 0 to 255. SSIM may have no place."""
    fits = min(a.shape[:2]) >= WINDOW
    return {"psnr": psnr(a, b, 1.0), "ssim": ssim(a, b, 1.0) if fits else None, "mse": mse(a, b) * 255**2}


def per_channel(a: Picture, b: Picture) -> dict[str, dict[str, float | None]]:
    """The metrics of each colour, and of the alpha channel, which the others leave out."""
    parts = {}
    if a.pixels.ndim == 3:
        for i, name in enumerate(CHANNELS):
            parts[name] = (a.pixels[:, :, i], b.pixels[:, :, i])
    if a.alpha is not None and b.alpha is not None:
        parts["alpha"] = (a.alpha, b.alpha)
    return {name: measured(to_float(x), to_float(y)) for name, (x, y) in parts.items()}


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Without infinities, for which JSON has no word."""
    return {
        key: _plain(value) if isinstance(value, dict) else None if value in (math.inf, None) else value
        for key, value in values.items()
    }
