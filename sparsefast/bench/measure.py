"""The measurement of a case: all are checked, those that are right are timed in turns, and the rows filled in."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsefast.bench import machine
from sparsefast.bench.case import Case, problem
from sparsefast.bench.checks import Code
from sparsefast.bench.contender import Contender, thread_limit
from sparsefast.bench.harness import Entry, calibrate, nested, paired_ratio, summarise, take_turns
from sparsefast.bench.variant import Variant

Array = NDArray[Any]
ROUNDS = 7
# What a compiling or slow contender gets first: enough for its rate, little enough for 500 signals a second.
FIRST_SIGNALS = 32
RESIDUAL_SIGNALS = 4096
PRODUCT_SECONDS = 0.05


@dataclass
class Row:
    """One line of the table: a contender at some number of threads."""

    case: str
    contender: str
    version: str
    ours: bool
    threads: int
    n_signals: int
    note: str
    wrong: str | None
    known_fault: str = ""
    """What was known before to be wrong with it, so that being wrong does not fail the command."""
    residual: float | None = None
    atoms: float | None = None
    seconds: list[float] = field(default_factory=list)
    rate: dict[str, float] | None = None
    """Median, q1 and q3 of the signals a second."""
    fraction_of_limit: float | None = None
    limit: str = ""
    times: dict[str, dict[str, float]] = field(default_factory=dict)
    """For each peer: how many times its rate (median, q1, q3 over the turns)."""
    scaling: dict[str, float] | None = None
    """Times its own rate at the fewest threads, the same of the matrix product, and the quotient."""


@dataclass
class Result:
    """A case of a variant and its rows."""

    variant: str
    case: Case
    flops: int
    bytes: int
    rows: list[Row]
    limits: list[machine.Limit]
    """The ceilings, raised to the best product met in the turns: a busy machine is not always equally slow."""

    def as_dict(self) -> dict[str, Any]:
        features = {"n_features": self.case.n_features}
        costs = {"flops_per_signal": self.flops, "bytes_per_signal": self.bytes}
        parts = {"rows": [asdict(row) for row in self.rows], "limits": [asdict(limit) for limit in self.limits]}
        return {"variant": self.variant, **asdict(self.case), **features, **costs, **parts}


@dataclass
class Runner:
    """A contender that was checked, and its entry in the turns if it was right."""

    contender: Contender
    threads: int
    row: Row
    entry: Entry | None = None
    again: Callable[[], str | None] | None = None
    """Call it once more and say what is wrong now, if anything."""
    first: Code | None = None
    """The codes of the first signals, for the residual."""


class Bench:
    """The data of a case and the check of its results."""

    def __init__(self, variant: Variant, case: Case, dtype: str = "float32") -> None:
        self.case = case
        self.problem = problem(case, dtype)
        self.checker = variant.checker(self.problem)

    def prepare(self, contender: Contender, threads: int, seconds: float) -> Runner:
        """Choose how many signals take about `seconds`, and check the contender's result on them."""
        around = functools.partial(nested, functools.partial(thread_limit, threads), contender.around)
        who = contender
        row = Row(self.case.name, who.name, who.version, who.ours, threads, 0, who.note, None, who.fault)
        runner = Runner(contender, threads, row)
        try:
            with around():
                row.n_signals = calibrate(
                    lambda n: self._call(contender, n, threads), seconds, len(self.problem.signals), FIRST_SIGNALS
                )
                call = self._call(contender, row.n_signals, threads)
            runner.again = functools.partial(self._checked, runner, call, around)
            row.wrong = runner.again()
        except Exception as error:  # a peer may fail in any way it likes; the others still have their say
            row.wrong, runner.again = f"it raised {type(error).__name__}: {' '.join(str(error).split())[:200]}", None
        if row.wrong is None:
            runner.entry = Entry(f"{contender.name}/{threads}", call, row.n_signals, around)
        return runner

    def fill_residuals(self, runners: Sequence[Runner]) -> None:
        """Mean ||r|| / ||x|| and number of atoms, over the same signals for everybody."""
        codes = [(r.row, r.first) for r in runners if r.first is not None and r.row.wrong is None]
        common = min((len(code.counts) for _, code in codes), default=0)
        for row, code in codes:
            row.residual = float(self.checker.residuals(code, common).mean())
            row.atoms = float(code.counts[:common].mean())

    def _call(self, contender: Contender, n: int, threads: int) -> Callable[[], Any]:
        return contender.bind(self.problem.first(n), threads)

    def _checked(self, runner: Runner, call: Callable[[], Any], around: Callable[[], Any]) -> str | None:
        with around():
            result = call()
        who = runner.contender
        code = who.decode(result, self.problem.first(runner.row.n_signals))
        wrong = self.checker.check(code, runner.row.n_signals, who.terms)
        if wrong is None:
            kept = slice(RESIDUAL_SIGNALS)
            runner.first = Code(*(np.array(part[kept]) for part in (code.indices, code.values, code.counts)))
        return wrong


