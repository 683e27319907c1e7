"""How many threads a call uses.

The count is, in this order: 1 in a process that was forked from one that had loaded this module; what
`set_num_threads` set; `torch.get_num_threads()` of the calling thread where PyTorch is imported; OMP_NUM_THREADS; the
processors that the process may run on. Results do not depend on it. It is the most that a call may use: work that one
thread finishes in the time it takes to wake another stays on one thread, which each backend decides, knowing its own
cost.
"""

from __future__ import annotations

import operator
import os
import sys

_override: int | None = None
_forked = False


def _after_fork() -> None:
    """OpenMP pools do not survive a fork: a child that used one would wait for threads that are gone."""
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _count_in_environment() -> int | None:
    # OpenMP allows a list, one entry for each nesting level; the first is ours.
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(first) if first.isascii() and first.isdigit() and int(first) > 0 else None


def _default() -> int:
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return max(1, os.cpu_count() or 1)


# Read once, as OpenMP itself does.
_from_environment = _count_in_environment()
_count = _from_environment or _default()


def set_num_threads(n_threads: int | None) -> None:
    """Set how many threads the CPU backends use in this process, whatever PyTorch or the environment says.

    Parameters
    ----------
    n_threads : int or None
        At least 1; None returns to the default: `torch.get_num_threads()` where PyTorch is imported, else
        OMP_NUM_THREADS, else the number of processors that this process may run on.

    Raises
    ------
    TypeError, ValueError
        If it is not an integer of at least 1. A forked child always runs with one thread, whatever is set.
    """
    global _override
    if n_threads is None:
        _override = None
        return
    if isinstance(n_threads, bool):
        raise TypeError(
            f"set_num_threads: n_threads={n_threads!r} is a bool; it must be an integer of at least 1, or None"
        )
    try:
        count = operator.index(n_threads)
    except TypeError:
        raise TypeError(
            f"set_num_threads: n_threads={n_threads!r} is a {type(n_threads).__name__}; "
            "it must be an integer of at least 1, or None"
        ) from None
    if count < 1:
        raise ValueError(f"set_num_threads: n_threads={count}; it must be at least 1, or None")
    _override = count


def get_num_threads() -> int:
    """How many threads a large enough call of the calling thread would use now."""
    if _forked:
        return 1
    if _override is not None:
        return _override
    # PyTorch may be half imported by another thread, hence the default.
    count = getattr(sys.modules.get("torch"), "get_num_threads", None)
    return _count if count is None else int(count())


def source() -> str:
    """Where the count of `get_num_threads` comes from, in words."""
    if _forked:
        return "being a forked process"
    if _override is not None:
        return "set_num_threads"
    if getattr(sys.modules.get("torch"), "get_num_threads", None) is not None:
        return "torch.get_num_threads"
    return "OMP_NUM_THREADS" if _from_environment else "the CPU affinity"
