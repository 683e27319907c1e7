"""`sparsefast plot` writes what a run has learned, and says what it wrote."""

import builtins

import pytest
from PIL import Image

from sparsefast.cli import main
from tests.training.runs import trained

FIGURES = {"reconstructions", "codes", "latent", "usage", "channels", "sheet", "embedding", "curves"}


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    import torch

    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("runs")
    for model in ("vqvae", "dlvae", "denoiser"):
        trained(model, out, f"name={model}", "train.max_steps=2")
    return out


@pytest.mark.parametrize("model", ["vqvae", "dlvae"])
def test_a_run_is_drawn_into_its_folder(model, out, capsys):
    assert main(["plot", f"model={model}", f"out={out}", "--n", "9"]) == 0
    said = capsys.readouterr().out.splitlines()
    files = {out / model / "plots" / f"{name}.png" for name in FIGURES}
    assert {line.split(maxsplit=1)[1] for line in said if line.startswith("written")} == set(map(str, files))
    assert set((out / model / "plots").iterdir()) == files
    for file in files:
        with Image.open(file) as picture:
            picture.load()
            assert picture.format == "PNG"


def test_weights_alone_are_drawn_without_curves_and_again_over_what_was_there(out, tmp_path, capsys):
    weights = tmp_path / "w.safetensors"
    weights.write_bytes((out / "vqvae" / "weights.safetensors").read_bytes())
    drawn = []
    for _ in range(2):
        assert main(["plot", "--run", str(weights), "--out", str(tmp_path / "a" / "b"), "--n", "4"]) == 0
        files = sorted((tmp_path / "a" / "b").iterdir())
        assert {file.stem for file in files} == FIGURES - {"curves"}
        drawn.append([file.read_bytes() for file in files])
    assert drawn[0] == drawn[1]


def test_a_model_without_codes_has_its_curves(out, capsys):
    assert main(["plot", "--run", str(out / "denoiser"), "--out", str(out / "denoiser" / "p")]) == 0
    assert [file.name for file in (out / "denoiser" / "p").iterdir()] == ["curves.png"]


def test_errors_are_one_line(out, tmp_path, capsys, monkeypatch):
    file = tmp_path / "file"
    file.write_text("")
    run = str(out / "vqvae")
    for words, part in (
        (["--run", str(tmp_path)], "holds no weights.safetensors"),
        (["model=vqvae", f"out={tmp_path}"], "holds no run of model=vqvae"),
        (["--run", run, "--out", str(file)], f"--out {file} is a file; it must be a folder"),
        (["--run", run, "--n", "0"], "--n 0 must be 1 to 4096"),
        (["--run", run, "data.channels=1"], "was trained on 3 channels"),
        (["--run", run, "model.num_hiddens=4"], "the keys of a trained model are those of its file"),
    ):
        assert main(["plot", *words]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and part in said, said
    original = builtins.__import__

    def without(name, *rest, **more):
        if name.startswith("matplotlib"):
            raise ModuleNotFoundError(name)
        return original(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    assert main(["plot", "--run", run]) == 2
    assert "pip install matplotlib" in capsys.readouterr().err
