"""How large a picture may be, and Pillow kept to that and silent while it reads one."""

from __future__ import annotations

import contextlib
import os
import threading
import warnings
from collections.abc import Iterator

# Where Pillow itself refuses; 0.5 GB as 8-bit RGB.
DEFAULT_MAX_PIXELS = 178_956_970
VARIABLE = "SPARSEFAST_MAX_PIXELS"

_lock = threading.Lock()
_readers = 0
_restore = contextlib.ExitStack()


def max_pixels() -> int:
    """The most pixels that a picture may have: SPARSEFAST_MAX_PIXELS, or what Pillow allows.

    Raises
    ------
    ValueError
        If the environment variable is not a whole number of at least 1.
    """
    value = os.environ.get(VARIABLE)
    if value is None:
        return DEFAULT_MAX_PIXELS
    if not value.strip().isdecimal() or int(value) < 1:
        raise ValueError(f"{VARIABLE}={value!r} must be a whole number of pixels, at least 1")
    return int(value)


def check_size(width: int, height: int) -> None:
    """Raise ValueError if a picture of this size has no pixels, or more than the limit."""
    if width < 1 or height < 1:
        raise ValueError(f"it is {width} x {height} pixels: there are none")
    if width * height > max_pixels():
        raise ValueError(f"it is {width} x {height} pixels, {too_large()}")


def too_large() -> str:
    """The end of a message that says what the limit is and how to raise it."""
    return f"over the limit of {max_pixels():,} pixels; the environment variable {VARIABLE} raises it"


@contextlib.contextmanager
def pillow_guarded() -> Iterator[None]:
    """While any thread is in here, Pillow goes by our limit and no warning is shown.

    Both settings belong to the process: the first thread in sets them, and the last one out restores them, so that
    threads that overlap leave behind what was there before.
    """
    global _readers
    with _lock:
        if _readers == 0:
            _set()
        _readers += 1
    try:
        yield
    finally:
        with _lock:
            _readers -= 1
            if _readers == 0:
                _restore.close()


def _set() -> None:
    from PIL import Image

    before, limit = Image.MAX_IMAGE_PIXELS, max_pixels()  # which may raise, so it comes before anything is changed
    _restore.enter_context(warnings.catch_warnings())
    warnings.simplefilter("ignore")
    Image.MAX_IMAGE_PIXELS = limit
    _restore.callback(setattr, Image, "MAX_IMAGE_PIXELS", before)
