"""How far several steps of work have come, as one number."""

from __future__ import annotations

from collections.abc import Callable


class Progress:
    """Tells a callable the share of the work that is done, from the shares of steps of different weights.

    Parameters
    ----------
    tell : callable or None
        Called with increasing numbers above 0, at last with 1.
    whole : float
        The sum of the weights of all steps.
    """

    def __init__(self, tell: Callable[[float], None] | None, whole: float) -> None:
        self._tell = tell
        self._whole = whole
        self._before = 0.0

    def step(self, weight: float) -> Callable[[float], None]:
        """What the next step calls with the share of it that is done."""
        start = self._before
        self._before += weight

        def report(done: float) -> None:
            if self._tell is not None:
                self._tell(min(1.0, (start + weight * done) / self._whole))

        return report
