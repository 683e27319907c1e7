"""`sparsefast bench omp` from end to end on a tiny case: what it prints, what it writes, what it refuses."""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

import sparsefast
from sparsefast.bench import cli, contender, data, machine, measure, overheads, report
from sparsefast.bench.checks import Code
from sparsefast.bench.variants import VARIANTS

LIMIT = machine.Limit(1, 1e11, "numpy", 1536, 1e12)
OMP = VARIANTS["omp"]
BACKENDS = [name for name in ("cpu", "numba") if name in sparsefast.backends("omp")]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """No second process, and a machine whose limits are known."""
    for name, value in cli.QUIET.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(cli.STARTED, "1")
    monkeypatch.setattr(machine, "measure_limit", lambda threads, dtype: replace(LIMIT, threads=threads))
    monkeypatch.setattr(overheads, "CALLS", 2)
    monkeypatch.setattr(measure, "PRODUCT_SECONDS", 1e-3)
    monkeypatch.setattr(machine, "SIZES", (48,))


def parse(*argv):
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    return parser.parse_args(["omp", "--variants=omp", "--cases=tiny", "--seconds=0.007", *argv])


def ours(variant=OMP, backends=BACKENDS[:1]):
    return contender.ours(variant, list(backends), [])[0]


def run_tiny(*contenders):
    return measure.measure(OMP, OMP.tiny, contenders, [LIMIT], 0.007)


def broken():
    """Ours, with one coefficient of one signal wrong in the third digit."""
    us = ours()

    def decode(code, problem):
        right = us[0].decode(code, problem)
        values = np.array(right.values)
        values[11, 1] *= 1.001
        return Code(right.indices, values, right.counts)

    return replace(us[0], name="broken", decode=decode)


def raising():
    def bind(*_):
        raise RuntimeError("no such\nluck")

    return replace(broken(), name="raising", bind=bind)


def test_a_wrong_result_has_no_speed():
    result = run_tiny(ours()[0], broken(), raising())
    right, wrong, raised = result.rows
    assert right.wrong is None
    assert right.rate is not None
    assert right.rate["median"] > 0
    assert "signal 11: coefficients are not least squares" in wrong.wrong
    assert raised.wrong == "it raised RuntimeError: no such luck"
    assert wrong.rate is None
    assert wrong.seconds == []
    line = next(line for line in report.case_lines(result) if "broken" in line)
    assert "wrong: " in line
    assert "signals/s" not in line


def test_a_wrong_result_fails_the_command(monkeypatch, capsys):
    monkeypatch.setitem(OMP.peers, "torch", broken)
    assert cli.run(parse(f"--backends={BACKENDS[0]}", "--peers=torch")) == 1
    out, err = capsys.readouterr()
    assert "wrong: " in out
    assert "broken at omp tiny" in err


def test_a_fault_that_is_known_has_no_speed_and_does_not_fail_the_command(monkeypatch, capsys):
    monkeypatch.setitem(OMP.peers, "torch", lambda: replace(broken(), fault="a digit"))
    assert cli.run(parse("--backends=none", "--peers=torch")) == 0
    out, err = capsys.readouterr()
    line = next(line for line in out.splitlines() if "broken" in line)
    assert line.endswith("[known: a digit]")
    assert "signals/s" not in line
    assert err == ""


def test_a_result_that_turns_wrong_after_the_clock_started_is_refused():
    calls = []

    def decode(code, problem):
        calls.append(1)
        return (good if len(calls) == 1 else broken()).decode(code, problem)

    good = ours()[0]
    row = run_tiny(replace(good, decode=decode)).rows[0]
    assert row.wrong.startswith("after 7 calls, ")
    assert row.rate is None