def measure(
    variant: Variant,
    case: Case,
    contenders: Sequence[Contender],
    limits: Sequence[machine.Limit],
    seconds: float = 1.0,
    rounds: int = ROUNDS,
    dtype: str = "float32",
) -> Result:
    """Check every contender on one case, then time those that are right, in turns, at each number of threads.

    Parameters
    ----------
    variant, case, contenders : what to measure, and whom.
    limits : the machine's ceilings, one for each number of threads to measure.
    seconds : how long one contender at one number of threads is timed, all rounds together.
    """
    bench = Bench(variant, case, dtype)
    runners = [bench.prepare(who, limit.threads, seconds / rounds) for limit in limits for who in contenders]
    products = _product_entries(limits, dtype)
    take_turns([r.entry for r in runners if r.entry is not None] + list(products.values()), rounds)
    for runner in runners:
        # A race or a stale buffer may show only after many calls.
        if runner.entry is not None and runner.again is not None and (wrong := runner.again()) is not None:
            runner.row.wrong = f"after {rounds} calls, {wrong}"
    bench.fill_residuals(runners)
    raised = [_raised(limit, products) for limit in limits]
    rows = [runner.row for runner in runners]
    costs = variant.flops(case), variant.bytes(case, np.dtype(dtype).itemsize)
    result = Result(variant.name, case, *costs, rows, raised)
    _fill(result, runners, {limit.threads: limit for limit in raised}, products)
    return result


def _raised(limit: machine.Limit, products: dict[tuple[str, int], Entry]) -> machine.Limit:
    met = [rate for (_, threads), entry in products.items() if threads == limit.threads for rate in entry.rates]
    return replace(limit, flops=max(limit.flops, *met))


def _product_entries(limits: Sequence[machine.Limit], dtype: str) -> dict[tuple[str, int], Entry]:
    """A large product by each BLAS at each number of threads, about 50 ms, to take its turns with the contenders."""
    found = {}
    flops = 2 * machine.SIZES[-1] ** 3
    for limit in limits:
        times = max(1, round(PRODUCT_SECONDS * limit.flops / flops))
        around = functools.partial(thread_limit, limit.threads)
        for blas, call in machine.products(dtype, machine.SIZES[-1]).items():
            call = functools.partial(_repeat, call, times)
            found[blas, limit.threads] = Entry(f"{blas} product/{limit.threads}", call, times * flops, around)
            with around():
                call()
    return found


def _product_scaling(products: dict[tuple[str, int], Entry], threads: int, fewest: int) -> float:
    """How much faster a product gets; of several BLAS, the one that scales best."""
    names = {blas for blas, _ in products}
    return max(paired_ratio(products[blas, threads], products[blas, fewest]).median for blas in names)


def _repeat(call: Callable[[], Any], times: int) -> None:
    for _ in range(times):
        call()


def _fill(
    result: Result, runners: list[Runner], limits: dict[int, machine.Limit], products: dict[tuple[str, int], Entry]
) -> None:
    fewest = min(limits)
    base = {r.contender.name: r.entry for r in runners if r.threads == fewest and r.entry and not r.row.wrong}
    for runner in runners:
        row, entry = runner.row, runner.entry
        if row.wrong is not None or entry is None:
            continue
        row.seconds = entry.seconds
        rate = summarise(entry.rates)
        row.rate = asdict(rate)
        least, row.limit = limits[row.threads].seconds(result.flops, result.bytes)
        row.fraction_of_limit = rate.median * least
        for other in runners:
            if other is runner or other.row.ours or other.threads != row.threads:
                continue
            if other.entry is not None and other.row.wrong is None:
                row.times[other.contender.name] = asdict(paired_ratio(entry, other.entry))
        if row.threads != fewest and row.contender in base:
            own = paired_ratio(entry, base[row.contender]).median
            product = _product_scaling(products, row.threads, fewest)
            row.scaling = {"own": own, "sgemm": product, "of_sgemm": own / product}
