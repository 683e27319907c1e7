"""pytest-benchmark over the variants, cases and contenders of `sparsefast bench omp`.

    pytest benchmarks/bench_omp.py --benchmark-enable -k "omp-C1 and cpu"

Timing is per contender here, not in turns: for ratios use `sparsefast bench omp`. One thread; a result that is wrong
fails instead of getting a speed, unless the fault is known: then it is an expected failure.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from sparsefast.bench.cli import QUIET

# Before any OpenMP runtime is loaded; see sparsefast.bench.cli.
os.environ.update(QUIET)

import pytest

from sparsefast.bench import contender, machine, measure
from sparsefast.bench.variants import VARIANTS

SECONDS = 0.2
if core := machine.openblas_core():
    os.environ.setdefault("OPENBLAS_CORETYPE", core)


def _rows() -> Iterator[Any]:
    """(variant, case, contender) for each row of the tables; whoever is absent is skipped once for each variant."""
    for variant in VARIANTS.values():
        us, absent_us = contender.ours(variant, ["cpu", "numba"], [])
        them, absent_them = contender.theirs(variant, list(variant.peers))
        for case in variant.cases:
            for who in [*us, *them]:
                yield pytest.param(variant, case, who, id=f"{variant.name}-{case.name}-{who.name.replace(' ', '-')}")
        for name, why in [*absent_us, *absent_them]:
            mark = pytest.mark.skip(reason=f"{name}: {why}")
            yield pytest.param(variant, None, None, id=f"{variant.name}-{name.replace(' ', '-')}", marks=mark)


@pytest.mark.benchmark(group="omp")
@pytest.mark.parametrize(("variant", "case", "who"), list(_rows()))
def test_omp(benchmark, variant, case, who):
    bench = measure.Bench(variant, case)
    runner = bench.prepare(who, threads=1, seconds=SECONDS)
    if who.fault and runner.row.wrong is not None:
        pytest.xfail(f"{who.fault}: {runner.row.wrong}")
    assert runner.row.wrong is None, runner.row.wrong
    bench.fill_residuals([runner])
    benchmark.group = f"{variant.name} {case.name}"
    benchmark.extra_info.update(
        n_signals=runner.row.n_signals,
        flops_per_signal=variant.flops(case),
        bytes_per_signal=variant.bytes(case, 4),
        residual=runner.row.residual,
        atoms=runner.row.atoms,
        version=who.version,
    )
    with runner.entry.around():
        benchmark.pedantic(runner.entry.call, rounds=measure.ROUNDS, iterations=1)
