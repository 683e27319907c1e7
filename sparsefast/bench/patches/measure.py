"""The measurement of a batch: all are checked, those that are right take turns, and the rows are filled in."""

from __future__ import annotations

import contextlib
import functools
import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from sparsefast.bench import machine
from sparsefast.bench.contender import thread_limit
from sparsefast.bench.harness import Entry, nested, paired_ratio, summarise, take_turns, timed
from sparsefast.bench.machine import Limit
from sparsefast.bench.patches.case import Case
from sparsefast.bench.patches.check import Checker
from sparsefast.bench.patches.contender import Contender
from sparsefast.bench.patches.given import Given
from sparsefast.bench.patches.variant import Variant
from sparsefast.bench.patches.window import window

MOST_ROUNDS, FEWEST_ROUNDS = 31, 5


@dataclass
class Row:
    """One line of the table: a contender on one batch, at some number of threads or on a device."""

    contender: str
    version: str
    ours: bool
    threads: int
    """0 on a GPU."""
    n_images: int
    note: str
    wrong: str | None = None
    seconds: list[float] = field(default_factory=list)
    rate: dict[str, float] | None = None
    """Median, q1 and q3 of the images a second."""
    bytes_per_second: float | None = None
    """Of those that must move, at the median."""
    fraction_of_limit: float | None = None
    """Of the bytes a second that a large copy reads and writes."""
    times: dict[str, dict[str, float]] = field(default_factory=dict)
    """For each other contender that is not ours, on a GPU for each: how many times its rate."""
    scaling: dict[str, float] | None = None
    """Times its own rate at the fewest threads, the same of the copy, and the quotient."""
    graph_seconds: list[float] = field(default_factory=list)
    """On a GPU, of the same work replayed as a CUDA graph. Ours alone."""
    graph_rate: dict[str, float] | None = None
    graph_error: str | None = None
    memory_bytes: int | None = None
    """On a GPU: what a call allocates at its peak, its output too."""


@dataclass
class Result:
    """A variant on a batch of a case in one layout, and its rows."""

    variant: Variant
    layout: str
    case: Case
    n_images: int
    bytes: int
    """That must move for an image."""
    rows: list[Row]
    limits: list[Limit]
    """The ceilings, raised to the best copy met in the turns."""

    def as_dict(self) -> dict[str, Any]:
        head = {"variant": self.variant.name, "layout": self.layout, **asdict(self.case), "n_images": self.n_images}
        sizes = {"n_patches": self.case.n_patches, "bytes_per_image": self.bytes}
        parts = {"rows": [asdict(row) for row in self.rows], "limits": [asdict(limit) for limit in self.limits]}
        return {**head, **sizes, **parts}


@dataclass
class Runner:
    """A contender that was checked, its row, and its entry in the turns if it was right."""

    contender: Contender
    row: Row
    entry: Entry | None = None
    again: Callable[[], str | None] | None = None
    """Call it once more and say what is wrong now, if anything."""


class Bench:
    """A batch of a case in one layout, and the check of what is made of it."""

    def __init__(self, given: Given) -> None:
        self.given, self.checker = given, Checker(given)

    def prepare(
        self, variant: Variant, who: Contender, threads: int, around: Callable[[], AbstractContextManager[Any]]
    ) -> Runner:
        """Call a contender on memory that is likely poisoned, and check its result."""
        n = min(self.given.n_images, who.most or self.given.n_images)
        row = Row(who.name, who.version, who.ours, threads, n, who.note)
        if n < self.given.n_images:
            row.note = "; ".join(filter(None, [who.note, f"timed on {n} of {self.given.n_images} images"]))
        runner = Runner(who, row)
        try:
            with around():
                call = who.bind(self.given)
                poison(call())
            runner.again = functools.partial(self._checked, variant, who, call, around, n)
            row.wrong = runner.again()
        except Exception as error:  # a peer may fail in any way it likes; the others still have their say
            row.wrong, runner.again = f"it raised {type(error).__name__}: {' '.join(str(error).split())[:200]}", None
        if row.wrong is None:
            runner.entry = Entry(f"{who.name}/{threads}", call, n, around)
        return runner

    def _checked(
        self,
        variant: Variant,
        who: Contender,
        call: Callable[[], Any],
        around: Callable[[], AbstractContextManager[Any]],
        n: int,
    ) -> str | None:
        with around():
            result = who.decode(call(), self.given)
        if variant.op == "unfold":
            return self.checker.unfold(result, n)
        weights = None if variant.weights == "uniform" else window(self.given.case, variant.weights)
        mean = variant.normalize and not who.sums
        return self.checker.fold(result, n, weights, mean, who.uncovered)

    def result(self, variant: Variant, runners: Sequence[Runner], limits: Sequence[Limit]) -> Result:
        """The rows of runners that have had their turns and their last check."""
        given = self.given
        cost = given.case.bytes(np.dtype(given.dtype).itemsize)
        right = [runner for runner in runners if runner.entry is not None and runner.row.wrong is None]
        bandwidths = {limit.threads: limit.bandwidth for limit in limits}
        for runner in right:
            row, entry = runner.row, runner.entry
            assert entry is not None
            row.seconds = entry.seconds
            rate = summarise(entry.rates)
            row.rate = asdict(rate)
            row.bytes_per_second = rate.median * cost
            row.fraction_of_limit = row.bytes_per_second / bandwidths[row.threads]
            others = [r for r in right if r is not runner and r.row.threads == row.threads]
            for other in others:
                if other.entry is not None and (row.threads == 0 or not other.row.ours):
                    row.times[other.row.contender] = asdict(paired_ratio(entry, other.entry))
        return Result(variant, given.layout, given.case, given.n_images, cost, [r.row for r in runners], list(limits))


