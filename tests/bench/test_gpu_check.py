"""`make gpu-check` without a GPU: its plan, what it reads, and what it leaves behind when something fails."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import sparsefast

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "benchmarks" / "gpu_check.py"

JUNIT = """<?xml version="1.0" encoding="utf-8"?>
<testsuites><testsuite name="pytest" errors="1" failures="1" skipped="2" tests="7">
  <testcase classname="tests.kernels.test_ols" name="test_a[cuda]"><failure message="assert 1 == 2
  and more">traceback</failure></testcase>
  <testcase classname="" name="tests.ops.test_b"><error message="collection failure">traceback</error></testcase>
  <testcase classname="tests.test_c" name="test_c"><skipped message="needs CuPy">there</skipped></testcase>
  <testcase classname="tests.test_c" name="test_d"><skipped message="needs CuPy">there</skipped></testcase>
</testsuite></testsuites>
"""


@pytest.fixture
def check(monkeypatch, tmp_path):
    """The program as a module, with its build folder elsewhere and a device that is not there."""
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    monkeypatch.setenv("PATH", os.environ["PATH"])
    stages, module = importlib.import_module("gpu_stages"), importlib.import_module("gpu_check")
    monkeypatch.setattr(stages, "BUILD", tmp_path / "build")
    monkeypatch.setattr(module, "BUILD", tmp_path / "build")
    monkeypatch.setattr(module, "find_device", lambda: {"name": "NVIDIA Test 1", "capability": "90"})
    yield module
    for name in ("gpu_stages", "gpu_check"):
        sys.modules.pop(name, None)


def steps(check, **commands):
    """A stage whose steps run pieces of Python."""
    return [check.Step(name, [sys.executable, "-c", code]) for name, code in commands.items()]


def planned(monkeypatch, check, **found):
    monkeypatch.setattr(check, "stages", lambda device: found)


def test_the_plan_names_every_stage_and_runs_nothing(check, capsys):
    assert check.main(["--dry-run"]) == 0
    out = capsys.readouterr().out
    heads = [line.split()[0] for line in out.splitlines() if not line.startswith(" ")]
    assert tuple(heads) == check.STAGES
    for part in (
        "-DCMAKE_CUDA_ARCHITECTURES=90-real",
        "-m 'gpu and not slow' tests",
        "--tool racecheck",
        "sparsefast.bench omp --device=cuda --variants=omp --cases=C1,C2,C3,C4,C5",
        "sparsefast.bench patches --device=cuda --seconds=0.3 --json=",
        "benchmarks/gpu_ksvd.py --json=",
    ):
        assert part in out
    assert check.main(["--dry-run", "build", "bench"]) == 0
    assert "-m pytest" not in capsys.readouterr().out


def test_as_a_command_without_a_gpu(tmp_path):
    def command(*arguments):
        words = [sys.executable, SCRIPT, f"--results={tmp_path}", *arguments]
        # Nothing is seen of a GPU that is there.
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
        return subprocess.run(words, capture_output=True, text=True, check=False, env=environment)

    done = command("machine")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "gpu_check: PyTorch sees no NVIDIA GPU here" in done.stderr
    assert command("--dry-run", "sanitize").returncode == 0
    done = command("tets")
    assert done.returncode == 2
    assert done.stderr.startswith("gpu_check: there is no stage 'tets'; there are machine, build, test")
    assert list(tmp_path.iterdir()) == []


def test_what_passed_and_failed_is_written(check, monkeypatch, tmp_path, capsys):
    planned(monkeypatch, check, machine=steps(check, a="print('hello')"), test=steps(check, b="exit(3)", c="print(7)"))
    assert check.main([f"--results={tmp_path}"]) == 1
    out = capsys.readouterr().out
    assert "== machine 1/1: a" in out and "hello" in out
    assert "NVIDIA Test 1: machine passed, test failed" in out
    found = json.loads((tmp_path / "gpu-check-nvidia-test-1.json").read_text())
    assert found["device"]["name"] == "NVIDIA Test 1"
    machine, test = found["stages"]["machine"], found["stages"]["test"]
    assert (machine["status"], machine["steps"][0]["tail"]) == ("passed", ["hello"])
    assert test["status"] == "failed"
    # One that fails does not keep the next from running.
    assert [(s["name"], s["status"], s["returncode"]) for s in test["steps"]] == [
        ("b", "failed", 3),
        ("c", "passed", 0),
    ]
    assert str(ROOT) not in json.dumps(found)

    # Another run of one stage keeps the others.
    planned(monkeypatch, check, machine=steps(check, a="pass"), test=steps(check, b="pass"))
    assert check.main([f"--results={tmp_path}", "test"]) == 0
    again = json.loads((tmp_path / "gpu-check-nvidia-test-1.json").read_text())
    assert again["stages"]["machine"] == machine
    assert again["stages"]["test"]["status"] == "passed"


def test_a_build_that_fails_ends_its_stage(check, monkeypatch, tmp_path):
    planned(monkeypatch, check, build=steps(check, configure="exit(1)", compile="print('never')"))
    assert check.main([f"--results={tmp_path}"]) == 1
    (path,) = tmp_path.glob("gpu-check-*.json")
    assert [s["name"] for s in json.loads(path.read_text())["stages"]["build"]["steps"]] == ["configure"]


def test_a_stage_is_stopped_at_its_limit_with_its_children(check, monkeypatch, tmp_path, capsys):
    nested = "import subprocess, sys; print('started', flush=True); "
    nested += "subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])"
    planned(monkeypatch, check, test=steps(check, long=nested, later="pass"), bench=steps(check, b="print('ran')"))
    assert check.main([f"--results={tmp_path}", "--limit=2"]) == 1
    (path,) = tmp_path.glob("gpu-check-*.json")
    found = json.loads(path.read_text())["stages"]
    assert found["test"]["status"] == "timed out"
    (step,) = found["test"]["steps"]
    assert (step["name"], step["status"], step["tail"][0]) == ("long", "timed out", "started")
    # It is interrupted before it is killed, so that it can say what it has found.
    assert step["tail"][-1] == "KeyboardInterrupt"
    assert found["bench"]["status"] == "passed"


def test_a_run_that_is_interrupted_leaves_what_it_had(check, monkeypatch, tmp_path):
    def stop(step, limit):
        if step.name == "b":
            raise KeyboardInterrupt
        return run(step, limit)

    run = check.run
    monkeypatch.setattr(check, "run", stop)
    planned(monkeypatch, check, bench=steps(check, a="print(1)", b="print(2)"))
    with pytest.raises(KeyboardInterrupt):
        check.main([f"--results={tmp_path}"])
    (path,) = tmp_path.glob("gpu-check-*.json")
    bench = json.loads(path.read_text())["stages"]["bench"]
    assert (bench["status"], [s["name"] for s in bench["steps"]]) == ("interrupted", ["a"])


def test_what_an_earlier_run_left_is_not_read(check, tmp_path):
    stages = importlib.import_module("gpu_stages")
    stages.BUILD.mkdir()
    step = stages.bench_step("omp", [sys.executable, "-c", "exit(2)"])
    step.leaves.write_text('{"cases": []}')
    assert step.read() == {"bench": {"cases": []}}
    assert "bench" not in check.run(step, 10)


def test_a_command_that_is_not_there_is_a_failure(check):
    done = check.run(check.Step("nothing", ["/nowhere/tool"]), 10)
    assert done["status"] == "failed"
    assert "/nowhere/tool" in done["tail"][0]


def test_a_report_of_pytest_is_read(check, tmp_path):
    stages = importlib.import_module("gpu_stages")
    path = tmp_path / "junit.xml"
    path.write_text(JUNIT)
    found = stages.read_junit(path)
    assert {key: found[key] for key in ("tests", "failures", "errors", "skipped")} == dict(
        tests=7, failures=1, errors=1, skipped=2
    )
    assert found["failed"] == [
        "tests.kernels.test_ols::test_a[cuda]: assert 1 == 2 and more",
        "::tests.ops.test_b: collection failure",
    ]
    assert found["skipped_because"] == {"needs CuPy": 2}
    assert stages.read_junit(tmp_path / "absent.xml") == {}
    path.write_text(JUNIT[:200])
    assert stages.read_junit(path) == {}


def test_pybind11_is_taken_from_pytorch_where_it_is_missing(check, monkeypatch):
    stages = importlib.import_module("gpu_stages")
    find = importlib.util.find_spec
    monkeypatch.setattr(stages.importlib.util, "find_spec", lambda name: None if name == "pybind11" else find(name))
    if stages.torch_pybind11() is None:
        pytest.skip("this PyTorch carries no pybind11")
    configure = stages.build_steps({"capability": "80"}, sys.executable)[0].command
    (folder,) = (Path(word.partition("=")[2]) for word in configure if word.startswith("-Dpybind11_DIR="))
    assert "pybind11_add_module" in (folder / "pybind11Config.cmake").read_text()
    assert "-DCMAKE_CUDA_ARCHITECTURES=80-real" in configure


def test_the_small_part_finds_a_wrong_answer(check, monkeypatch, capsys):
    """The program that compute-sanitizer runs, here on the CPU: it compares, and notices."""
    small = importlib.import_module("gpu_small")
    monkeypatch.setattr(small, "SIZES", small.SIZES[:2])
    monkeypatch.setattr(small, "learned", tuple)  # they have a test of their own
    backend = sparsefast.backends("omp", device="cpu")[0]
    try:
        assert small.main([backend, "cuda"], device="cpu") == 0
        assert "runs on CUDA arrays only" in capsys.readouterr().out
        topk = sparsefast.topk

        def off(x, d, s, backend):
            return topk(x if backend == "reference" else 1.01 * x, d, s, backend=backend)

        monkeypatch.setattr(sparsefast, "topk", off)
        assert small.main([backend], device="cpu") == 1
        assert f"WRONG   {backend} topk" in capsys.readouterr().out
        assert small.main(["cuda"], device="cpu") == 2
    finally:
        sys.modules.pop("gpu_small", None)


def test_the_small_part_finds_a_wrong_dictionary(check, monkeypatch, capsys):
    small = importlib.import_module("gpu_small")
    backend = sparsefast.backends("ksvd_update", device="cpu")[0]
    size = (*small.SIZES[1], torch.float32)
    try:
        assert list(small.learning(backend, "cpu", *size)) == [None] * 6
        online = sparsefast.online_update

        def forgetful(stats, d, backend):
            return online(stats, d, backend=backend) * (1 if backend == "reference" else 0.99)

        monkeypatch.setattr(sparsefast, "online_update", forgetful)
        assert [wrong is None for wrong in small.learning(backend, "cpu", *size)] == [True] * 5 + [False]
        assert f"WRONG   {backend} online" in capsys.readouterr().out
        assert list(small.learning("cuda", "cpu", *size)) == []
        assert "runs on CUDA arrays only" in capsys.readouterr().out
    finally:
        sys.modules.pop("gpu_small", None)


def test_dictionary_learning_is_measured_and_a_wrong_result_has_no_speed(check, monkeypatch, tmp_path, capsys):
    """The program of the stage ksvd, here on the CPU."""
    program, path = importlib.import_module("gpu_ksvd"), tmp_path / "found.json"
    arguments = ["--signals=400", "--seconds=0.001", f"--json={path}"]
    try:
        assert program.main(arguments, device="cpu", sizes=(16, 24, 3)) == 0
        found = json.loads(path.read_text())
        assert [row["op"] for row in found["rows"]] == ["approx", "exact", "stats", "online"]
        assert all(row["seconds"] > 0 and row["cpu_seconds"] > 0 for row in found["rows"])
        assert [goal["op"] for goal in found["goals"]] == ["approx", "exact"]
        made, calls = [], program.calls

        def worse_the_second_time(given):
            made.append(calls(given))
            if len(made) == 2:  # after the CPU's
                made[1]["exact"] = lambda: 1.01 * made[0]["exact"]()
            return made[-1]

        monkeypatch.setattr(program, "calls", worse_the_second_time)
        capsys.readouterr()
        assert program.main(arguments, device="cpu", sizes=(16, 24, 3)) == 1
        assert capsys.readouterr().out.count("wrong: ") == 1
        assert [goal["op"] for goal in json.loads(path.read_text())["goals"]] == ["approx"]
        scaling = ["--scaling=200,400", "--only=stats", "--seconds=0.001"]
        assert program.main(scaling, device="cpu", sizes=(16, 24, 3)) == 0
        assert capsys.readouterr().out.count("us an atom") == 2
    finally:
        sys.modules.pop("gpu_ksvd", None)
