"""pytest-benchmark over the cases, variants and contenders of `sparsefast bench ksvd`, without learning as a whole.

    pytest benchmarks/bench_ksvd.py --benchmark-enable -k "approx-K1 and cpu"

Timing is per contender here, not in turns: for ratios use `sparsefast bench ksvd`. One thread; a result that is wrong
fails instead of getting a speed.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from typing import Any

from sparsefast.bench.cli import QUIET

# Before any OpenMP runtime is loaded; see sparsefast.bench.cli.
os.environ.update(QUIET)

import pytest

from sparsefast.bench.ksvd import contender, measure, peers
from sparsefast.bench.ksvd.case import CASES, Given
from sparsefast.bench.ksvd.variant import VARIANTS


def _rows() -> Iterator[Any]:
    """(case, variant, contender) for each row of the tables; whoever is absent is skipped once for each variant."""
    for case in CASES:
        for variant in VARIANTS.values():
            us, absent_us = contender.ours(variant, ["cpu", "numba"])
            them, absent_them = peers.theirs(variant)
            for who in [*us, *them]:
                name = f"{variant.name}-{case.name}-{who.name.replace(' ', '-')}"
                yield pytest.param(case, variant, who, id=name)
            for name, why in [*absent_us, *absent_them] if case is CASES[0] else []:
                mark = pytest.mark.skip(reason=f"{name}: {why}")
                yield pytest.param(case, variant, None, id=f"{variant.name}-{name}", marks=mark)


@functools.lru_cache(maxsize=1)
def _given(case):
    return Given(case)


@pytest.mark.benchmark(group="ksvd")
@pytest.mark.parametrize(("case", "variant", "who"), list(_rows()))
def test_ksvd(benchmark, case, variant, who):
    given = _given(case)
    runner = measure.prepare(given, variant, who, 1)
    if runner.row.wrong is not None and who.fault:
        pytest.xfail(who.fault)
    assert runner.row.wrong is None, runner.row.wrong
    benchmark.group = f"{variant.name} {case.name}"
    benchmark.extra_info.update(
        flops=variant.flops(given), bytes=variant.bytes(given, 4), version=who.version, note=runner.row.note
    )
    with runner.entry.around():
        benchmark.pedantic(
            runner.entry.call,
            setup=runner.bound.ready,
            rounds=measure.FEWEST_ROUNDS,
            iterations=1,
            warmup_rounds=1,
        )