def measure(
    bench: Bench, variant: Variant, contenders: Sequence[Contender], limits: Sequence[Limit], seconds: float = 1.0
) -> Result:
    """Check every contender, then time those that are right, in turns, at each number of threads.

    Parameters
    ----------
    bench, variant, contenders : what to measure, and whom.
    limits : the machine's ceilings, one for each number of threads to measure.
    seconds : about how long one contender at one number of threads is timed; at least five calls.
    """
    runners = []
    for limit in limits:
        for who in contenders:
            threads, ready = functools.partial(thread_limit, limit.threads), functools.partial(_readied, who)
            around = functools.partial(nested, threads, who.around, ready)
            runners.append(bench.prepare(variant, who, limit.threads, around))
    entries = [runner.entry for runner in runners if runner.entry is not None]
    once = []
    for entry in entries:
        with entry.around():
            once.append(timed(entry.call)[0])
    copies = _copies(limits)
    take_turns([*entries, *copies.values()], rounds(once, seconds))
    check_again(runners)
    raised = [replace(limit, bandwidth=max(limit.bandwidth, *copies[limit.threads].rates)) for limit in limits]
    result = bench.result(variant, runners, raised)
    _scaling(runners, copies)
    return result


@contextlib.contextmanager
def _readied(who: Contender) -> Iterator[None]:
    ready(who)
    yield


def ready(who: Contender) -> None:
    """What is done before each call, before the clock starts: none of its data are in a cache, whoever ran before."""
    who.before()
    _large(machine.COPY_BYTES).sum()


@functools.cache
def _large(n_bytes: int) -> np.ndarray:
    return np.ones(n_bytes // 8)


def rounds(once: Sequence[float], seconds: float) -> int:
    """How many turns there are, from what each contender's call takes and the time that each should have."""
    total = sum(once)
    return int(min(MOST_ROUNDS, max(FEWEST_ROUNDS, seconds * len(once) / total if total else 0)))


def check_again(runners: Sequence[Runner]) -> None:
    """A race or a stale buffer may show only after many calls."""
    for runner in runners:
        if runner.entry is None or runner.again is None:
            continue
        wrong = runner.again()
        if wrong is not None:
            runner.row.wrong = f"after {len(runner.entry.seconds)} calls, {wrong}"


def poison(result: Any) -> None:
    """Overwrite a result, whose memory the next call is likely to get: what that leaves out shows."""
    for part in result if isinstance(result, list) else [result]:
        if isinstance(part, np.ndarray):
            part.fill(np.nan)
        elif (torch := sys.modules.get("torch")) is not None and isinstance(part, torch.Tensor):
            part.fill_(float("nan"))


def _copies(limits: Sequence[Limit]) -> dict[int, Entry]:
    """A copy of a large array at each number of threads, to take its turns with the contenders."""
    torch = importlib.import_module("torch")
    source, target = torch.ones(machine.COPY_BYTES // 8), torch.zeros(machine.COPY_BYTES // 8)
    moved = 2 * source.numel() * source.element_size()
    return {
        limit.threads: Entry(
            "copy", lambda: target.copy_(source), moved, functools.partial(thread_limit, limit.threads)
        )
        for limit in limits
    }


def _scaling(runners: Sequence[Runner], copies: dict[int, Entry]) -> None:
    fewest = min(copies)
    base = {r.contender.name: r.entry for r in runners if r.row.threads == fewest and r.row.rate is not None}
    for runner in runners:
        row, entry = runner.row, runner.entry
        first = base.get(row.contender)
        if row.threads == fewest or row.rate is None or entry is None or first is None:
            continue
        own, copy = paired_ratio(entry, first).median, paired_ratio(copies[row.threads], copies[fewest]).median
        row.scaling = {"own": own, "copy": copy, "of_copy": own / copy}
