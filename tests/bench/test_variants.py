"""Every variant that is measured: its contenders are right, its costs counted right, its cases what they say."""

from __future__ import annotations

import numpy as np
import pytest

from sparsefast.bench import cli, contender, machine, measure, report
from sparsefast.bench.case import problem
from sparsefast.bench.variants import VARIANTS

# The Numba kernels take seconds to compile; their own tests have them.
BACKEND = next((name for name in ("cpu", "numba") if name in contender.available("omp")), "reference")
CONTENDERS = [(name, who) for name, variant in VARIANTS.items() for who in (*variant.peers, BACKEND)]


def find(variant, name):
    if name in variant.peers:
        found, absent = contender.theirs(variant, [name])
    else:
        found, absent = contender.ours(variant, [name], [])
    if not found:
        pytest.skip(absent[0][1])
    return found


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    for name, value in cli.QUIET.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(machine, "SIZES", (48,))
    monkeypatch.setattr(measure, "PRODUCT_SECONDS", 1e-3)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("variant", "name"), CONTENDERS)
def test_every_contender_is_right(variant, name, dtype):
    variant = VARIANTS[variant]
    bench = measure.Bench(variant, variant.tiny, dtype)
    for who in find(variant, name):
        wrong = bench.prepare(who, 1, 0.001).row.wrong
        if who.fault:
            assert wrong is not None, f"{who.name} {who.version} is right now: its fault is no more"
        else:
            assert wrong is None


def test_ompmask_is_refused_for_what_is_said_of_it():
    variant = VARIANTS["omp_masked"]
    (who,) = find(variant, "spams-mask")
    assert "not least squares" in measure.Bench(variant, variant.tiny).prepare(who, 1, 0.001).row.wrong


def test_spams_and_ours_leave_the_same_residual_where_both_are_order_recursive():
    """Which of two atoms that rounding cannot tell apart is taken hardly changes ||r||, and few signals have any."""
    variant = VARIANTS["ols"]
    bench = measure.Bench(variant, variant.tiny)
    runners = [bench.prepare(who, 1, 0.001) for name in ("spams", BACKEND) for who in find(variant, name)]
    bench.fill_residuals(runners)
    theirs, ours = (runner.row.residual for runner in runners)
    assert ours == pytest.approx(theirs, rel=1e-3)


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=list(VARIANTS))
def test_a_table_has_a_line_for_each_contender(variant):
    limit = machine.Limit(1, 1e11, "numpy", 1536, 1e12)
    who = [*contender.ours(variant, [BACKEND], [])[0], *contender.theirs(variant, ["torch"])[0]]
    result = measure.measure(variant, variant.tiny, who, [limit], 0.007)
    head, *lines = report.case_lines(result)
    assert head.startswith(f"{variant.name} tiny: 9 features, 20 ")
    assert len(lines) == len(who)
    assert all("of limit" in line and "residual 0." in line for line in lines if variant.name != "topk")
    assert result.as_dict()["variant"] == variant.name


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=list(VARIANTS))
def test_cases_have_names_of_their_own_and_fit(variant):
    names = [case.name for case in variant.cases]
    assert len(set(names)) == len(names)
    for case in variant.cases:
        assert case.n_nonzero <= case.n_atoms
        assert variant.case(case.name) is case
        assert (case.goal is not None) <= ("spams" in variant.peers)
        assert not case.neighbour or variant.case(case.neighbour) is not None
    assert variant.case("tiny") is variant.tiny
    assert variant.case("C0") is None


def costs(variant, case):
    v = VARIANTS[variant]
    return v.flops(v.case(case)), v.bytes(v.case(case), 4)


def test_costs_of_a_signal():
    """C1: 2 * 64 * 256 for D x; (3 + 5 + ... + 15) * 256 for seven updates. 64 floats in; 8 of 8 bytes, 4 and 1 out."""
    product, code = 2 * 64 * 256, 256 + 8 * 8 + 4 + 1
    assert costs("omp", "C1") == costs("positive", "C1") == (product + 63 * 256, code)
    assert costs("omp", "C4")[0] == 2 * 3 * 16 + (3 + 5) * 16  # three atoms span the colours: no fourth is looked for
    assert costs("ols", "C1") == (product + 63 * 256 + 7 * 2 * 256, code)
    assert costs("omp_masked", "C1") == (32 * 256 + 8 * 2 * 32 * 256, code + 64)
    assert costs("topk", "C1") == (product, code)
    assert costs("iht", "C1") == (product + 19 * 2 * 8 * 256 + 20 * 2 * 256, code)
    assert costs("nearest_code", "F3-K16") == ((2 * 3 + 1) * 16, 12 + 4 + 4)
    assert machine.Limit(1, 1e9, "numpy", 1, 1e8).seconds(1000, 200) == (2e-6, "bandwidth")


def test_neighbours_have_nearly_the_same_work():
    omp = VARIANTS["omp"]
    pairs = [(case, omp.case(case.neighbour)) for case in omp.cases if case.neighbour]
    assert pairs
    for odd, even in pairs:
        assert omp.flops(odd) / omp.flops(even) == pytest.approx(1, abs=0.05)


def test_as_many_features_of_every_signal_are_observed_and_the_same_again():
    case = VARIANTS["omp_masked"].tiny
    first, again = problem(case), problem(case)
    assert first.mask.shape == first.signals.shape
    assert (first.mask.sum(axis=1) == case.n_observed).all()
    assert 0 < first.mask[:, 0].mean() < 1
    np.testing.assert_array_equal(first.mask, again.mask)
    part = first.first(7)
    assert (len(part.signals), len(part.mask)) == (7, 7)
