"""`sparsefast train`, `eval`, `sample` and `reconstruct`, as they are typed."""

import json
import os
import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from sparsefast.cli import main
from sparsefast.images import Picture, psnr, read, write
from sparsefast.images.photos import photos
from sparsefast.tensor_files import load_arrays, save_arrays
from tests.training.runs import MODELS, command, curve, one_line, summary, trained, words


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with a small run of each model."""
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("runs")
    for model in MODELS:
        trained(model, out, f"name={model}")
    return out


def failed(capsys, *arguments):
    """The line of a command that fails; the process goes on."""
    capsys.readouterr()
    assert main([str(word) for word in arguments]) == 2
    err = capsys.readouterr().err.strip()
    assert err.startswith("sparsefast: error: ") and "\n" not in err, err
    return err


def test_a_dry_run_says_everything_and_writes_nothing(tmp_path, capsys):
    assert main([*words("dlvae", tmp_path / "out"), "--dry-run"]) == 0
    said = capsys.readouterr().out
    for part in (
        "num_embeddings: 16",
        "dlvae, ",
        "64 images to train on, 12 held out",
        "12, 8 an epoch, a checkpoint every 4",
    ):
        assert part in said
    assert not (tmp_path / "out").exists()


def test_a_sweep_runs_each_and_the_table_has_them_all(tmp_path, capsys):
    assert main(words("denoiser", tmp_path, "seed=1,2", "model.width=4,8", "train.max_steps=2")) == 0
    said = capsys.readouterr().out
    assert "run 1 of 4: " in said and "seed=2 model.width=8" in said.replace("model=denoiser ", "")
    rows = summary(tmp_path)
    assert len(rows) == len({row["run"] for row in rows}) == 4
    assert sorted(row["seed"] for row in rows) == ["1", "1", "2", "2"]


def test_options_stand_anywhere_among_the_words(tmp_path):
    out = words("denoiser", tmp_path, "train.max_steps=1")
    assert main([*out[:3], "--quiet", *out[3:8], "--dry-run", *out[8:]]) == 0
    with pytest.raises(SystemExit):
        main([*out, "--nonsense"])


def test_the_configuration_of_a_run_runs_again_from_its_file(runs, tmp_path):
    file = runs / "dlvae" / "config.yaml"
    assert main(["train", "--config", str(file), f"out={tmp_path}", "name=again"]) == 0
    assert curve(tmp_path / "again") == curve(runs / "dlvae")


def test_a_folder_is_not_used_twice(runs, capsys):
    before = (runs / "dlvae" / "metrics.jsonl").read_bytes()
    assert "--resume" in failed(capsys, *words("dlvae", runs, "name=dlvae"))
    assert (runs / "dlvae" / "metrics.jsonl").read_bytes() == before


def test_resume_goes_on_with_the_named_run_or_begins_it(tmp_path):
    short = words("denoiser", tmp_path, "name=run", "train.schedule=constant")
    assert main([*short, "--resume"]) == 0
    assert main(["train", "--resume", *[word.replace("max_steps=12", "max_steps=16") for word in short[1:]]]) == 0
    whole = trained("denoiser", tmp_path, "name=whole", "train.schedule=constant", "train.max_steps=16")
    assert curve(tmp_path / "run") == curve(whole)


def test_a_run_that_is_done_stays_as_it_is(runs):
    before = (runs / "vqvae" / "metrics.jsonl").read_bytes()
    assert main(["train", "--resume", str(runs / "vqvae"), "train.progress=false"]) == 0
    assert (runs / "vqvae" / "metrics.jsonl").read_bytes() == before


@pytest.mark.parametrize("word", ["model.num_hiddens=16", "data.size=32", "seed=5", "model=dlvae"])
def test_what_a_run_is_of_does_not_change_on_the_way(runs, capsys, word):
    said = failed(capsys, "train", "--resume", runs / "vqvae", word)
    assert word in said and "only train.* and logger.* may change" in said


def test_a_checkpoint_of_another_model_is_refused(runs, tmp_path, capsys):
    import shutil

    shutil.copytree(runs / "vqvae", tmp_path / "run")
    shutil.copy(runs / "dlvae" / "checkpoints" / "last.ckpt", tmp_path / "run" / "checkpoints" / "last.ckpt")
    assert "is of another model (dlvae)" in failed(capsys, "train", "--resume", tmp_path / "run")


class Hostile:
    """Runs a command when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_a_checkpoint_with_code_in_it_is_refused_and_not_run(runs, tmp_path, capsys):
    import shutil

    shutil.copytree(runs / "vqvae", tmp_path / "run")
    mark = tmp_path / "was-run"
    file = tmp_path / "run" / "checkpoints" / "last.ckpt"
    for save in (
        lambda: torch.save({"sparsefast": Hostile(mark)}, file),
        lambda: file.write_bytes(pickle.dumps(Hostile(mark))),
    ):
        save()
        assert "holds objects that are not tensors" in failed(capsys, "train", "--resume", tmp_path / "run")
        assert not mark.exists()
    file.write_bytes(b"nothing of the kind")
    assert str(file) in failed(capsys, "train", "--resume", tmp_path / "run")
    file.write_bytes((runs / "vqvae" / "checkpoints" / "last.ckpt").read_bytes()[:5000])
    assert str(file) in failed(capsys, "train", "--resume", tmp_path / "run")
    torch.save({"state_dict": {}}, file)
    assert "not a checkpoint of sparsefast train" in failed(capsys, "train", "--resume", tmp_path / "run")


def test_missing_data_leave_no_folder_behind(tmp_path, capsys):
    said = failed(capsys, "train", "data=cifar10", f"data.root={tmp_path}/cifar", f"out={tmp_path}/out")
    assert f"{tmp_path}/cifar" in said and "cs.toronto.edu" in said
    assert not (tmp_path / "out").exists()


