"""pytest-benchmark over the cases, variants and contenders of `sparsefast bench patches`.

    pytest benchmarks/bench_patches.py --benchmark-enable -k "fold-columns-p8-s4 and cpu"

Timing is per contender here, not in turns: for ratios use `sparsefast bench patches`. One thread; a result that is
wrong fails instead of getting a speed.
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

from sparsefast.bench.contender import thread_limit
from sparsefast.bench.harness import nested
from sparsefast.bench.patches import contender, measure, peers
from sparsefast.bench.patches.case import CASES
from sparsefast.bench.patches.given import Given
from sparsefast.bench.patches.variant import LAYOUTS, VARIANTS


def _rows() -> Iterator[Any]:
    """(case, layout, variant, contender) for each row of the tables; whoever is absent is skipped once for each
    variant."""
    for case in CASES:
        for layout in LAYOUTS:
            for variant in VARIANTS.values():
                us, absent_us = contender.ours(variant, ["cpu", "numba"])
                them, absent_them = peers.theirs(variant, case, layout)
                for who in [*us, *them]:
                    name = f"{variant.name}-{layout}-{case.name}-{who.name.replace(' ', '-')}"
                    yield pytest.param(case, layout, variant, who, id=name)
                for name, why in [*absent_us, *absent_them] if (case, layout) == (CASES[0], LAYOUTS[0]) else []:
                    mark = pytest.mark.skip(reason=f"{name}: {why}")
                    yield pytest.param(case, layout, variant, None, id=f"{variant.name}-{name}", marks=mark)


@functools.lru_cache(maxsize=1)
def _bench(case, layout):
    return measure.Bench(Given(case, layout, case.n_images))


@pytest.mark.benchmark(group="patches")
@pytest.mark.parametrize(("case", "layout", "variant", "who"), list(_rows()))
def test_patches(benchmark, case, layout, variant, who):
    around = functools.partial(nested, functools.partial(thread_limit, 1), who.around)
    runner = _bench(case, layout).prepare(variant, who, 1, around)
    assert runner.row.wrong is None, runner.row.wrong
    benchmark.group = f"{variant.name} {layout} {case.name}"
    benchmark.extra_info.update(
        n_images=runner.row.n_images, bytes_per_image=case.bytes(4), version=who.version, note=runner.row.note
    )
    with around():
        benchmark.pedantic(
            runner.entry.call,
            setup=functools.partial(measure.ready, who),
            rounds=measure.FEWEST_ROUNDS,
            iterations=1,
            warmup_rounds=1,
        )
