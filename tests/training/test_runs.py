"""A run is what it says: the same curve after kill -9, the same numbers in two processes, everything in its folder."""

import json
import signal
import time

import numpy as np
import pytest
import torch
from PIL import Image

from sparsefast.cli import main
from sparsefast.tensor_files import load_arrays
from sparsefast.training.checkpoints import read_checkpoint
from tests.training.runs import command, curve, largest_difference, losses, one_line, started, summary, trained, words


def wait_for_lines(process, file, n, seconds=120):
    """Until a file has so many lines."""
    end = time.monotonic() + seconds
    while not file.exists() or len(file.read_text().splitlines()) < n:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)


# One model in the default tier: each takes two processes, which spend their time importing.
SLOW = pytest.mark.slow


def slow(*models):
    return [pytest.param(model, marks=SLOW) for model in models]


@pytest.mark.parametrize("model", ["dlvae", *slow("vqvae", "laser", "hybridvae", "denoiser")])
def test_a_run_that_was_killed_goes_on_to_the_same_curve_bit_for_bit(model, tmp_path):
    long = ["train.max_steps=40", "train.checkpoint_every=8", "train.evaluate_every=2", "data.workers=1"]
    whole = trained(model, tmp_path / "whole", *long[:3])  # workers change nothing either
    killed = started(*words(model, tmp_path, *long, "name=killed"))
    folder = tmp_path / "killed"
    wait_for_lines(killed, folder / "metrics.jsonl", 20)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    lines = curve(folder)
    assert 19 <= len(lines) < len(curve(whole))
    assert main(["train", "--resume", str(folder), "train.progress=false"]) == 0
    assert curve(folder) == curve(whole)
    step = read_checkpoint(folder / "checkpoints" / "last.ckpt")["global_step"]
    assert step == 40
    for name in ("weights", "best"):
        for ours, its in zip(
            *(load_arrays(f / f"{name}.safetensors", "weights", 1)[0].items() for f in (whole, folder)), strict=True
        ):
            assert ours[0] == its[0]
            np.testing.assert_array_equal(ours[1], its[1], err_msg=ours[0])


@pytest.mark.parametrize("model", ["dlvae", *slow("vqvae", "laser", "hybridvae", "denoiser")])
def test_two_processes_match_one_to_the_rounding_of_float64(model, tmp_path):
    more = ["train.precision=64", "data.eval_images=13"]  # which two cannot share evenly
    if model != "denoiser":
        more += ["model.mr_dct_weight=1.0", "model.mr_gradient_weight=0.5"]
    one = trained(model, tmp_path, *more, "name=one")
    done = command(*words(model, tmp_path, *more, "name=two", "train.devices=2"))
    assert done.returncode == 0, done.stderr
    # 12 steps of sums in another order, which training may amplify.
    assert largest_difference(curve(one), curve(tmp_path / "two")) < 1e-9


ONLINE = ["model.ksvd_iterations=0", "model.use_online_learning=true"]


@pytest.mark.parametrize(("model", "more"), [("laser", []), ("laser", ONLINE), ("hybridvae", [])], ids=str)
def test_a_resumed_run_has_the_curve_of_one_that_was_not_ended(model, more, tmp_path):
    steady = ["train.schedule=constant", *more]
    whole = trained(model, tmp_path / "whole", *steady)
    folder = trained(model, tmp_path, "name=run", *steady, "train.max_steps=8")
    assert main(["train", "--resume", str(folder), "train.max_steps=12", "train.progress=false"]) == 0
    assert curve(folder) == curve(whole)


@pytest.mark.slow
def test_two_processes_that_learn_online_match_one(tmp_path):
    more = ["train.precision=64", *ONLINE]
    one = trained("laser", tmp_path, *more, "name=one")
    done = command(*words("laser", tmp_path, *more, "name=two", "train.devices=2"))
    assert done.returncode == 0, done.stderr
    assert largest_difference(curve(one), curve(tmp_path / "two")) < 1e-9


def test_parts_of_a_batch_add_up_to_the_batch(tmp_path):
    more = ["train.precision=64", "train.clip=0.1"]
    whole = trained("denoiser", tmp_path, *more, "name=whole")
    parts = trained("denoiser", tmp_path, *more, "name=parts", "train.accumulate=4")
    assert largest_difference(curve(whole), curve(parts)) < 1e-10


def test_everything_is_in_the_folder(tmp_path):
    folder = trained("dlvae", tmp_path, "logger=default", "seed=3")
    assert "seed: 3" in (folder / "config.yaml").read_text()
    versions = json.loads((folder / "versions.json").read_text())
    assert versions["seed"] == 3 and versions["torch"] == torch.__version__
    lines = curve(folder)
    assert [line["step"] for line in lines if "train/loss" in line] == list(range(1, 13))
    assert [line["step"] for line in lines if "val/psnr" in line] == [4, 8, 12]
    for key in ("train/recon_loss", "train/dl_loss", "train/psnr", "train/sparsity"):
        assert all(np.isfinite(losses(folder, key)))
    assert (folder / "metrics.csv").read_text().splitlines()[0].startswith("step,epoch,seconds,train/loss")
    assert list((folder / "tensorboard").glob("events.out.tfevents.*"))
    assert "finished" in (folder / "log.txt").read_text()
    for step in (4, 8, 12):
        with Image.open(folder / "samples" / f"step-{step:07d}.png") as picture:
            assert picture.size[0] >= 2 * 128
    (row,) = summary(tmp_path)
    assert row["run"] == folder.name and row["seed"] == "3" and float(row["val/psnr"]) == lines[-1]["val/psnr"]
    # What TensorBoard shows is what is in the file.
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("train/loss")] == list(range(1, 13))
    np.testing.assert_allclose([e.value for e in events.Scalars("train/loss")], losses(folder), rtol=1e-6)
    assert events.Images("samples")


