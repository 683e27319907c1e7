"""Decoded pictures, the most recently used ones of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np


class PictureCache:
    """Arrays by number: made when they are asked for, and the last ones kept, up to a limit of memory.

    Parameters
    ----------
    make : function of int
        Gives the array of a number; picklable.
    limit : int
        Bytes of all arrays that are kept. One that is larger alone is not.
    """

    def __init__(self, make: Callable[[int], np.ndarray], limit: int) -> None:
        self.make, self.limit = make, limit
        self.size = 0
        self._kept: OrderedDict[int, np.ndarray] = OrderedDict()

    def __getitem__(self, number: int) -> np.ndarray:
        found = self._kept.get(number)
        if found is not None:
            self._kept.move_to_end(number)
            return found
        found = self.make(number)
        if found.nbytes <= self.limit:
            self._kept[number] = found
            self.size += found.nbytes
            while self.size > self.limit:
                self.size -= self._kept.popitem(last=False)[1].nbytes
        return found

    def __contains__(self, number: int) -> bool:
        return number in self._kept

    def __getstate__(self) -> dict[str, Any]:
        """Without the pictures: another process reads its own."""
        return {**self.__dict__, "size": 0, "_kept": OrderedDict()}
