"""How fast a loader is."""

from __future__ import annotations

import time

from sparsefast.data.loader import Loader


def loader_rate(loader: Loader, seconds: float) -> float:
    """Images per second that a loader gives, over at least that many seconds, epoch after epoch.

    The first batch is not counted: workers are started for it, and files read that are kept.

    Raises
    ------
    ValueError
        If the loader has no batch.
    """
    if len(loader) == 0:
        raise ValueError("loader_rate: the loader has no batch")
    n, start = 0, None
    while True:
        for batch in loader:
            if start is None:
                start = time.perf_counter()
                continue
            n += len(batch["image"])
            if (passed := time.perf_counter() - start) >= seconds:
                return n / passed
