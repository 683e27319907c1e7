"""Figures of matplotlib, made without pyplot: nothing of a program that draws too is changed."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from sparsefast.data.values import to_unit

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(width: float, height: float, title: str | None = None) -> Figure:
    """An empty figure of that size in inches, which is drawn without a screen.

    Raises
    ------
    ModuleNotFoundError
        If matplotlib is missing.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise ModuleNotFoundError("plots are drawn with matplotlib: pip install matplotlib") from None
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    if title is not None:
        figure.suptitle(title)
    return figure


def figure_png(figure: Figure) -> bytes:
    """A figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()


def drawable(images: Tensor) -> np.ndarray:
    """Images (B, C, H, W) of models, [-1, 1], as `Axes.imshow` takes each: (B, H, W, 3) float32 in [0, 1]; what has not
    three channels is grey, their mean."""
    x = to_unit(images.detach().float()).cpu()
    if x.shape[1] != 3:
        x = x.mean(dim=1, keepdim=True).expand(-1, 3, -1, -1)
    return x.permute(0, 2, 3, 1).numpy()


def show(axes: Any, pixels: np.ndarray, label: str = "", **options: Any) -> Any:
    """A picture without the ticks of a plot; nearest neighbours, so that a pixel is seen as one."""
    axes.set(xticks=[], yticks=[])
    axes.set_title(label, fontsize=8)
    return axes.imshow(pixels, interpolation="nearest", **options)
