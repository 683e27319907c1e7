"""Each key of `train` changes what it says that it changes."""

import math

import numpy as np
import pytest
from PIL import Image

from sparsefast.cli import main
from sparsefast.training.config import LoggerConfig, TrainConfig
from tests.training.runs import curve, losses, trained, words

MODEL = "denoiser"


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    import torch

    torch.set_num_threads(1)
    return trained(MODEL, tmp_path_factory.mktemp("usual"))


def steps(folder, key):
    return [line["step"] for line in curve(folder) if key in line]


def pictures(folder):
    return {file.name: Image.open(file).size for file in (folder / "samples").glob("*.png")}


# A key with another value, and what is to be seen of it.
CHANGES = {
    "max_epochs": ("train.max_epochs=1", lambda run: steps(run, "train/loss")[-1]),
    "max_steps": ("train.max_steps=6", lambda run: steps(run, "train/loss")[-1]),
    "checkpoint_every": ("train.checkpoint_every=3", lambda run: steps(run, "val/psnr")),
    "evaluate_every": ("train.evaluate_every=2", lambda run: steps(run, "val/psnr")),
    "log_every": ("train.log_every=2", lambda run: steps(run, "train/loss")),
    "precision": ("train.precision=64", losses),
    "clip": ("train.clip=0.01", losses),
    "ema": ("train.ema=0.0", lambda run: losses(run, "val/loss")),
    "schedule": ("train.schedule=constant", lambda run: losses(run, "learning_rate")),
    "warmup_steps": ("train.warmup_steps=5", lambda run: losses(run, "learning_rate")),
    "weight_decay": ("train.weight_decay=0.5", losses),
    "betas": ("train.betas=[0.5,0.9]", losses),
    "samples": ("train.samples=3", pictures),
    "metrics": ("train.metrics=[mse,mae,ssim]", lambda run: [key for key in curve(run)[-1] if key.startswith("val/")]),
}
# Shown by tests of their own: below, and in test_runs.
ELSEWHERE = {"name", "devices", "accelerator", "compile", "accumulate", "weights", "progress"}


def test_every_key_is_shown_to_do_something():
    assert set(CHANGES) | ELSEWHERE == set(TrainConfig.__dataclass_fields__)


@pytest.mark.parametrize("key", CHANGES)
def test_a_key_changes_what_it_says(key, usual, tmp_path):
    word, seen = CHANGES[key]
    run = trained(MODEL, tmp_path, word)
    assert seen(run) != seen(usual)
    # What has no say in the steps leaves them as they are.
    if key in ("checkpoint_every", "evaluate_every", "ema", "samples", "metrics"):
        assert losses(run) == losses(usual)


def test_log_every_gives_the_means_of_its_steps(usual, tmp_path):
    run = trained(MODEL, tmp_path, "train.log_every=2")
    pairs = np.reshape(losses(usual), (-1, 2)).mean(axis=1)
    np.testing.assert_allclose(losses(run), pairs, rtol=1e-7)


def test_the_learning_rate_rises_and_falls_as_it_says(tmp_path):
    rates = losses(trained(MODEL, tmp_path), "learning_rate")
    # A line has the rate of the next step; the 12 steps are 2 of warming up and 10 of half a wave.
    expected = [1.0] + [(1 + math.cos(math.pi * i / 10)) / 2 for i in range(11)]
    np.testing.assert_allclose(rates, 2e-3 * np.array(expected), rtol=1e-12)


def test_networks_that_are_compiled_and_in_bfloat16_have_the_loss_of_those_that_are_not(usual, tmp_path):
    whole = np.array(losses(usual))
    for word in ("train.compile=true", "train.precision=bf16"):
        other = np.array(losses(trained(MODEL, tmp_path, word)))
        assert np.any(other != whole)
        assert np.max(np.abs(other / whole - 1)) < 0.01


@pytest.mark.parametrize("model", ["vqvae", "dlvae", "laser", "hybridvae"])
@pytest.mark.parametrize("word", ["train.precision=bf16", pytest.param("train.compile=true", marks=pytest.mark.slow)])
def test_so_have_autoencoders(model, word, tmp_path):
    whole = np.array(losses(trained(model, tmp_path)))
    other = np.array(losses(trained(model, tmp_path, word)))
    assert np.any(other != whole)
    assert np.max(np.abs(other / whole - 1)) < 0.01


def test_a_device_that_does_not_work_is_said(tmp_path, capsys, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(words(MODEL, tmp_path, "train.accelerator=cuda")) == 2
    assert "train.accelerator=cuda" in capsys.readouterr().err


def test_what_cannot_be_shared_is_said_before_it_starts(tmp_path, capsys):
    for word in ("train.accumulate=3", "train.devices=3"):
        assert main(words(MODEL, tmp_path, word)) == 2
        assert "data.batch_size=8 must be a multiple of" in capsys.readouterr().err
    assert main(words(MODEL, tmp_path, "train.weights=/nowhere")) == 2
    assert "/nowhere" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_metrics_without_their_networks_are_left_out_and_said_once(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    run = trained(MODEL, tmp_path / "out", "train.metrics=[psnr,lpips,fid]")
    said = capsys.readouterr().out
    assert said.count("note: ") == 1 and "lpips" in said and "fid" in said
    assert "val/psnr" in curve(run)[-1] and "val/lpips" not in curve(run)[-1]


def test_the_bar_shows_rate_loss_and_psnr(monkeypatch):
    import io

    from sparsefast.training.bar import Bar

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    class Trainer:
        global_step = 3

    shown = {}
    for wanted in (True, False):
        screen = Terminal()
        monkeypatch.setattr("sys.stderr", screen)
        bar = Bar(10, wanted)
        bar.on_train_start(Trainer, None)
        bar.show({"step": 3, "train/loss": 0.25, "train/psnr": 21.5, "images_per_second": 1234.0})
        bar.on_train_batch_end(Trainer, None, None, None, 0)
        bar.close()
        shown[wanted] = screen.getvalue()
    assert shown[False] == ""
    for part in ("3/10", "images/s 1234", "loss 0.25", "PSNR 21.50"):
        assert part in shown[True]


def test_each_key_of_the_logger_does_something(tmp_path, monkeypatch, capsys):
    from sparsefast.training import loggers

    made = []
    monkeypatch.setattr(loggers, "WandbLogger", lambda **keys: made.append(keys))
    chosen = LoggerConfig(csv=False, tensorboard=False, wandb=True, wandb_project="p", wandb_mode="offline")
    loggers.make_loggers(chosen, tmp_path / "run", 0)
    assert made == [{"name": "run", "id": "run", "save_dir": str(tmp_path / "run"), "project": "p", "offline": True}]
    assert loggers.make_loggers(LoggerConfig(tensorboard=False), tmp_path, 0) == []
    bare = trained(MODEL, tmp_path / "a", "logger=none", "train.max_steps=1")
    assert not (bare / "metrics.csv").exists() and not (bare / "tensorboard").exists()
    monkeypatch.setattr(loggers.importlib.util, "find_spec", lambda name: None)
    for word in ("logger.wandb=true", "logger.tensorboard=true"):
        assert main([*words(MODEL, tmp_path / "b"), word]) == 2
        assert "pip install" in capsys.readouterr().err
