"""The measurement of a case: all are checked, those that are right take turns, and the rows are filled in."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from sparsefast.bench.contender import thread_limit
from sparsefast.bench.harness import Entry, nested, paired_ratio, summarise, take_turns, timed
from sparsefast.bench.ksvd.case import Case, Given
from sparsefast.bench.ksvd.check import Updated, Verdict
from sparsefast.bench.ksvd.contender import Bound, Contender
from sparsefast.bench.ksvd.variant import Variant
from sparsefast.bench.machine import Limit

MOST_ROUNDS, FEWEST_ROUNDS = 31, 5
SLOW_ROUNDS = 2
"""The turns of whoever takes longer than all the time of a contender for a single call."""


@dataclass
class Row:
    """One line of the table: a contender at some number of threads."""

    contender: str
    version: str
    ours: bool
    threads: int
    note: str
    wrong: str | None = None
    known_fault: str = ""
    """What was known before to be wrong with it, so that being wrong does not fail the command."""
    figures: dict[str, float] = field(default_factory=dict)
    """What the check found out: ||R|| / ||X|| `before` and `after`."""
    seconds: list[float] = field(default_factory=list)
    time: dict[str, float] | None = None
    """Median, q1 and q3 of the seconds of a call."""
    flops_per_second: float | None = None
    bytes_per_second: float | None = None
    """Of those that must move, at the median."""
    fraction_of_limit: float | None = None
    limit: str = ""
    times: dict[str, dict[str, float]] = field(default_factory=dict)
    """For each peer: how many times its rate (median, q1, q3 over the turns)."""
    scaling: float | None = None
    """Times its own rate at the fewest threads."""


@dataclass
class Result:
    """A variant on a case, and its rows."""

    variant: Variant
    case: Case
    n_entries: int
    flops: int
    bytes: int
    rows: list[Row]
    limits: list[Limit]

    def as_dict(self) -> dict[str, Any]:
        head = {"variant": self.variant.name, **asdict(self.case), "n_features": self.case.n_features}
        costs = {"n_entries": self.n_entries, "flops": self.flops, "bytes": self.bytes, "goal": self.variant.goal}
        return {**head, **costs, "rows": [asdict(row) for row in self.rows]}


@dataclass
class Runner:
    """A contender that was checked, its row, and its entry in the turns if it was right."""

    row: Row
    entry: Entry | None = None
    again: Callable[[], Verdict] | None = None
    """Call it once more and look at the result."""
    bound: Bound | None = None


def prepare(given: Given, variant: Variant, who: Contender, threads: int) -> Runner:
    """Call a contender on memory that is likely poisoned, and check its result."""
    row = Row(who.name, who.version, who.ours, threads, who.note, known_fault=who.fault)
    runner = Runner(row)
    try:
        bound = who.bind(given)
        limit = functools.partial(thread_limit, threads)
        around = functools.partial(nested, limit, who.around, functools.partial(_readied, bound))
        with around():
            poison(who.decode(bound.call(), given))
        again = functools.partial(_looked_at, given, variant, who, bound, around)
        verdict = again()
    except Exception as error:  # a peer may fail in any way it likes; the others still have their say
        row.wrong = f"it raised {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        return runner
    row.wrong, row.figures = verdict.wrong, verdict.figures
    if row.wrong is None:
        runner.again, runner.bound = again, bound
        runner.entry = Entry(f"{who.name}/{threads}", bound.call, 1, around)
    return runner


@contextlib.contextmanager
def _readied(bound: Bound) -> Iterator[None]:
    bound.ready()
    yield


def _looked_at(
    given: Given, variant: Variant, who: Contender, bound: Bound, around: Callable[[], AbstractContextManager[Any]]
) -> Verdict:
    with around():
        result = bound.call()
    return variant.check(given, who.decode(result, given))


def poison(result: Any) -> None:
    """Overwrite a result, whose memory the next call is likely to get: what that leaves out shows."""
    parts = (result.dictionary, result.coefficients, result.errors) if isinstance(result, Updated) else result
    for part in parts if isinstance(parts, tuple) else (parts,):
        if isinstance(part, np.ndarray):
            part.fill(np.nan)


def measure(
    given: Given, variant: Variant, contenders: Sequence[Contender], limits: Sequence[Limit], seconds: float = 1.0
) -> Result:
    """Check every contender, then time those that are right, in turns, at each number of threads.

    Parameters
    ----------
    given, variant, contenders : what to measure, and whom.
    limits : the machine's ceilings, one for each number of threads to measure.
    seconds : about how long one contender at one number of threads is timed; at least five calls, and two of those who
        take longer than that for one.
    """
    runners = [prepare(given, variant, who, limit.threads) for limit in limits for who in contenders]
    entries = [runner.entry for runner in runners if runner.entry is not None]
    fast, total = [], 0.0
    for entry in entries:
        with entry.around():
            once = timed(entry.call)[0]
        if once <= seconds:
            fast.append(entry)
            total += once
    take_turns(entries, SLOW_ROUNDS)
    wanted = seconds * len(fast) / total if total else 0
    take_turns(fast, int(min(MOST_ROUNDS, max(FEWEST_ROUNDS, wanted))) - SLOW_ROUNDS)
    for runner in runners:
        # A race or a stale buffer may show only after many calls.
        if runner.entry is not None and runner.again is not None:
            wrong = runner.again().wrong
            if wrong is not None:
                runner.row.wrong = f"after {len(runner.entry.seconds)} calls, {wrong}"
    costs = variant.flops(given), variant.bytes(given, np.dtype(given.dtype).itemsize)
    rows = [runner.row for runner in runners]
    result = Result(variant, given.case, given.n_entries, *costs, rows, list(limits))
    _fill(result, runners)
    return result


def _fill(result: Result, runners: Sequence[Runner]) -> None:
    limits = {limit.threads: limit for limit in result.limits}
    right = [(r.row, r.entry) for r in runners if r.entry is not None and r.row.wrong is None]
    base = {row.contender: entry for row, entry in right if row.threads == min(limits)}
    for row, entry in right:
        row.seconds = entry.seconds
        time = summarise(entry.seconds)
        row.time = asdict(time)
        row.flops_per_second, row.bytes_per_second = result.flops / time.median, result.bytes / time.median
        least, row.limit = limits[row.threads].seconds(result.flops, result.bytes)
        row.fraction_of_limit = least / time.median
        for other, theirs in right:
            if other is not row and not other.ours and other.threads == row.threads:
                row.times[other.contender] = asdict(ratio(entry, theirs))
        if row.threads != min(limits) and row.contender in base:
            row.scaling = ratio(entry, base[row.contender]).median


def ratio(a: Entry, b: Entry) -> Any:
    """How many times the rate of `b` the rate of `a` is, over the turns that both took: the first ones."""
    n = min(len(a.seconds), len(b.seconds))
    return paired_ratio(replace(a, seconds=a.seconds[:n]), replace(b, seconds=b.seconds[:n]))