def test_the_table_and_the_json_say_the_same(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(cli, "_kinds", lambda: ["numpy"])  # int64 indices are another compilation for Numba
    path = tmp_path / "omp.json"
    assert cli.run(parse(f"--json={path}", f"--backends={','.join(BACKENDS)}", "--threads=1,2")) == 0
    out = capsys.readouterr().out
    found = json.loads(path.read_text())
    assert (found["schema"], found["schema_version"], found["op"]) == ("sparsefast-bench", 2, "omp")
    assert set(found) == {
        *("schema", "schema_version", "op", "date", "machine", "settings", "limits", "cases", "absent"),
        *("call_overhead", "memory"),
    }
    assert found["machine"]["versions"]["sparsefast"] == sparsefast.__version__
    assert [limit["threads"] for limit in found["limits"]] == [1, 2]
    (case,) = found["cases"]
    assert (case["variant"], case["name"], case["n_features"]) == ("omp", "tiny", 9)
    assert case["flops_per_signal"] == OMP.flops(OMP.tiny)
    for row in case["rows"]:
        assert len(row["seconds"]) == measure.ROUNDS
        rates = [row["n_signals"] / s for s in row["seconds"]]
        assert row["rate"]["median"] == pytest.approx(np.median(rates))
        (ceiling,) = (limit["flops"] for limit in case["limits"] if limit["threads"] == row["threads"])
        assert ceiling >= LIMIT.flops  # raised by a product in the turns that was faster
        assert row["fraction_of_limit"] == pytest.approx(np.median(rates) * case["flops_per_signal"] / ceiling)
        assert row["limit"] == "compute"
        assert 0 < row["residual"] < 1
        assert (row["scaling"] is None) == (row["threads"] == 1)
        assert f"{row['residual']:.4f}" in out
    ours = [row for row in case["rows"] if row["ours"]]
    assert ours
    residual = {row["residual"] for row in ours if row["threads"] == 1}
    assert max(residual) - min(residual) < 1e-5
    assert {o["backend"] for o in found["call_overhead"]} == {m["backend"] for m in found["memory"]} == set(BACKENDS)
    for name, row in {r["contender"]: r for r in case["rows"]}.items():
        assert name in out, row


def test_json_alone_goes_to_stdout(capsys):
    assert cli.run(parse("--json", f"--backends={BACKENDS[0]}", "--peers=torch")) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["settings"]["peers"] == ["torch"]
    assert "omp tiny: 9 features" in err


def test_an_absent_peer_is_named_once(monkeypatch, capsys):
    def absent():
        raise contender.Absent("not installed (pip install spams-bin)")

    for name in ("omp", "ols"):
        monkeypatch.setitem(VARIANTS[name].peers, "spams", absent)
    assert cli.run(parse("--variants=omp,ols", "--backends=none", "--peers=spams", "--json")) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["absent"] == [{"contender": "spams", "reason": "not installed (pip install spams-bin)"}]
    assert "absent: spams: not installed" in err


def test_a_backend_that_cannot_run_is_named():
    _, absent = contender.ours(OMP, ["triton"], [])
    assert absent[0][0] == "sparsefast triton"
    assert absent[0][1]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--cases=C9"], "--cases: there is no 'C9'; there are C1, C2"),
        (["--cases=F3-K16"], "--cases: omp has none of F3-K16"),
        (["--variants=lasso"], "--variants: there is no 'lasso'; there are omp, ols"),
        (["--peers=omptk"], "--peers: there is no 'omptk'"),
        (["--backends=cpp"], "--backends: there is no 'cpp'"),
        (["--json=/no/such/folder/a.json"], "there is no such folder"),
    ],
)
def test_a_bad_option_is_one_line_and_status_2(argv, message, capsys):
    assert cli.run(parse(*argv)) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "argv", [["--threads=0"], ["--threads=two"], ["--seconds=0"], ["--seconds=nan"], ["--cases=,"]]
)
def test_a_bad_value_is_refused_by_the_parser(argv, capsys):
    with pytest.raises(SystemExit) as stop:
        parse(*argv)
    assert stop.value.code == 2


def test_it_runs_in_a_second_process_where_pools_may_spin(monkeypatch):
    monkeypatch.delenv("GOMP_SPINCOUNT")
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    monkeypatch.setattr(machine, "openblas_core", lambda: "Haswell")
    monkeypatch.setenv("SPARSEFAST_BACKEND", "reference")
    seen = {}

    def run(command, env, check):
        seen.update(command=command, env=env)
        return subprocess.CompletedProcess(command, 1)

    monkeypatch.setattr(subprocess, "run", run)
    args = parse("--threads=2,1", "--json", "--isa=x86-64-v3", "--peers=none")
    assert cli.run(args) == 1
    assert seen["command"][:3] == [sys.executable, "-m", "sparsefast.bench"]
    assert {name: seen["env"][name] for name in cli.QUIET} == cli.QUIET
    assert "SPARSEFAST_BACKEND" not in seen["env"]
    assert seen["env"]["OPENBLAS_CORETYPE"] == "Haswell"
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    assert vars(parser.parse_args(seen["command"][3:])) == vars(args)


def test_a_picture_without_matplotlib_is_refused_at_once(monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert cli.run(parse("--png=a.png")) == 2
    assert "pip install matplotlib" in capsys.readouterr().err


def test_a_picture_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    report.draw([run_tiny(ours()[0], broken())], "a title", str(tmp_path / "a.png"))
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_atoms_are_unit_patches_and_no_pixel_is_an_atom_and_a_signal(monkeypatch):
    pictures = [np.random.default_rng(k).random((130, 70, 3), dtype=np.float32) for k in range(2)]
    for picture in pictures:
        picture[np.arange(130) % data.BAND < data.ATOM_ROWS] += 100
    monkeypatch.setattr(data, "photographs", lambda: pictures)
    for rows in (range(16), range(16, 64)):
        patches = data._pick(pictures, (5, 3), rows, 500, np.random.default_rng(0))
        # Had one of them a row of each kind, its pixels would differ by 100.
        assert np.abs(patches).max() < 1
    signals, dictionary = data.problem((4, 3), True, 20, 900)
    assert (signals.shape, dictionary.shape) == ((900, 36), (20, 36))
    np.testing.assert_allclose(np.linalg.norm(dictionary, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(signals.mean(axis=1), 0, atol=1e-4)
    again, _ = data.problem((4, 3), True, 20, 900)
    np.testing.assert_array_equal(signals, again)
    _, codebook = data.problem((4, 3), True, 20, 900, unit=False)
    norms = np.linalg.norm(codebook, axis=1, keepdims=True)
    np.testing.assert_allclose(codebook / norms, dictionary, rtol=1e-5, atol=1e-6)
    assert np.ptp(norms) > 0.1


@pytest.mark.parametrize(
    ("value", "text"),
    [(846_432, "846k"), (1_754_000, "1.75M"), (23_440, "23.4k"), (496, "496"), (999_600, "1.00M"), (0.5, "0.50")],
)
def test_rates_have_three_digits(value, text):
    assert report.si(value) == text