def test_what_is_evaluated_is_the_average_of_the_weights(tmp_path):
    folder = trained("denoiser", tmp_path, "train.ema=0.5", "train.max_steps=3", "train.checkpoint_every=1")
    weights = [
        load_arrays(folder / "weights.safetensors", "weights", 1)[0],
        read_checkpoint(folder / "checkpoints" / "last.ckpt"),
    ]
    averages = next(
        state["averages"] for name, state in weights[1]["callbacks"].items() if name.startswith("WeightAverage")
    )
    for name, average in averages.items():
        assert average.dtype == torch.float32
        np.testing.assert_array_equal(weights[0][name], average.numpy())
        assert not np.array_equal(weights[0][name], weights[1]["state_dict"][name].numpy())


def test_the_best_weights_are_those_of_the_best_evaluation(tmp_path):
    folder = trained("vqvae", tmp_path, "model.learning_rate=0.5", "train.ema=0", "train.schedule=constant")
    lines = [line for line in curve(folder) if "val/recon_loss" in line]
    best = min(lines, key=lambda line: line["val/recon_loss"])
    assert best["step"] < lines[-1]["step"]  # at such a rate it gets worse
    for name, line in (("best", best), ("weights", lines[-1])):
        about = load_arrays(folder / f"{name}.safetensors", "weights", 1)[1]
        assert about["step"] == line["step"] and about["metrics"]["val/recon_loss"] == line["val/recon_loss"]


def test_the_average_is_the_recursion_it_is_said_to_be():
    from sparsefast.pipelines import config_class, make_task
    from sparsefast.training.ema import WeightAverage

    task = make_task(config_class("denoiser")(width=4, blocks=1), (1, 8, 8), 0)
    average = WeightAverage(0.4)
    average.start(task)
    name, weight = next(iter(task.named_parameters()))
    expected = weight.detach().clone()
    for n in range(6):
        with torch.no_grad():
            weight.add_(n + 1.0)
        average.step(task)
        decay = min(0.4, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * weight.detach()
    torch.testing.assert_close(average.state_dict()["averages"][name], expected)
    before = weight.detach().clone()
    with average.applied(task):
        torch.testing.assert_close(weight.detach(), expected)
    assert torch.equal(weight, before)


def test_a_killed_data_worker_ends_the_run_with_a_line(tmp_path):
    endless = ["train.max_steps=100000", "train.checkpoint_every=100000"]
    process = started(*words("denoiser", tmp_path, "name=run", "data.workers=1", *endless))
    wait_for_lines(process, tmp_path / "run" / "metrics.jsonl", 3)
    (child,) = [pid for pid in children(process.pid) if "resource_tracker" not in commandline(pid)]
    signal_to(child)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 2, err
    assert len(err.strip().splitlines()) == 1 and "data.workers=0" in err
    assert (tmp_path / "run" / "metrics.jsonl").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 2), (signal.SIGINT, 130)], ids=["SIGTERM", "SIGINT"])
def test_a_run_that_is_told_to_end_does_not_look_like_one_that_is_done(number, code, tmp_path):
    process = started(*words("denoiser", tmp_path, "name=run", "train.max_steps=100000"))
    wait_for_lines(process, tmp_path / "run" / "metrics.jsonl", 12)
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == code, err
    assert "Traceback" not in err
    assert ("go on with --resume" in err) == (code == 2)
    assert not (tmp_path / "summary.csv").exists()
    read_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")


def test_a_killed_process_ends_the_others_and_says_how_to_go_on(tmp_path):
    more = ["name=run", "train.devices=2", "train.max_steps=100000"]
    process = started(*words("denoiser", tmp_path, *more))
    wait_for_lines(process, tmp_path / "run" / "metrics.jsonl", 3)
    workers = [pid for pid in children(process.pid) if "--resume" in commandline(pid)]
    assert len(workers) == 2
    signal_to(workers[1])
    _, err = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "was killed (SIGKILL)" in err.splitlines()[-1] and "--resume" in err.splitlines()[-1]
    assert "Traceback" not in err
    assert main(["train", "--resume", str(tmp_path / "run"), "train.devices=1", "train.max_steps=8"]) == 0


def children(pid):
    from pathlib import Path

    return [
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]


def commandline(pid):
    from pathlib import Path

    return Path(f"/proc/{pid}/cmdline").read_text()


def signal_to(pid):
    import os

    os.kill(pid, signal.SIGKILL)


def test_a_full_disk_is_one_line_and_leaves_the_last_checkpoint(tmp_path):
    folder = trained("denoiser", tmp_path, "name=run", "train.schedule=constant")
    before = (folder / "checkpoints" / "last.ckpt").read_bytes()
    # No file of this process may become longer than this, as on a disk without room for it.
    limited = (
        "import resource, sys; from sparsefast.cli import main; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192)); "
        f"sys.exit(main(['train', '--resume', {str(folder)!r}, 'train.max_steps=20', 'logger=none']))"
    )
    import subprocess
    import sys

    from tests.training.runs import environment

    done = subprocess.run(
        [sys.executable, "-c", limited], env=environment(), text=True, capture_output=True, timeout=120
    )
    one_line(done, "File too large")
    assert (folder / "checkpoints" / "last.ckpt").read_bytes() == before
    assert not list(folder.glob("**/.sparsefast-*"))
    # With room again it goes on, to what an undisturbed run has.
    assert main(["train", "--resume", str(folder), "train.max_steps=20"]) == 0
    assert losses(folder) == losses(
        trained("denoiser", tmp_path / "whole", "train.schedule=constant", "train.max_steps=20")
    )
