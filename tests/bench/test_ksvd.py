"""`sparsefast bench ksvd` from end to end on a tiny case: what it checks, prints, writes and refuses."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

import sparsefast
from sparsefast.bench import cli, machine
from sparsefast.bench.ksvd import case as cases
from sparsefast.bench.ksvd import check, contender, learners, measure, peers, report, whole
from sparsefast.bench.ksvd.case import Given
from sparsefast.bench.ksvd.contender import Bound
from sparsefast.bench.ksvd.variant import NAMES, VARIANTS, WHOLE

LIMIT = machine.Limit(1, 1e11, "numpy", 1536, 1e10)
BACKEND = sparsefast.backends("ksvd_update", device="cpu")[0]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """No second process, and a machine whose limits are known."""
    for name, value in cli.QUIET.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(cli.STARTED, "1")
    monkeypatch.setattr(machine, "measure_limit", lambda threads, dtype: replace(LIMIT, threads=threads))
    monkeypatch.setattr(measure, "MOST_ROUNDS", 5)


@pytest.fixture(scope="module")
def given():
    return Given(cases.TINY)


def parse(*argv):
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    return parser.parse_args(["ksvd", "--cases=tiny", "--seconds=0.001", *argv])


def ours(variant):
    return contender.ours(variant, [BACKEND])[0][0]


def result_of(variant, given):
    who = ours(variant)
    return who.decode(who.bind(given).call(), given)


def off(result):
    """A result with one number wrong in the third digit: its last atom, or B."""
    if isinstance(result, check.Updated):
        dictionary = result.dictionary.copy()
        dictionary[-1, -1] += 0.005
        return replace(result, dictionary=dictionary)
    if isinstance(result, tuple):
        b = result[1].copy()
        b[-1, -1] += 0.005 * np.abs(b).max()
        return result[0], b
    wrong = result.copy()
    wrong[-1, -1] += 0.005
    return wrong


def broken(variant):
    who = ours(variant)
    return replace(who, name="broken", ours=False, decode=lambda result, given: off(who.decode(result, given)))


def raising(variant):
    def bind(given):
        raise RuntimeError("no such\nluck")

    return contender.Contender("raising", "", bind, lambda result, given: result)


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=list(VARIANTS))
def test_a_wrong_result_has_no_speed(variant, given):
    result = measure.measure(given, variant, [ours(variant), broken(variant), raising(variant)], [LIMIT], 0.001)
    right, wrong, raised = result.rows
    assert right.wrong is None and right.time["median"] > 0
    assert wrong.wrong is not None
    assert raised.wrong == "it raised RuntimeError: no such luck"
    assert (wrong.time, wrong.seconds, wrong.bytes_per_second) == (None, [], None)
    lines = report.result_lines(result)[1:]
    assert ["wrong: " in line for line in lines] == [False, True, True]
    assert ["FLOP/s" in line for line in lines] == [True, False, False]


def test_a_wrong_result_fails_the_command_and_a_known_fault_does_not(monkeypatch, capsys):
    monkeypatch.setitem(peers.PEERS["stats"], "NumPy", broken)
    argv = [f"--backends={BACKEND}", "--peers=NumPy", "--variants=stats"]
    assert cli.run(parse(*argv)) == 1
    assert "wrong results, which have no speed: broken at stats tiny" in capsys.readouterr().err
    monkeypatch.setitem(peers.PEERS["stats"], "NumPy", lambda variant: replace(broken(variant), fault="it is broken"))
    assert cli.run(parse(*argv)) == 0
    out, err = capsys.readouterr()
    assert "wrong: B: 1 of " in out and "[known: it is broken]" in out
    assert err == ""


@pytest.mark.parametrize("exact", [False, True])
def test_the_check_of_a_sweep_sees_what_can_go_wrong(exact, given):
    variant = VARIANTS["exact" if exact else "approx"]
    right = result_of(variant, given)
    verdict = check.check_sweep(given, right, exact)
    assert verdict.wrong is None
    assert 0 < verdict.figures["after"] < verdict.figures["before"] < 1
    # The error from the definition, without a replay.
    code = sparsefast.SparseCode(
        given.code.indices, right.coefficients, given.code.counts, given.code.status, given.case.n_atoms
    )
    r = given.signals - code.decode(right.dictionary)
    assert verdict.figures["after"] == pytest.approx(np.linalg.norm(r) / np.linalg.norm(given.signals), rel=1e-5)

    scaled = right.dictionary.copy()
    scaled[3] *= 1.001
    coefficients = right.coefficients.copy()
    coefficients[5, 0] *= 1.001
    errors = right.errors.copy()
    errors[-1] *= 1.001
    nan = right.dictionary.copy()
    nan[0, 0] = np.nan
    turned = right.dictionary[::-1].copy()
    for wrong, said in (
        (replace(right, dictionary=scaled), "atom 3: its norm is 1.001"),
        (replace(right, coefficients=coefficients), "1 of "),
        (replace(right, errors=errors), f"the error of signal {given.case.n_signals - 1} is"),
        (replace(right, dictionary=nan), "NaN or infinity"),
        (replace(right, dictionary=turned), "atom 0: "),
        (replace(right, dictionary=right.dictionary[1:]), "the dictionary has shape"),
        (replace(right, strays=2), "2 coefficients where the code has none"),
        (check.Updated(given.dictionary, given.code.values), "atom 0: "),
    ):
        assert said in check.check_sweep(given, wrong, exact).wrong


def test_one_step_of_alternating_least_squares_is_no_exact_sweep_and_the_other_way_round(given):
    for name, other in (("approx", True), ("exact", False)):
        assert check.check_sweep(given, result_of(VARIANTS[name], given), other).wrong.startswith("atom ")


def test_a_sweep_from_the_old_residual_is_refused(given):
    """All atoms at once: right for the first atom alone."""
    update = sparsefast.ksvd_update(given.signals, given.dictionary, given.code, parallel=True)
    wrong = check.check_sweep(given, check.Updated(update.dictionary, update.code.values), exact=False).wrong
    assert wrong.startswith("atom ") and not wrong.startswith("atom 0:")


def test_memory_that_is_not_written_is_seen(given):
    """What the call before has left is poisoned."""
    who, kept = ours(VARIANTS["approx"]), []

    def bind(given):
        bound = who.bind(given)

        def lazy():
            kept.append(bound.call() if not kept else kept[0])
            return kept[0]

        return Bound(lazy)

    (row,) = measure.measure(given, VARIANTS["approx"], [replace(who, bind=bind)], [LIMIT], 0.001).rows
    assert row.wrong == "NaN or infinity"


def test_a_result_that_turns_wrong_after_the_clock_started_is_refused(given):
    who, looked = ours(VARIANTS["online"]), []

    def decode(result, given):
        looked.append(1)
        # To poison it, the first check, and then the last one.
        return off(who.decode(result, given)) if len(looked) > 2 else who.decode(result, given)

    (row,) = measure.measure(given, VARIANTS["online"], [replace(who, decode=decode)], [LIMIT], 0.001).rows
    assert row.wrong.startswith("after 5 calls, atom ")
    assert row.time is None


def test_whoever_works_in_place_gets_fresh_copies(given):
    """The second call starts from where the first did."""
    pytest.importorskip("dictlearn")
    for name in ("approx", "exact"):
        bound = peers.dictlearn(VARIANTS[name]).bind(given)
        bound.ready()
        first = [part.copy() for part in bound.call()]
        bound.ready()
        for a, b in zip(first, bound.call(), strict=True):
            assert np.array_equal(a, b)
    assert np.array_equal(given.dictionary, Given(cases.TINY).dictionary)


def test_the_table_and_the_json_say_the_same(tmp_path, capsys):
    path = tmp_path / "ksvd.json"
    argv = [f"--json={path}", f"--backends={BACKEND}", "--threads=1,2", "--peers=NumPy,SciPy"]
    assert cli.run(parse(*argv, "--variants=approx,exact,stats,online")) == 0
    out = capsys.readouterr().out
    found = json.loads(path.read_text())
    assert (found["schema"], found["schema_version"], found["op"]) == ("sparsefast-bench", 2, "ksvd")
    assert set(found) == {
        *("schema", "schema_version", "op", "date", "machine", "settings", "limits", "cases", "whole", "absent"),
        "goals",
    }
    assert [case["variant"] for case in found["cases"]] == list(VARIANTS)
    assert found["whole"] is None
    for case in found["cases"]:
        assert f"{case['variant']} tiny: " in out
        assert (case["n_signals"], case["n_features"], case["n_atoms"]) == (301, 12, 17)
        for row in case["rows"]:
            assert row["contender"] in out
            assert len(row["seconds"]) >= measure.SLOW_ROUNDS
            median = np.median(row["seconds"])
            assert row["time"]["median"] == pytest.approx(median)
            assert row["flops_per_second"] == pytest.approx(case["flops"] / median)
            assert row["bytes_per_second"] == pytest.approx(case["bytes"] / median)
            least = max(case["flops"] / LIMIT.flops, case["bytes"] / LIMIT.bandwidth)
            assert row["fraction_of_limit"] == pytest.approx(least / median)
            others = [other for other in case["rows"] if other["threads"] == row["threads"] and not other["ours"]]
            assert set(row["times"]) == {other["contender"] for other in others} - {row["contender"]}
            assert (row["scaling"] is None) == (row["threads"] == 1)
    sweeps = [row for case in found["cases"][:2] for row in case["rows"]]
    # Everybody does the same work, and 0.05% is far above rounding and below what another algorithm would leave.
    for rows in (sweeps[: len(sweeps) // 2], sweeps[len(sweeps) // 2 :]):
        assert np.ptp([row["figures"]["after"] for row in rows]) < 5e-4 * rows[0]["figures"]["after"]
    assert [goal["what"] for goal in found["goals"]] == ["approx tiny", "exact tiny"]
    assert "IQR" in out and "of limit (" in out and "x NumPy" in out and "error " in out and "goal 2.5x" in out


def test_costs_are_those_of_the_definition(given):
    e, f, k = int(given.code.counts.sum()), given.case.n_features, given.case.n_atoms
    assert given.n_entries == e
    assert VARIANTS["approx"].flops(given) == 10 * e * f
    assert VARIANTS["exact"].flops(given) - VARIANTS["approx"].flops(given) == e * f * (f + 1)
    # In float32; three visits of a row of R for each coefficient, and three passes over all rows.
    assert VARIANTS["approx"].bytes(given, 4) == 3 * (e + given.case.n_signals) * f * 4
    assert VARIANTS["online"].flops(given) == 2 * k * k * f


@pytest.fixture(scope="module")
def judge():
    return whole.Judge(whole.TINY)


def learner(name, ours, learn, steps=(1,)):
    return whole.Learner(name, "", lambda x, d, s, n: lambda: learn(x, d, s, n), steps, "iterations", ours)


def iterate(x, d, n_nonzero, n):
    for _ in range(int(n)):
        d = sparsefast.ksvd_update(x, d, sparsefast.omp(x, d, n_nonzero)).dictionary
    return d


def test_learning_is_judged_by_the_dictionary_at_the_end(judge):
    good = learner("good", True, iterate, (1, 4))
    double = learner("float64", False, lambda *a: iterate(*a).astype(np.float64))
    idle = learner("idle", False, lambda x, d, s, n: d)
    broken = learner("broken", False, lambda x, d, s, n: 2 * iterate(x, d, s, n))
    short = learner("short", False, lambda x, d, s, n: d[1:])
    raised = learner("raising", False, lambda x, d, s, n: 1 / 0)
    found = whole.measure(judge, [good, double, idle, broken, short, raised])
    one, four, wide, *wrong = found.runs
    assert 0 < four.error < one.error < found.start < 1
    assert wide.error == pytest.approx(one.error, rel=1e-6)
    assert (len(one.seconds), one.wrong) == (2, None)
    assert [run.wrong.partition(":")[0] for run in wrong] == [
        "it has learned nothing",
        "atoms have norms from 2 to 2",
        "a dictionary of shape (16, 12), not (17, 12)",
        "it raised ZeroDivisionError",
    ]
    assert all(run.error is None and run.seconds == [] for run in wrong)
    lines = report.whole_lines(found)
    assert "17 atoms, 3 nonzero" in lines[0] and f"{found.start:.4f} at the start" in lines[0]
    assert ["wrong: " in line for line in lines[1:]] == [False] * 3 + [True] * 4


def run_of(name, ours, steps, seconds, error):
    return whole.Run(name, "", ours, steps, "epochs", "", [seconds], error)


def test_ratios_are_to_the_quickest_run_of_equal_or_lower_error():
    runs = [
        run_of("sparsefast KSVD", True, 1, 1.0, 0.4),
        run_of("sparsefast KSVD", True, 2, 2.0, 0.3),
        run_of("sparsefast KSVD", True, 3, 3.0, 0.2),
        run_of("SPAMS trainDL", False, 1, 8.0, 0.35),
        run_of("SPAMS trainDL", False, 2, 9.0, 0.3),
        run_of("dictlearn AK-SVD", False, 9, 90.0, 0.1),
    ]
    found = whole.Whole(whole.TINY, 0.5, runs)
    assert [found.ratio(run, "sparsefast KSVD") for run in runs[3:]] == [4.0, 4.5, None]
    assert report.goals([], found) == [
        {
            "what": "whole, 9 epochs",
            "contender": "sparsefast KSVD",
            "peer": "dictlearn AK-SVD",
            "value": None,
            "wanted": 15.0,
            "met": False,
            "error_of_peer": 0.1,
        },
        {
            "what": "whole, 2 epochs",
            "contender": "sparsefast KSVD",
            "peer": "SPAMS trainDL",
            "value": 4.5,
            "wanted": 3.0,
            "met": True,
            "error_of_peer": 0.3,
        },
    ]
    lines = report.goal_lines(report.goals([], found))
    assert "never reaches the error of dictlearn AK-SVD" in lines[0] and lines[0].startswith("  missed")
    assert "4.50 times SPAMS trainDL, wanted 3" in lines[1] and lines[1].startswith("  met")


def test_the_whole_from_the_command_line(capsys, monkeypatch):
    monkeypatch.setitem(learners.PEERS, "spams", lambda quick: learner("SPAMS trainDL", False, iterate, (1, 2)))
    argv = [f"--variants={WHOLE}", f"--backends={BACKEND}", "--peers=spams", "--quick", "--json"]
    assert cli.run(parse(*argv)) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert (found["cases"], found["whole"]["name"]) == ([], "whole-tiny")
    names = {run["learner"] for run in found["whole"]["runs"]}
    us = {"sparsefast KSVD", "sparsefast sweeps", "sparsefast KSVD batches", "sparsefast online"}
    assert names == us | {"SPAMS trainDL"}
    assert all(run["error"] < found["whole"]["start"] and len(run["seconds"]) == 2 for run in found["whole"]["runs"])
    assert {goal["peer"] for goal in found["goals"]} == {"SPAMS trainDL"}
    assert "iterations" in err and "goals" in err


@pytest.mark.parametrize("name", ["dictlearn", "spams"])
def test_the_peers_that_learn_do_learn(name, judge):
    try:
        who = learners.PEERS[name](True)
    except peers.Absent as reason:
        pytest.skip(str(reason))
    found = whole.measure(judge, [replace(who, steps=(2,), repeats=1)])
    assert [(run.wrong, run.error < found.start) for run in found.runs] == [(None, True)]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--cases=C1"], "--cases: there is no 'C1'; there are K1, K2, K3, tiny"),
        (["--variants=omp"], f"--variants: there is no 'omp'; there are {', '.join(NAMES)}"),
        (["--peers=F.fold"], "--peers: there is no 'F.fold'; there are NumPy, dictlearn, ksvd"),
        (["--backends=cpp"], "--backends: there is no 'cpp'"),
        (["--layouts=signals"], "--layouts goes with bench patches"),
        (["--png=a.png"], "--png goes with bench omp"),
        (["--device=cuda"], "bench ksvd measures on --device cpu"),
        (["--json=/no/such/folder/a.json"], "there is no such folder"),
    ],
)
def test_a_bad_option_is_one_line_and_status_2(argv, message, capsys):
    assert cli.run(parse(*argv)) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_quick_is_of_ksvd_alone(capsys):
    args = parse("--quick")
    args.op, args.cases = "omp", None
    assert cli.run(args) == 2
    assert capsys.readouterr().err == "sparsefast bench: --quick goes with bench ksvd and bench laser\n"


def test_it_runs_in_a_second_process_with_the_same_options(monkeypatch):
    monkeypatch.delenv("GOMP_SPINCOUNT")
    seen = {}

    def process(command, env, check):
        seen.update(command=command)
        return subprocess.CompletedProcess(command, 1)

    monkeypatch.setattr(subprocess, "run", process)
    args = parse("--quick", "--json", "--variants=whole,approx", "--peers=none")
    assert cli.run(args) == 1
    assert seen["command"][:4] == [sys.executable, "-m", "sparsefast.bench", "ksvd"]
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    assert vars(parser.parse_args(seen["command"][3:])) == vars(args)


def test_whoever_is_absent_is_named_once(monkeypatch, capsys):
    def absent(variant):
        raise peers.Absent("not installed (pip install ksvd)")

    monkeypatch.setitem(peers.PEERS["approx"], "ksvd", absent)
    argv = ["--json", "--backends=triton,none", "--peers=ksvd,NumPy", "--variants=approx"]
    assert cli.run(parse(*argv)) == 1
    out, err = capsys.readouterr()
    assert [entry["contender"] for entry in json.loads(out)["absent"]] == ["sparsefast triton", "ksvd"]
    assert err.count("absent: ksvd: not installed") == 1
    assert "none of ours ran: triton are absent" in err
    assert cli.run(parse("--backends=none", "--peers=NumPy", "--variants=approx")) == 0
