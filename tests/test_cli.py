"""The command: exit codes, one line for an error, and what `info` and `demo` say."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import types

import numpy as np
import pytest
from PIL import Image

import sparsefast
from sparsefast import cli, dispatch


def command(*arguments, **options):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    return [sys.executable, "-m", "sparsefast", *arguments], {"env": environment, "text": True, **options}


def run(*arguments, **options):
    words, options = command(*arguments, capture_output=True, timeout=300, **options)
    return subprocess.run(words, **options)


@pytest.fixture
def picture(tmp_path):
    rng = np.random.default_rng(0)
    smooth = (
        np.linspace(0, 200, 40)[:, None, None] + np.linspace(0, 40, 30)[None, :, None] + rng.integers(0, 9, (40, 30, 3))
    )
    path = tmp_path / "photo.png"
    Image.fromarray(smooth.astype(np.uint8)).save(path)
    return path


@pytest.fixture
def broken(monkeypatch):
    """A command that raises what it is told to."""
    module = types.ModuleType("broken_command")
    module.add_arguments = lambda parser: None
    monkeypatch.setitem(sys.modules, "broken_command", module)
    monkeypatch.setitem(cli._COMMANDS, "broken", ("a command for a test", "broken_command"))

    def raising(error):
        def fail(args):
            raise error

        module.run = fail

    return raising


def test_the_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"sparsefast {sparsefast.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: command"),
        (["sharpen"], "argument command: invalid choice: 'sharpen'"),
        (["info", "--xml"], "unrecognized arguments: --xml"),
        (["demo", "--n-nonzero", "many"], "argument --n-nonzero: invalid int value: 'many'"),
    ],
)
def test_a_wrong_command_line_ends_in_one_line_and_exit_code_2(arguments, message):
    result = run(*arguments)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith(f"sparsefast: error: {message}")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("tau=3 is\n  too much"), "tau=3 is; too much"),
        (KeyError("no such photo"), "no such photo"),
        (MemoryError(), "MemoryError:  (--debug shows where)"),
        (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero (--debug shows where)"),
    ],
    ids=repr,
)
def test_an_error_is_one_line_unless_debugging(broken, capsys, error, line):
    broken(error)
    assert cli.main(["broken"]) == 2
    assert capsys.readouterr().err == f"sparsefast: error: {line}\n".replace("  (", " (")
    for arguments in (["--debug", "broken"], ["broken", "--debug"]):
        assert cli.main(arguments) == 2
        assert "Traceback" in capsys.readouterr().err


def test_ctrl_c_exits_with_130(broken, capsys):
    broken(KeyboardInterrupt())
    assert cli.main(["broken"]) == 130
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")
def test_ctrl_c_in_a_real_run_leaves_no_traceback_and_no_file(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (3000, 3000, 3), np.uint8)).save(tmp_path / "large.bmp")
    words, options = command("demo", "--photo", str(tmp_path / "large.bmp"), "--out", str(tmp_path / "out.png"))
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    try:
        time.sleep(4)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert errors == ""
    assert [path.name for path in tmp_path.iterdir()] == ["large.bmp"]


def test_output_into_a_closed_pipe_is_no_error():
    words, options = command("info")
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    process.stdout.close()
    assert process.wait(60) == 0
    assert process.stderr.read() == ""


def test_info_shows_the_grid_and_json_says_the_same():
    text, found = run("info").stdout, json.loads(run("info", "--json").stdout)
    assert found["versions"]["sparsefast"] == sparsefast.__version__
    assert found["versions"]["NumPy"] == np.__version__
    assert "PyTorch" in found["versions"]
    assert list(found["ops"]) == list(dispatch.op_names())
    for op, cells in found["ops"].items():
        assert list(cells) == list(dispatch.backend_names())
        for backend, state in cells.items():
            assert (state == "available") == (backend in sparsefast.backends(op))
            assert re.search(rf"^  {backend} +{re.escape(state)}$", text, re.M)
    assert found["threads"]["count"] >= 1
    for key in ("native", "cuda", "cpu", "openmp"):
        assert key in found


def test_demo_writes_two_rows_of_three_panes_and_says_how_well_it_did(picture, tmp_path):
    out = tmp_path / "demo.png"
    result = run("demo", "--photo", str(picture), "--out", str(out))
    assert result.returncode == 0, result.stderr
    with Image.open(out) as sheet:
        assert sheet.format == "PNG"
        assert sheet.width >= 3 * 30
        assert sheet.height >= 2 * 40
    psnr = float(re.search(r"PSNR +([0-9.]+) dB \(data range 1", result.stdout)[1])
    assert 35 < psnr < 60
    assert 0 < float(re.search(r"atoms a patch +([0-9.]+) on average", result.stdout)[1]) <= 8
    assert re.search(r"speed +[0-9,]+ signals/s in omp, backend (cpu|numba)", result.stdout)
    assert f"{3 * 33 * 23} of 8 x 8 pixels" in result.stdout
    before, after = re.search(r"PSNR +([0-9.]+) dB before and ([0-9.]+) dB after", result.stdout).groups()
    assert 20 < float(before) < float(after) - 5


def test_demo_codes_the_photograph_that_scikit_learn_ships(tmp_path):
    pytest.importorskip("sklearn")
    result = run("demo", "--out", str(tmp_path / "demo.png"), "--n-nonzero", "2", "--sigma", "0")
    assert result.returncode == 0, result.stderr
    assert "china.jpg of scikit-learn, 640 x 427, 3 channels" in result.stdout


def test_a_smaller_error_is_a_better_picture(picture, tmp_path):
    def psnr(*options):
        result = run("demo", "--photo", str(picture), "--out", str(tmp_path / "demo.png"), "--sigma", "0", *options)
        return float(re.search(r"PSNR +([0-9.]+) dB", result.stdout)[1])

    assert psnr("--error", "1", "--n-nonzero", "32") > psnr("--error", "4", "--n-nonzero", "32") + 3


def test_a_bad_picture_or_place_ends_in_one_line_and_exit_code_2(picture, tmp_path):
    text, small, cut = tmp_path / "text.png", tmp_path / "small.png", tmp_path / "cut.png"
    text.write_text("not a picture")
    Image.new("L", (7, 20)).save(small)
    cut.write_bytes(picture.read_bytes()[:900])
    out = str(tmp_path / "out.png")
    for arguments, message in (
        (["--photo", str(text)], "text.png is not a picture that Pillow can read"),
        (["--photo", str(tmp_path / "none.png")], "none.png: No such file or directory"),
        (["--photo", str(tmp_path)], ": Is a directory"),
        (["--photo", str(small)], "small.png is 7 x 20 pixels; a patch needs 8 x 8"),
        (["--photo", str(cut)], "cut.png cannot be read as a picture"),
        (["--photo", str(picture), "--n-nonzero", "0"], "n_nonzero=0; it must be 1 to n_atoms=256"),
        (["--photo", str(picture), "--out", str(picture)], "is the photograph itself"),
        (["--photo", str(picture), "--error", "-1"], "--error -1.0 must be at least 0"),
        (["--photo", str(picture), "--sigma", "300"], "--sigma 300.0 must be 0 to 255"),
        (["--photo", str(picture), "--out", str(tmp_path / "none" / "x.png")], "none is not a folder"),
        (["--photo", str(picture), "--out", str(tmp_path / "x.jpg")], "x.jpg must end in .png"),
    ):
        result = run("demo", "--out", out, *arguments)
        assert result.returncode == 2, arguments
        assert message in result.stderr
        assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out.png").exists()


def test_bench_is_handed_to_its_own_module():
    pytest.importorskip("sparsefast.bench.cli")
    result = run("bench", "--help")
    assert result.returncode == 0
    assert "omp" in result.stdout


@pytest.mark.parametrize(("given", "expected"), [(None, "passive"), ("active", "active")])
def test_threads_of_a_command_do_not_spin_unless_asked_to(monkeypatch, given, expected):
    monkeypatch.setattr(sys, "argv", ["sparsefast", "--help"])
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if given is not None:
        monkeypatch.setenv("OMP_WAIT_POLICY", given)
    with pytest.raises(SystemExit):
        cli.main()
    assert os.environ["OMP_WAIT_POLICY"] == expected
    monkeypatch.delenv("OMP_WAIT_POLICY")
    with pytest.raises(SystemExit):
        cli.main(["--help"])  # in a process that is somebody else's
    assert "OMP_WAIT_POLICY" not in os.environ
