"""Curves are drawn from the metrics that runs write; a file that holds something else is an error at its line."""

import io
import json
import sys

import numpy as np
import pytest
from PIL import Image

from sparsefast.training.curves import plot_curves


def write(path, entries):
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return path


@pytest.fixture
def run(tmp_path):
    """A run of six steps that validates at every third."""
    entries = [{"step": i, "epoch": 0, "seconds": i / 7, "train/loss": 1 / (i + 1)} for i in range(6)]
    for i in (2, 5):
        entries.insert(i + i // 3 + 1, {"step": i, "epoch": 0, "seconds": i / 7, "val/psnr": 20.0 + i})
    return write(tmp_path / "metrics.jsonl", entries)


@pytest.fixture
def figures(monkeypatch):
    """The figures that are drawn, before they are pixels."""
    import matplotlib.figure

    drawn = []
    original = matplotlib.figure.Figure.savefig
    monkeypatch.setattr(
        matplotlib.figure.Figure, "savefig", lambda self, *a, **k: (drawn.append(self), original(self, *a, **k))
    )
    return drawn


def test_a_picture_with_a_panel_a_key_and_a_line_a_run(tmp_path, run, figures):
    other = write(tmp_path / "other.jsonl", [{"step": 4, "epoch": 1, "train/loss": 0.5}, {"step": 1, "train/loss": 2}])
    plot_curves({"vqvae": run, "dlvae": other}, tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.format == "PNG" and picture.size == (1200, 432)
        assert len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 10
    loss, psnr = figures[0].axes
    assert [axes.get_title() for axes in (loss, psnr)] == ["train/loss", "val/psnr"]
    assert [axes.get_ylabel() for axes in (loss, psnr)] == ["loss", "PSNR (dB)"]
    assert {axes.get_xlabel() for axes in (loss, psnr)} == {"optimiser step"}
    for axes in (loss, psnr):
        assert [text.get_text() for text in axes.get_legend().get_texts()] == ["vqvae", "dlvae"]
    assert loss.lines[0].get_xydata().tolist() == [[i, 1 / (i + 1)] for i in range(6)]
    assert loss.lines[1].get_xydata().tolist() == [[1, 2], [4, 0.5]]
    assert psnr.lines[0].get_xydata().tolist() == [[2, 22], [5, 25]]
    assert len(psnr.lines[1].get_xydata()) == 0
    assert loss.lines[0].get_color() == psnr.lines[0].get_color() != loss.lines[1].get_color()


def test_a_resumed_run_is_one_curve_and_what_is_not_finite_is_no_point(tmp_path, figures):
    values = [(0, 9), (1, 8), (2, 7), (1, 6), (2, float("nan")), (3, float("inf")), (4, None)]
    path = write(tmp_path / "m.jsonl", [{"step": step, "train/loss": value} for step, value in values])
    plot_curves({"run": path}, tmp_path / "c.png", keys=("train/loss",))
    assert figures[0].axes[0].lines[0].get_xydata().tolist() == [[0, 9], [1, 6]]


def test_a_last_line_that_is_not_whole_is_left_out(tmp_path, run, figures):
    with run.open("a") as file:
        file.write('{"step": 6, "train/lo')
    plot_curves({"run": run}, tmp_path / "c.png")
    assert len(figures[0].axes[0].lines[0].get_xydata()) == 6


def test_the_picture_is_replaced_whole_or_stays(tmp_path, run, monkeypatch):
    out = tmp_path / "curves.png"
    plot_curves({"run": run}, out)
    before = out.read_bytes()
    plot_curves({"run": run}, out)
    assert out.read_bytes() == before

    def fail(*_):
        raise OSError("no")

    monkeypatch.setattr("sparsefast.files.os.fsync", fail)
    with pytest.raises(OSError, match=r"curves\.png"):
        plot_curves({"run": run}, out, keys=("train/loss",))
    assert out.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"curves.png", "metrics.jsonl"}


def test_no_state_of_pyplot_is_touched(tmp_path, run):
    import matplotlib

    before = matplotlib.rcParams._get_backend_or_none()
    plot_curves({"run": run}, tmp_path / "curves.png")
    assert matplotlib.rcParams._get_backend_or_none() == before


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"m\.jsonl, line 2: not JSON"),
        ("", r"m\.jsonl, line 2: not JSON"),
        ("step,loss", r"m\.jsonl, line 2: not JSON"),
        ("\xff", r"m\.jsonl, line 2: not JSON"),
        ("[1, 2]", r'm\.jsonl, line 2: must be an object with an integer "step"'),
        ('{"train/loss": 1}', r'm\.jsonl, line 2: must be an object with an integer "step"'),
        ('{"step": 1.5}', r'm\.jsonl, line 2: must be an object with an integer "step"'),
        ('{"step": true}', r'm\.jsonl, line 2: must be an object with an integer "step"'),
        ('{"step": 1, "train/loss": "low"}', r"m\.jsonl, line 2: train/loss='low' must be a number"),
        ('{"step": 1, "train/loss": true}', r"m\.jsonl, line 2: train/loss=True must be a number"),
    ],
)
def test_a_wrong_line_is_named_with_its_file(tmp_path, line, message):
    path = tmp_path / "m.jsonl"
    path.write_bytes(b'{"step": 0, "train/loss": 1}\n' + line.encode("latin-1") + b"\n")
    with pytest.raises(ValueError, match=message) as caught:
        plot_curves({"run": path}, tmp_path / "curves.png")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "curves.png").exists()


def test_nothing_to_draw_is_an_error(tmp_path, run, monkeypatch):
    out = io.StringIO()
    for arguments, message in (
        (({}, out), "metrics is empty"),
        (({"run": run}, out, ()), "keys is empty"),
        (({"run": run}, out, ("train/loss", "val/fid")), r"no line of .*metrics\.jsonl has a value of 'val/fid'"),
    ):
        with pytest.raises(ValueError, match=message):
            plot_curves(*arguments)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        plot_curves({"run": tmp_path / "nowhere"}, out)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ModuleNotFoundError, match="pip install matplotlib"):
        plot_curves({"run": run}, tmp_path / "curves.png")
