"""A case at several batch sizes on one device: all are checked in float64, those that are right are timed in turns."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from sparsefast.bench.case import Case, Problem, problem
from sparsefast.bench.checks import Checker, Code
from sparsefast.bench.contender import Contender
from sparsefast.bench.gpu.device import Stopwatch
from sparsefast.bench.harness import Entry, paired_ratio, summarise
from sparsefast.bench.machine import Limit
from sparsefast.bench.variant import Variant

BATCHES = (1 << 10, 1 << 14)  # beside all signals of a case
MOST_ROUNDS, FEWEST_ROUNDS = 31, 5
WARM_UP = 2
RESIDUAL_SIGNALS = 4096
INDEX_BYTES = 8  # PyTorch indexes with int64, and so our codes hold them; the variants count int32


@dataclass
class Row:
    """One line of the table: a contender on one batch."""

    contender: str
    version: str
    ours: bool
    note: str
    wrong: str | None = None
    residual: float | None = None
    atoms: float | None = None
    seconds: list[float] = field(default_factory=list)
    """From the call on an idle device to the end of its last kernel."""
    graph_seconds: list[float] = field(default_factory=list)
    """Of the same work replayed as a CUDA graph: without what launching costs the host. Ours alone."""
    graph_error: str | None = None
    rate: dict[str, float] | None = None
    """Median, q1 and q3 of the signals a second."""
    graph_rate: dict[str, float] | None = None
    of_product: float | None = None
    """FLOP/s over those of the best matrix product."""
    of_bandwidth: float | None = None
    """Bytes/s over those of a copy, counting what must move."""
    memory_bytes: int | None = None
    times: dict[str, dict[str, float]] = field(default_factory=dict)
    """For every other contender: how many times its rate (median, q1, q3 over the turns)."""


@dataclass
class Result:
    """A case of a variant at one batch size, and its rows."""

    variant: str
    case: Case
    n_signals: int
    flops: int
    bytes: int
    rows: list[Row]

    def as_dict(self) -> dict[str, Any]:
        costs = {"flops_per_signal": self.flops, "bytes_per_signal": self.bytes}
        head = {"variant": self.variant, **asdict(self.case), "n_features": self.case.n_features}
        return {**head, "n_signals": self.n_signals, **costs, "rows": [asdict(row) for row in self.rows]}


@dataclass
class Runner:
    """A contender that was right, its entry in the turns, and the first codes that it gave."""

    contender: Contender
    row: Row
    entry: Entry
    check: Callable[[], tuple[str | None, Code]]
    first: Code


def bytes_for_signal(variant: Variant, case: Case, dtype: str) -> int:
    """Bytes that must move for a signal, with the width that indices have in PyTorch."""
    width = 1 if case.codebook else case.n_nonzero
    return variant.bytes(case, np.dtype(dtype).itemsize) + width * (INDEX_BYTES - 4)


def on_device(given: Problem, watch: Stopwatch) -> Problem:
    """The same problem in tensors on the device."""
    torch = watch.torch
    arrays = {name: getattr(given, name) for name in ("signals", "dictionary", "mask")}
    tensors = {name: torch.from_numpy(a).to(watch.device) for name, a in arrays.items() if a is not None}
    return replace(given, **tensors)


def ours(
    variant: Variant, backends: Sequence[str], dtype: str, device: str = "cuda"
) -> tuple[list[Contender], list[tuple[str, str]]]:
    """Our contenders on that type of device, and those that are absent, with the reason."""
    from sparsefast import dispatch

    found, absent = [], []
    for name in backends:
        reason: str | None = "the op is not there"
        if variant.name in dispatch.op_names():
            reason = dispatch.why_not(variant.name, name, device, dtype)
        if reason is not None:
            absent.append((f"sparsefast {name}", reason))
            continue
        found.append(_ours(variant, f"sparsefast {name}", name, prepared=False))
        if variant.prepared:
            found.append(_ours(variant, f"sparsefast {name} prepared", name, prepared=True))
    return found, absent


def _ours(variant: Variant, name: str, backend: str, prepared: bool) -> Contender:
    import sparsefast

    def bind(given: Problem, threads: int) -> Callable[[], Any]:
        dictionary = sparsefast.prepare(given.dictionary) if prepared else given.dictionary
        return lambda: variant.call(given, dictionary, backend=backend)

    def decode(result: Any, given: Problem) -> Code:
        code = variant.decode(result, given)
        return Code(*(_numpy(part) for part in (code.indices, code.values, code.counts)))

    note = "prepared before the clock started" if prepared else ""
    return Contender(name, sparsefast.__version__, bind, decode, ours=True, note=note)


def _numpy(part: Any) -> Any:
    return part.detach().cpu().numpy() if hasattr(part, "detach") else np.asarray(part)


class Bench:
    """The data of a case, on the host and on the device, and the check of its results."""

    def __init__(self, variant: Variant, case: Case, watch: Stopwatch, dtype: str = "float32") -> None:
        self.variant, self.case, self.watch, self.dtype = variant, case, watch, dtype
        host = problem(case, dtype)
        self.checker: Checker = variant.checker(host)
        self.given = on_device(host, watch)

    def measure(self, n_signals: int, contenders: Sequence[Contender], limit: Limit, seconds: float) -> Result:
        """Check every contender on the first n_signals, then time those that are right, for about `seconds` each."""
        n_signals = min(n_signals, len(self.given.signals))
        found = [self._prepare(who, n_signals) for who in contenders]
        runners = [runner for runner in found if isinstance(runner, Runner)]
        self._take_turns(runners, seconds)
        for runner in runners:
            # A race or a stale buffer may show only after many calls.
            wrong, _ = runner.check()
            if wrong is not None:
                runner.row.wrong = f"after {len(runner.entry.seconds)} calls, {wrong}"
        rows = [r.row if isinstance(r, Runner) else r for r in found]
        costs = self.variant.flops(self.case), bytes_for_signal(self.variant, self.case, self.dtype)
        result = Result(self.variant.name, self.case, n_signals, *costs, rows)
        right = [runner for runner in runners if runner.row.wrong is None]
        self._fill(result, right, limit)
        for runner in right:
            self._beside_the_turns(runner)
        self.watch.empty_cache()
        return result

    def _prepare(self, who: Contender, n_signals: int) -> Runner | Row:
        row = Row(who.name, who.version, who.ours, who.note)
        part = self.given.first(n_signals)
        try:
            self.watch.empty_cache()
            call = who.bind(part, 0)
            poison(call())
            check = functools.partial(self._check, who, call, part, n_signals)
            row.wrong, first = check()
        except Exception as error:  # a contender may fail in any way it likes; the others still have their say
            row.wrong = f"it raised {type(error).__name__}: {' '.join(str(error).split())[:200]}"
            return row
        if row.wrong is not None:
            return row
        return Runner(who, row, Entry(who.name, call, n_signals), check, first)

    def _check(self, who: Contender, call: Callable[[], Any], part: Problem, n_signals: int) -> tuple[str | None, Code]:
        code = who.decode(call(), part)
        kept = slice(RESIDUAL_SIGNALS)
        first = Code(*(np.array(array[kept]) for array in (code.indices, code.values, code.counts)))
        return self.checker.check(code, n_signals, who.terms), first

    def _take_turns(self, runners: Sequence[Runner], seconds: float) -> None:
        """A B C A B C ..., with fewer rounds where they take long."""
        once = 0.0
        for runner in runners:
            for _ in range(WARM_UP):
                last = self.watch.seconds(runner.entry.call)
            once += last
        wanted = seconds * len(runners) / once if once else 0
        for _ in range(int(min(MOST_ROUNDS, max(FEWEST_ROUNDS, wanted)))):
            for runner in runners:
                runner.entry.seconds.append(self.watch.seconds(runner.entry.call))

    def _beside_the_turns(self, runner: Runner) -> None:
        """Memory, and for ours the time as a graph, after everything else: a capture that fails may spoil the rest."""
        row, entry = runner.row, runner.entry
        row.memory_bytes = self.watch.memory(entry.call)
        if not runner.contender.ours:
            return
        try:
            replay = self.watch.graphed(entry.call)
            if replay is not None:
                self.watch.seconds(replay)
                row.graph_seconds = [self.watch.seconds(replay) for _ in entry.seconds]
                row.graph_rate = asdict(summarise([entry.amount / s for s in row.graph_seconds]))
        except Exception as error:
            row.graph_error = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"

    def _fill(self, result: Result, runners: Sequence[Runner], limit: Limit) -> None:
        common = min((len(runner.first.counts) for runner in runners), default=0)
        for runner in runners:
            row, entry = runner.row, runner.entry
            row.residual = float(self.checker.residuals(runner.first, common).mean())
            row.atoms = float(runner.first.counts[:common].mean())
            row.seconds = entry.seconds
            rate = summarise(entry.rates)
            row.rate = asdict(rate)
            row.of_product = rate.median * result.flops / limit.flops
            row.of_bandwidth = rate.median * result.bytes / limit.bandwidth
            row.times = {
                other.row.contender: asdict(paired_ratio(entry, other.entry))
                for other in runners
                if other is not runner
            }


def poison(result: Any) -> None:
    """Overwrite the tensors of a result, whose memory the next call is likely to get: what it leaves out shows."""
    torch: Any = importlib.import_module("torch")
    names = ("values", "indices", "counts", "status")
    parts = result if isinstance(result, tuple) else [getattr(result, name, None) for name in names]
    for part in parts:
        if isinstance(part, torch.Tensor):
            part.detach().fill_(float("nan") if part.is_floating_point() else 77)
