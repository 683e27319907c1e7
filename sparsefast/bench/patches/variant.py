"""What is measured on each case: a way to call `unfold` or `fold`, in one of two layouts."""

from __future__ import annotations

from dataclasses import dataclass

LAYOUTS = ("columns", "signals")
"""(B, C ph pw, L) as `F.unfold` has them, and (B, L, C ph pw), a row for each patch."""


@dataclass(frozen=True)
class Variant:
    """One way to call one of the two functions."""

    name: str
    op: str
    """Of the row of the grid of backends: "unfold" or "fold"."""
    words: str
    out: bool = False
    """Whether the result goes into memory that was there before."""
    normalize: bool = True
    weights: str = "uniform"


VARIANTS = {
    variant.name: variant
    for variant in (
        Variant("unfold", "unfold", "a new output each call"),
        Variant("unfold_out", "unfold", "out=, into memory that is there", out=True),
        Variant("fold", "fold", "the mean of the patches at each pixel"),
        Variant("fold_sum", "fold", "normalize=False, their sum", normalize=False),
        Variant("fold_gaussian", "fold", 'weights="gaussian", their weighted mean', weights="gaussian"),
    )
}
