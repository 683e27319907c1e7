"""`sparsefast bench patches` from end to end on tiny cases: what it prints, what it writes, what it refuses."""

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
from sparsefast.bench.patches import case as cases
from sparsefast.bench.patches import contender, measure, peers, report
from sparsefast.bench.patches.given import Given
from sparsefast.bench.patches.variant import LAYOUTS, VARIANTS

LIMIT = machine.Limit(1, 1e11, "numpy", 1536, 1e12)
BACKEND = sparsefast.backends("fold", device="cpu")[0]
TINY = cases.TINY[0]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """No second process, and a machine whose limits are known."""
    for name, value in cli.QUIET.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(cli.STARTED, "1")
    monkeypatch.setattr(machine, "measure_limit", lambda threads, dtype: replace(LIMIT, threads=threads))
    monkeypatch.setattr(machine, "COPY_BYTES", 1 << 12)
    monkeypatch.setattr(measure, "MOST_ROUNDS", 5)


def parse(*argv):
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    return parser.parse_args(["patches", "--cases=tiny", "--seconds=0.001", *argv])


def ours(variant):
    return contender.ours(variant, [BACKEND])[0][0]


def broken(name="broken"):
    """Ours, with one pixel of one patch or image wrong in the fourth digit."""

    def peer(variant, case, layout):
        us = ours(variant)

        def bind(given):
            call = us.bind(given)

            def off():
                result = call()
                result[(2, *(1 for _ in result.shape[1:]))] *= 1.0005
                return result

            return off

        return replace(us, name=name, bind=bind, ours=False)

    return peer


def raising(variant, case, layout):
    def bind(given):
        raise RuntimeError("no such\nluck")

    return contender.Contender("raising", "", bind)


def run(variant, *who, layout="columns", case=TINY):
    return measure.measure(measure.Bench(Given(case, layout, case.n_images)), variant, who, [LIMIT], 0.001)


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=list(VARIANTS))
def test_a_wrong_result_has_no_speed(variant):
    right, wrong, raised = (ours(variant), broken()(variant, TINY, "columns"), raising(variant, TINY, "columns"))
    result = run(variant, right, wrong, raised)
    right, wrong, raised = result.rows
    assert right.wrong is None and right.rate["median"] > 0
    assert wrong.wrong.startswith("image 2: 1 of ")
    assert "first (1, 1" in wrong.wrong
    assert raised.wrong == "it raised RuntimeError: no such luck"
    assert (wrong.rate, wrong.seconds, wrong.bytes_per_second) == (None, [], None)
    lines = report.result_lines(result)[1:]
    assert ["wrong: " in line for line in lines] == [False, True, True]
    assert ["B/s" in line for line in lines] == [True, False, False]


def test_a_wrong_result_fails_the_command(monkeypatch, capsys):
    monkeypatch.setitem(peers.PEERS["fold"], "F.fold", broken())
    assert cli.run(parse(f"--backends={BACKEND}", "--peers=F.fold", "--variants=fold", "--layouts=signals")) == 1
    out, err = capsys.readouterr()
    assert "wrong: image 2" in out
    assert "wrong results, which have no speed: broken at fold, signals, tiny, 3 images" in err


def test_a_result_that_turns_wrong_after_the_clock_started_is_refused():
    who, calls = ours(VARIANTS["unfold"]), []

    def bind(given):
        def call():
            calls.append(1)
            # Two calls for the first check, one to see how long it takes, five turns.
            return (right if len(calls) <= 8 else wrong)()

        right, wrong = who.bind(given), broken()(VARIANTS["unfold"], TINY, "columns").bind(given)
        return call

    (row,) = run(VARIANTS["unfold"], replace(who, bind=bind)).rows
    assert row.wrong.startswith("after 5 calls, image 2: 1 of ")
    assert row.rate is None


def test_memory_that_is_not_written_is_seen():
    """What the call before has left is poisoned."""
    kept = []

    def bind(given):
        call = who.bind(given)

        def lazy():
            kept.append(call() if not kept else kept[0])
            return kept[0]

        return lazy

    who = ours(VARIANTS["fold"])
    (row,) = run(VARIANTS["fold"], replace(who, bind=bind)).rows
    assert "nan" in row.wrong


