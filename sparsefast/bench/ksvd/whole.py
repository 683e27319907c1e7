"""Dictionary learning as a whole: coding and updates, from the same signals and the same dictionary, for several
lengths of a run, since a fast learner may be ahead early and behind late.

The error is measured in one way for everybody: the code by `omp` in the dictionary at the end, its atoms scaled to unit
norm, and ||R|| / ||X|| in float64. Rows of that code are checked as `bench omp` checks them. It is no part of the time.
"""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsefast.bench import data
from sparsefast.bench.case import Problem
from sparsefast.bench.checks import Code
from sparsefast.bench.checks.greedy import GreedyChecker
from sparsefast.bench.contender import thread_limit
from sparsefast.bench.harness import timed
from sparsefast.bench.ksvd.case import Case

Array = NDArray[Any]
CASE = Case("whole", (8, 8), False, 100_000, 256, 8)
QUICK = Case("whole-quick", (8, 8), False, 20_000, 256, 8)
TINY = Case("whole-tiny", (3, 4), False, 301, 17, 3)


@dataclass(frozen=True)
class Learner:
    """Somebody who learns dictionaries."""

    name: str
    version: str
    learn: Callable[[Array, Array, int, float], Any]
    """(signals (N, F), dictionary (K, F), n_nonzero, steps) -> the call, which returns a dictionary (K, F)."""
    steps: tuple[float, ...]
    """The lengths of its runs."""
    unit: str
    ours: bool = False
    repeats: int = 2
    note: str = ""


@dataclass
class Run:
    """A learner that ran so many steps."""

    learner: str
    version: str
    ours: bool
    steps: float
    unit: str
    note: str
    seconds: list[float] = field(default_factory=list)
    error: float | None = None
    wrong: str | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


@dataclass
class Whole:
    """All runs, and the error of the dictionary that they started from."""

    case: Case
    start: float
    runs: list[Run]

    @property
    def our_names(self) -> list[str]:
        return list(dict.fromkeys(run.learner for run in self.runs if run.ours))

    def ratio(self, run: Run, name: str) -> float | None:
        """How many times as fast as a run the learner of that name reaches its error or a lower one; None if none of
        its runs does."""
        if run.error is None:
            return None
        there = [r.median for r in self.runs if r.learner == name and r.error is not None and r.error <= run.error]
        return run.median / min(there) if there else None

    def best(self, learner: str) -> Run | None:
        """The run of that learner with the lowest error."""
        there = [run for run in self.runs if run.learner == learner and run.error is not None]
        return min(there, key=lambda run: run.error or 0.0, default=None)

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self.case), "start": self.start, "runs": [asdict(run) for run in self.runs]}


class Judge:
    """The error of a dictionary, and whether it is one."""

    def __init__(self, case: Case, dtype: str = "float32") -> None:
        self.case = case
        self.signals, self.dictionary = data.problem(case.patch, case.colour, case.n_atoms, case.n_signals, dtype)

    def error(self, dictionary: Array) -> tuple[float | None, str | None]:
        """||R|| / ||X||, and what is wrong with the dictionary, if anything."""
        import sparsefast

        if dictionary.shape != self.dictionary.shape:
            return None, f"a dictionary of shape {dictionary.shape}, not {self.dictionary.shape}"
        norms = np.linalg.norm(dictionary.astype(np.float64), axis=1, keepdims=True)
        # Norms of at most 1 are some learners' constraint.
        if not (np.isfinite(norms).all() and norms.min() > 0 and norms.max() < 1 + 1e-4):
            return None, f"atoms have norms from {norms.min():.4g} to {norms.max():.6g}"
        unit = np.ascontiguousarray(dictionary / norms, dtype=self.signals.dtype)
        code = sparsefast.omp(self.signals, unit, self.case.n_nonzero)
        problem = Problem(self.signals, unit, self.case.n_nonzero)
        read = Code(code.indices, code.values, code.counts)
        if (wrong := GreedyChecker(problem).check(read, len(self.signals))) is not None:
            return None, f"the code by which it is judged is wrong: {wrong}"
        r = self.signals.astype(np.float64)
        energy = np.linalg.norm(r)
        wide = unit.astype(np.float64)
        for s in range(self.case.n_nonzero):
            r -= np.where(s < code.counts, code.values[:, s], 0)[:, None] * wide[code.indices[:, s]]
        return float(np.linalg.norm(r) / energy), None


WARM = 4
"""Signals for each atom of the call that compiles and loads."""


def measure(judge: Judge, learners: Sequence[Learner]) -> Whole:
    """Run every learner for all its lengths, in turns as far as it repeats them, on one thread."""
    case = judge.case
    start, wrong = judge.error(judge.dictionary)
    if start is None:
        raise RuntimeError(f"the dictionary at the start: {wrong}")
    whole = Whole(case, start, [])
    calls = []
    for who in learners:
        _warm(judge, who)
        for steps in who.steps:
            run = Run(who.name, who.version, who.ours, steps, who.unit, who.note)
            whole.runs.append(run)
            calls.append((run, who, who.learn(judge.signals, judge.dictionary, case.n_nonzero, steps)))
    for turn in range(max((who.repeats for who in learners), default=0)):
        for run, who, call in calls:
            if turn >= who.repeats or run.wrong is not None:
                continue
            _once(judge, whole, run, call)
    return whole


def _warm(judge: Judge, who: Learner) -> None:
    signals = judge.signals[: WARM * len(judge.dictionary)]
    # What it may raise here it raises again when it is measured, and is heard then.
    with contextlib.suppress(Exception), thread_limit(1):
        who.learn(signals, judge.dictionary, judge.case.n_nonzero, min(1, *who.steps))()


def _once(judge: Judge, whole: Whole, run: Run, call: Callable[[], Any]) -> None:
    try:
        with thread_limit(1):
            seconds, dictionary = timed(call)
        error, run.wrong = judge.error(np.asarray(dictionary))
    except Exception as failure:  # a peer may fail in any way it likes; the others still have their say
        error, run.wrong = None, f"it raised {type(failure).__name__}: {' '.join(str(failure).split())[:200]}"
    if error is not None and not error < whole.start:
        run.wrong = f"it has learned nothing: error {error:.4f}, {whole.start:.4f} at the start"
    if run.wrong is not None:
        run.seconds, run.error = [], None
        return
    run.seconds.append(seconds)
    # A learner that draws at random may end differently each time: the worst counts.
    run.error = error if run.error is None or error is None else max(run.error, error)
