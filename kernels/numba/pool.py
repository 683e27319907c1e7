"""Ranges of independent items on a small pool of Python threads, for kernels that release the GIL.

Not Numba's own parallel layers: its OpenMP layer ends a forked child, and its workqueue aborts when two Python
threads launch at once. Here any number of threads may call `run_ranges` at once; a forked child starts a pool of its
own; and the calling thread works too, in chunks short enough for Ctrl-C to be answered between two of them.
"""

import contextlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

# Threads start when they are first needed and then stay; a count above this is served by this many.
MAX_THREADS = 256

_pool: ThreadPoolExecutor | None = None
_lock = threading.Lock()


def run_ranges(make_worker: Callable[[], Callable[[int, int], None]], n_items: int, chunk: int, n_threads: int) -> None:
    """Call worker(start, stop) on consecutive chunks of range(n_items), on up to n_threads threads.

    Each thread makes its own worker, so that `make_worker` can give it a workspace. An exception in any of them, or
    a KeyboardInterrupt here, is raised once no thread is at work any more.
    """
    n_chunks = -(-n_items // chunk)
    starts = iter(range(0, n_items, chunk))
    lock = threading.Lock()
    stopped = False
    n_helping = 0
    idle = threading.Event()
    idle.set()

    def work() -> None:
        nonlocal stopped
        worker = make_worker()
        try:
            while not stopped:
                with lock:
                    start = next(starts, None)
                if start is None:
                    return
                worker(start, min(start + chunk, n_items))
        except BaseException:
            stopped = True
            raise

    def help_out() -> None:
        nonlocal n_helping
        with lock:
            if stopped:
                return
            n_helping += 1
            idle.clear()
        try:
            work()
        finally:
            with lock:
                n_helping -= 1
                if not n_helping:
                    idle.set()

    helpers: list[Future[None]] = []
    try:
        _submit(help_out, min(n_threads, n_chunks, MAX_THREADS) - 1, helpers)
        work()
    finally:
        # The outputs belong to the caller: nobody may write to them after this function has ended. The futures do not
        # say who is at work: an interrupt in `_submit` leaves one that was never noted.
        with lock:
            stopped = True
        idle.wait()
    for helper in helpers:
        if not helper.cancel():
            helper.result()  # raises what it raised


def _submit(work: Callable[[], None], n_helpers: int, helpers: list[Future[None]]) -> None:
    global _pool
    if n_helpers < 1:
        return
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="sparsefast")
    # The interpreter may be shutting down, or have no room for more threads: then the caller works alone.
    with contextlib.suppress(RuntimeError):
        for _ in range(n_helpers):
            helpers.append(_pool.submit(work))


def _forget_pool() -> None:
    """In a forked child: the threads were not copied, and the lock may have been held by one of them."""
    global _pool, _lock
    _pool = None
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)
