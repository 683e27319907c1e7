"""The filters of PNG undone: each byte was stored as its difference from what the bytes before it predict.

Average and Paeth need the byte to the left already undone, so this is a loop; `png16` compiles it with Numba.
Source: PNG specification (third edition), section 9.
"""

from __future__ import annotations

import numpy as np


def unfilter(rows: np.ndarray, step: int) -> int:
    """Undo the filters of rows (H, 1 + n), uint8, in place; the first byte of a row names its filter.

    `step` is the number of bytes of a pixel. Returns the first row whose filter is unknown, else -1.
    """
    height, width = rows.shape
    for y in range(height):
        kind = rows[y, 0]
        if kind > 4:
            return y
        for x in range(1, width):
            left = int(rows[y, x - step]) if x > step else 0
            above = int(rows[y - 1, x]) if y > 0 else 0
            if kind == 0:
                predicted = 0
            elif kind == 1:
                predicted = left
            elif kind == 2:
                predicted = above
            elif kind == 3:
                predicted = (left + above) >> 1
            else:
                corner = int(rows[y - 1, x - step]) if x > step and y > 0 else 0
                # Paeth: the neighbour next to left + above - corner; ties go to left, then above.
                to_left, to_above, to_corner = abs(above - corner), abs(left - corner), abs(left + above - 2 * corner)
                if to_left <= to_above and to_left <= to_corner:
                    predicted = left
                elif to_above <= to_corner:
                    predicted = above
                else:
                    predicted = corner
            rows[y, x] = (int(rows[y, x]) + predicted) & 255
    return -1
