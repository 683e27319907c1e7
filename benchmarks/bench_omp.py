"""pytest-benchmark over the cases and contenders of `sparsefast bench omp`.

    pytest benchmarks/bench_omp.py --benchmark-enable -k "C1 and cpu"

Timing is per contender here, not in turns: for ratios use `sparsefast bench omp`. One thread; a result that is wrong
fails instead of getting a speed.
"""

from __future__ import annotations

import os

from sparsefast.bench.cli import QUIET

# Before any OpenMP runtime is loaded; see sparsefast.bench.cli.
os.environ.update(QUIET)

import pytest

from sparsefast.bench import contender, machine, measure, omp, peers

SECONDS = 0.2
if core := machine.openblas_core():
    os.environ.setdefault("OPENBLAS_CORETYPE", core)


def _contenders() -> list[object]:
    us, absent_us = contender.ours(["cpu", "numba"], [])
    them, absent_them = peers.find(list(peers.PEERS))
    present = [pytest.param(c, id=c.name.replace(" ", "-")) for c in [*us, *them]]
    skips = [(name, pytest.mark.skip(reason=f"{name}: {why}")) for name, why in [*absent_us, *absent_them]]
    return [*present, *(pytest.param(None, id=name.replace(" ", "-"), marks=mark) for name, mark in skips)]


@pytest.mark.benchmark(group="omp")
@pytest.mark.parametrize("case", omp.CASES.values(), ids=list(omp.CASES))
@pytest.mark.parametrize("who", _contenders())
def test_omp(benchmark, case, who):
    bench = measure.Bench(case)
    runner = bench.prepare(who, threads=1, seconds=SECONDS)
    assert runner.row.wrong is None, runner.row.wrong
    bench.fill_residuals([runner])
    benchmark.group = f"omp {case.name}"
    benchmark.extra_info.update(
        n_signals=runner.row.n_signals,
        flops_per_signal=case.flops(),
        bytes_per_signal=case.bytes(),
        residual=runner.row.residual,
        atoms=runner.row.atoms,
        version=who.version,
    )
    with runner.entry.around():
        benchmark.pedantic(runner.entry.call, rounds=measure.ROUNDS, iterations=1)