def test_errors_of_a_process_are_a_line_and_its_exit_code_is_2(tmp_path):
    one_line(command("train", "model.num_embedings=3", f"out={tmp_path}"), "model.num_embeddings")
    done = command("--debug", "train", "model.num_embedings=3", f"out={tmp_path}")
    assert done.returncode == 2 and "Traceback" in done.stderr


@pytest.mark.parametrize("model", MODELS)
def test_eval_gives_the_numbers_of_the_training(runs, model, capsys):
    assert main(["eval", f"model={model}", f"out={runs}", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    last = curve(runs / model)[-1]
    assert found == {key: value for key, value in last.items() if key.startswith("val/")}
    assert summary(runs)[-1]["run"] == model


def test_eval_of_a_checkpoint_is_that_of_the_weights_beside_it(runs, capsys):
    found = []
    for file in ("weights.safetensors", "checkpoints/last.ckpt"):
        assert main(["eval", "--run", str(runs / "laser" / file), "--json"]) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0] == found[1]
    assert summary(runs)[-1]["run"] == "laser"


def test_eval_of_other_pictures_is_of_these(runs, capsys):
    assert main(["eval", "--run", str(runs / "vqvae"), "data=synthetic", "data.size=16", "data.eval_images=8"]) == 0
    said = capsys.readouterr().out
    assert "synthetic, 8 held-out images" in said and "psnr" in said


def test_a_run_is_found_by_its_choices_or_said_to_be_missing(runs, tmp_path, capsys):
    assert "holds no run of model=dlvae" in failed(capsys, "eval", "model=dlvae", f"out={tmp_path}")
    assert "is of model=vqvae" in failed(capsys, "eval", "model=dlvae", "--run", runs / "vqvae")
    assert "those of its file" in failed(capsys, "eval", "model.num_hiddens=4", "--run", runs / "vqvae")
    assert "holds no weights.safetensors" in failed(capsys, "eval", "--run", tmp_path)
    save_arrays(tmp_path / "other.safetensors", "DictionaryStats", 1, {"x": np.zeros(3)}, {})
    assert "not a sparsefast.weights" in failed(capsys, "eval", "--run", tmp_path / "other.safetensors")


def test_weights_of_other_shapes_are_refused(runs, tmp_path, capsys):
    weights, about = load_arrays(runs / "vqvae" / "weights.safetensors", "weights", 1)
    about["config"]["model"]["num_hiddens"] = 4
    save_arrays(tmp_path / "w.safetensors", "weights", 1, weights, about)
    assert "is of another model: autoencoder." in failed(capsys, "eval", "--run", tmp_path / "w.safetensors")


def test_samples_are_pictures_of_the_seed(runs, tmp_path, capsys):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        out = tmp_path / f"{name}.png"
        assert (
            main(["sample", "--run", str(runs / "denoiser"), "--n", "5", "--seed", str(seed), "--out", str(out)]) == 0
        )
    a, b, c = (np.asarray(Image.open(tmp_path / f"{name}.png")) for name in "abc")
    assert np.array_equal(a, b) and not np.array_equal(a, c)
    assert "model vqvae makes no pictures by itself" in failed(
        capsys, "sample", "--run", runs / "vqvae", "--out", tmp_path / "d.png"
    )
    assert "--n 0 must be" in failed(capsys, "sample", "--run", runs / "denoiser", "--n", "0")


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("kind", ["colour", "grey", "deep"])
def test_photographs_of_any_size_and_kind_go_through(runs, tmp_path, model, kind, capsys):
    pixels = photos()["coffee"][:53, :71]
    if kind == "grey":
        pixels = pixels[..., 0]
    if kind == "deep":
        pixels = pixels.astype(np.uint16) * 257
    photo, out = tmp_path / "photo.png", tmp_path / "out.png"
    write(photo, Picture(np.ascontiguousarray(pixels)))
    assert main(["reconstruct", str(photo), "--run", str(runs / model), "--out", str(out)]) == 0
    found = read(out).pixels
    assert found.shape == pixels.shape and found.dtype == pixels.dtype
    said = capsys.readouterr().out
    assert f"{psnr(pixels, found, 65535 if kind == 'deep' else 255):.2f} dB" in said
    assert ("bits per pixel" in said) == (model != "denoiser")


@pytest.mark.parametrize("model", MODELS)
def test_tiles_leave_no_seam(runs, tmp_path, model, monkeypatch):
    photo = tmp_path / "photo.png"
    write(photo, Picture(np.ascontiguousarray(photos()["coffee"][:200, :300])))
    found = []
    for tile in (1024, 128):
        monkeypatch.setattr("sparsefast.commands.reconstruct.TILE", tile)
        out = tmp_path / f"{tile}.png"
        assert main(["reconstruct", str(photo), "--run", str(runs / model), "--out", str(out)]) == 0
        found.append(read(out).pixels.astype(int))
    assert np.abs(found[0] - found[1]).max() <= 1  # rounding to 8 bits


def test_held_out_pictures_go_through_without_photographs(runs, tmp_path, capsys):
    out = tmp_path / "grid.png"
    assert main(["reconstruct", "model=dlvae", f"out={runs}", "--n", "3", "--out", str(out)]) == 0
    assert "the mean of these 3" in capsys.readouterr().out
    assert np.asarray(Image.open(out)).shape[1] == 3 * 128 + 2 * 8
    photo = tmp_path / "photo.png"
    write(photo, Picture(photos()["coffee"][:32, :32].copy()))
    assert "write" in failed(capsys, "reconstruct", photo, "--run", runs / "dlvae", "--out", photo)
