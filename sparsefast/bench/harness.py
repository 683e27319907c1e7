"""Timing in turns: A B C A B C ..., so that a slow minute of a shared machine falls on everybody.

A ratio of two contenders is the median of their ratios within one turn: steadier than the ratio of two medians.
The result of a call is kept until the clock has stopped, so that nobody pays for freeing it.
"""

from __future__ import annotations

import contextlib
import gc
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

Clock = Callable[[], float]


@dataclass
class Entry:
    """One contender in the turns: what is called, how much work a call does, and the setting it is called in."""

    name: str
    call: Callable[[], Any]
    amount: float = 1.0
    around: Callable[[], AbstractContextManager[Any]] = contextlib.nullcontext
    seconds: list[float] = field(default_factory=list)

    @property
    def rates(self) -> list[float]:
        return [self.amount / s for s in self.seconds]


@dataclass(frozen=True)
class Summary:
    """Median and quartiles of repeated measurements."""

    median: float
    q1: float
    q3: float

    @property
    def iqr(self) -> float:
        """Distance of the quartiles as a fraction of the median."""
        return (self.q3 - self.q1) / self.median if self.median else math.nan


def summarise(values: Sequence[float]) -> Summary:
    """Median and quartiles; one value is its own quartile."""
    if not values:
        raise ValueError("summarise: no values")
    if len(values) == 1:
        return Summary(values[0], values[0], values[0])
    q1, median, q3 = statistics.quantiles(values, n=4, method="inclusive")
    return Summary(median, q1, q3)


def timed(call: Callable[[], Any], clock: Clock = time.perf_counter) -> tuple[float, Any]:
    """Seconds of one call, and its result. The garbage collector waits, as in timeit."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        start = clock()
        result = call()
        return clock() - start, result
    finally:
        if collecting:
            gc.enable()


def take_turns(entries: Sequence[Entry], rounds: int, clock: Clock = time.perf_counter) -> None:
    """Call every entry once a round and append to its `seconds`. Warm-up is the caller's."""
    for _ in range(rounds):
        for entry in entries:
            with entry.around():
                seconds, result = timed(entry.call, clock)
            del result
            # A clock that did not move would give an infinite rate; its resolution is the honest bound.
            entry.seconds.append(max(seconds, 1e-9))


def paired_ratio(a: Entry, b: Entry) -> Summary:
    """How many times the rate of `b` the rate of `a` is, turn by turn."""
    if len(a.seconds) != len(b.seconds):
        raise ValueError(f"paired_ratio: {a.name} has {len(a.seconds)} turns and {b.name} {len(b.seconds)}")
    return summarise([x / y for x, y in zip(a.rates, b.rates, strict=True)])


def calibrate(
    make: Callable[[int], Callable[[], Any]],
    seconds: float,
    most: int,
    least: int = 16,
    clock: Clock = time.perf_counter,
) -> int:
    """How many signals make one call last about `seconds`: between `least` and `most`, measured by growing calls.

    `make(n)` gives the call for n signals; only that call is timed.
    """
    most = max(most, 1)
    n = min(least, most)
    make(n)()  # compiles, loads and touches; its time says nothing
    elapsed, _ = timed(make(n), clock)
    while elapsed < seconds / 4 and n < most:
        grow = 8.0 if elapsed <= 0 else min(8.0, max(2.0, seconds / 2 / elapsed))
        n = min(most, math.ceil(n * grow))
        elapsed, _ = timed(make(n), clock)
    wanted = n * seconds / max(elapsed, 1e-9)
    return int(min(most, max(min(least, most), wanted)))


@contextlib.contextmanager
def nested(*managers: Callable[[], AbstractContextManager[Any]]) -> Iterator[None]:
    """Enter several settings at once."""
    with contextlib.ExitStack() as stack:
        for manager in managers:
            stack.enter_context(manager())
        yield
