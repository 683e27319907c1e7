"""What learning a dictionary tells of itself as it goes on."""

from __future__ import annotations

from typing import NamedTuple


class LearningStep(NamedTuple):
    """What a callback is told after each step: an iteration over all signals, or a mini-batch."""

    epoch: int
    """From 0."""
    step: int
    """Counted over all epochs, from 1."""
    objective: float
    """The mean of ½||x - Dγ||²: over all signals after an iteration, over those of a mini-batch before its update."""
    n_replaced: int
    """How many atoms were dead or duplicates, and are signals now."""