def test_the_table_and_the_json_say_the_same(tmp_path, capsys):
    path = tmp_path / "patches.json"
    argv = [f"--json={path}", f"--backends={BACKEND}", "--threads=1,2", "--cases=tiny-s1,tiny-at"]
    assert cli.run(parse(*argv, "--variants=unfold_out,fold")) == 0
    out = capsys.readouterr().out
    found = json.loads(path.read_text())
    assert (found["schema"], found["schema_version"], found["op"]) == ("sparsefast-bench", 2, "patches")
    assert set(found) == {
        *("schema", "schema_version", "op", "date", "machine", "settings", "limits", "cases", "absent", "goals"),
    }
    assert found["settings"]["cases"] == ["tiny-s1", "tiny-at"]
    assert [limit["threads"] for limit in found["limits"]] == [1, 2]
    heads = [(c["name"], c["layout"], c["variant"]) for c in found["cases"]]
    assert heads == [
        (name, layout, variant)
        for name in ("tiny-s1", "tiny-at")
        for layout in LAYOUTS
        for variant in ("unfold_out", "fold")
    ]
    first = found["cases"][0]
    # Two channels of 13 x 19 pixels, and 11 x 16 patches of 3 x 4 of them, in float32.
    assert (first["n_images"], first["n_patches"]) == (3, 176)
    assert first["bytes_per_image"] == 2 * (13 * 19 + 176 * 12) * 4
    for case in found["cases"]:
        assert f"{case['variant']}, {case['layout']}, {case['name']}: " in out
        bandwidths = {limit["threads"]: limit["bandwidth"] for limit in case["limits"]}
        assert min(bandwidths.values()) >= LIMIT.bandwidth  # raised by a copy in the turns that was faster
        for row in case["rows"]:
            assert row["contender"] in out
            assert len(row["seconds"]) == measure.FEWEST_ROUNDS
            rate = np.median([row["n_images"] / s for s in row["seconds"]])
            assert row["rate"]["median"] == pytest.approx(rate)
            assert row["bytes_per_second"] == pytest.approx(rate * case["bytes_per_image"])
            of_limit = row["bytes_per_second"] / bandwidths[row["threads"]]
            assert row["fraction_of_limit"] == pytest.approx(of_limit)
            others = [other for other in case["rows"] if other["threads"] == row["threads"] and not other["ours"]]
            assert set(row["times"]) == {other["contender"] for other in others} - {row["contender"]}
            assert (row["scaling"] is None) == (row["threads"] == 1)
    assert {row["contender"] for row in found["cases"][0]["rows"]} == {
        *(f"sparsefast {BACKEND}", "F.unfold", "im2col.out", "Tensor.unfold", "NumPy"),
    }
    ours_of_fold = [row["contender"] for row in found["cases"][1]["rows"] if row["ours"] and row["threads"] == 1]
    assert ours_of_fold == [f"sparsefast {BACKEND}", f"sparsefast {BACKEND} nothing kept"]
    assert "timed on 1 of 3 images" in out
    assert "nobody to compare with" in out


def test_json_alone_goes_to_stdout(capsys):
    assert cli.run(parse("--json", f"--backends={BACKEND}", "--peers=none", "--variants=unfold")) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert [row["ours"] for case in found["cases"] for row in case["rows"]] == [True] * 4
    assert "unfold, columns, tiny: a new output each call; 3 images 2 x 13 x 19, patches 3 x 4" in err


def test_whoever_is_absent_is_named_once(monkeypatch, capsys):
    def absent(variant, case, layout):
        raise peers.Absent("not installed (pip install scikit-learn)")

    monkeypatch.setitem(peers.PEERS["unfold"], "scikit-learn", absent)
    assert cli.run(parse("--json", "--backends=triton,none", "--peers=scikit-learn,NumPy", "--variants=unfold")) == 1
    out, err = capsys.readouterr()
    names = [entry["contender"] for entry in json.loads(out)["absent"]]
    assert names == ["sparsefast triton", "scikit-learn"]
    assert err.count("absent: scikit-learn: not installed") == 1
    assert "none of ours ran: triton are absent" in err
    assert cli.run(parse("--backends=none", "--peers=NumPy", "--variants=unfold")) == 0


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--cases=C1"], "--cases: there is no 'C1'; there are p8-s1, p8-s4, p7-s5, p7-s5-clamp, p8-at"),
        (["--variants=omp"], "--variants: there is no 'omp'; there are unfold, unfold_out, fold"),
        (["--layouts=patches"], "--layouts: there is no 'patches'; there are columns, signals"),
        (["--peers=spams"], "--peers: there is no 'spams'; there are F.unfold, im2col.out"),
        (["--device=cuda", "--peers=NumPy"], "--peers: there is no 'NumPy'; there are F.unfold"),
        (["--backends=cpp"], "--backends: there is no 'cpp'"),
        (["--batches=16"], "--batches goes with --device cuda"),
        (["--png=a.png"], "--png goes with bench omp"),
        (["--json=/no/such/folder/a.json"], "there is no such folder"),
    ],
)
def test_a_bad_option_is_one_line_and_status_2(argv, message, capsys):
    assert cli.run(parse(*argv)) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_layouts_are_of_patches_alone(capsys):
    args = parse("--layouts=signals")
    args.op, args.cases = "omp", None
    assert cli.run(args) == 2
    assert capsys.readouterr().err == "sparsefast bench: --layouts goes with bench patches\n"


def test_it_runs_in_a_second_process_with_the_same_options(monkeypatch):
    monkeypatch.delenv("GOMP_SPINCOUNT")
    seen = {}

    def process(command, env, check):
        seen.update(command=command, env=env)
        return subprocess.CompletedProcess(command, 1)

    monkeypatch.setattr(subprocess, "run", process)
    args = parse("--threads=2,1", "--json", "--layouts=signals", "--variants=fold,unfold", "--peers=none")
    assert cli.run(args) == 1
    assert seen["command"][:4] == [sys.executable, "-m", "sparsefast.bench", "patches"]
    assert {name: seen["env"][name] for name in cli.QUIET} == cli.QUIET
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    assert vars(parser.parse_args(seen["command"][3:])) == vars(args)


def test_what_was_kept_is_gone_before_the_clock_starts(monkeypatch):
    log = []
    release = sparsefast.release_memory
    monkeypatch.setattr(sparsefast, "release_memory", lambda: (log.append("release"), release())[1])
    _, who = contender.ours(VARIANTS["fold"], [BACKEND])[0]

    def bind(given):
        call = who.bind(given)
        return lambda: (log.append("call"), call())[1]

    (row,) = run(VARIANTS["fold"], replace(who, bind=bind)).rows
    assert (row.contender, row.wrong) == (f"sparsefast {BACKEND} nothing kept", None)
    assert log == ["release", "call"] * (len(log) // 2)


def test_rounds_follow_from_the_time_that_there_is(monkeypatch):
    monkeypatch.setattr(measure, "MOST_ROUNDS", 31)
    assert measure.rounds([0.1, 0.3], 2.0) == 10
    assert measure.rounds([10.0], 1.0) == 5
    assert measure.rounds([1e-6], 1.0) == 31
    assert measure.rounds([], 1.0) == 5


def rows(rates, threads=1):
    """Rows with these rates, as the measurement would leave them."""
    found = []
    for name, rate in rates.items():
        times = {other: {"median": rate / r} for other, r in rates.items() if other != name}
        ours = name.startswith("sparsefast")
        found.append(measure.Row(name, "", ours, threads, 16, "", rate={"median": rate}, times=times))
    return found


def goals_of(variant, case, rates, layout="columns", threads=1):
    result = measure.Result(VARIANTS[variant], layout, cases.named(case), 16, 1, rows(rates, threads), [LIMIT])
    return [(g["contender"], g["peer"], g["value"], g["wanted"], g["met"]) for g in report.goals([result])]


def test_goals_are_of_the_backend_that_is_taken_by_default():
    rates = {"sparsefast cpu": 12, "sparsefast numba": 11, "recipe": 1, "divisor": 3, "F.fold": 6}
    assert goals_of("fold", "p8-s1", rates) == [
        ("sparsefast cpu", "recipe", 12, 10.0, True),
        ("sparsefast cpu", "F.fold", 2, 3.0, False),
    ]
    assert goals_of("fold", "p8-s1", rates, layout="signals") == []
    assert goals_of("unfold", "p8-s4", {"sparsefast cpu": 4, "F.unfold": 2}) == [
        ("sparsefast cpu", "F.unfold", 2, 2.0, True)
    ]
    assert goals_of("unfold", "p7-s5-clamp", {"sparsefast cpu": 4, "indexing": 2}) == []
    on_gpu = {"sparsefast cuda": 4, "F.fold": 1, "recipe": 1}
    assert goals_of("fold", "p7-s5", on_gpu, threads=0) == [("sparsefast cuda", "F.fold", 4, 3.0, True)]
    lines = report.goal_lines(report.goals([]))
    assert lines == []
