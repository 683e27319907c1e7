"""Every weight of a loss moves what it is to move, and what is logged are the parts of what is minimised."""

import pytest
import torch

from sparsefast.metrics import weights
from sparsefast.metrics.scores import ssim
from sparsefast.nn import image_losses, rates
from sparsefast.nn.coherence import coherence_loss
from sparsefast.pipelines import config_class, make_task
from sparsefast.pipelines.laser.task import bottleneck_loss_name
from sparsefast.training.checkpoints import load_weights
from sparsefast.training.config import TrainConfig
from tests.metrics.fake_weights import alexnet_state, publish
from tests.pipelines.laser.test_autoencoder import pictures
from tests.training.runs import curve, losses, main, trained, words

SMALL = dict(num_hiddens=16, num_residual_hiddens=8, num_embeddings=32, embedding_dim=8, init="random", revive_every=0)
OWN = {"vqvae": "vq_loss", "dlvae": "dl_loss"}
both = pytest.mark.parametrize("model", OWN)


def built(model, size=24, **options):
    task = make_task(config_class(model)(**{**SMALL, **options}), (3, size, size), 0)
    return task.train()


def batch(size=24, n=4):
    return {"image": pictures(n, 3, size, size)}


def after(task, steps=20, size=24):
    """What an evaluation finds after some steps."""
    adam = torch.optim.Adam(task.parameters(), lr=3e-3)
    for _ in range(steps):
        adam.zero_grad()
        task.losses(batch(size))["loss"].backward()
        adam.step()
    task.eval()
    with torch.no_grad():
        return task.evaluate(batch(size))


@both
def test_the_loss_is_the_sum_of_what_is_logged_by_its_weights(model):
    options = dict(recon_weight=2.0, bottleneck_weight=3.0, mr_dct_weight=5.0, mr_gradient_weight=7.0)
    if model == "dlvae":
        options["coherence_weight"] = 11.0
    task = built(model, **options)
    for found in (task.losses(batch()), task.eval().evaluate(batch())):
        parts = 2 * found["recon_loss"] + 3 * found[OWN[model]] + 5 * found["mr_dct_loss"] + 7 * found["mr_grad_loss"]
        if model == "dlvae":
            parts = parts + 11 * found["coherence_loss"]
        torch.testing.assert_close(found["loss"], parts)
    y = found["reconstructions"]
    x = batch()["image"]
    torch.testing.assert_close(found["mr_dct_loss"], image_losses.mr_dct_loss(x, y))
    torch.testing.assert_close(found["mr_grad_loss"], image_losses.mr_gradient_loss(x, y))
    if model == "dlvae":
        assert found["coherence_loss"] == coherence_loss(task.autoencoder.bottleneck.atoms)


@both
def test_without_a_weight_a_part_is_evaluated_but_not_in_training(model):
    task = built(model)
    assert set(task.losses(batch())) - {"sparsity"} == {"loss", "recon_loss", OWN[model], "psnr", "ssim"}
    found = task.eval().evaluate(batch())
    assert set(found) - {"sparsity", "images", "reconstructions"} == {
        "loss", "recon_loss", OWN[model], "mr_dct_loss", "mr_grad_loss"
    }  # fmt: skip
    torch.testing.assert_close(found["loss"], found["recon_loss"] + found[OWN[model]])


@both
def test_what_has_a_weight_falls_further_than_without(model):
    plain = after(built(model))
    for key, name in (("mr_dct_weight", "mr_dct_loss"), ("mr_gradient_weight", "mr_grad_loss")):
        ratio = after(built(model, **{key: 3.0}))[name] / plain[name]
        assert ratio < 0.95, (key, ratio)


def test_coherence_falls_with_its_weight():
    found = []
    for weight in (0.0, 1.0, 30.0):
        task = built("dlvae", coherence_weight=weight)
        after(task)
        atoms = task.autoencoder.bottleneck.atoms.detach()
        found.append((coherence_loss(atoms).item(), rates.mutual_coherence(atoms).item()))
    assert found[0][0] > found[1][0] > found[2][0]
    assert found[0][1] > found[2][1]


def test_ssim_of_training_is_that_of_the_pictures():
    task = built("vqvae").eval()
    x = batch(32)["image"]
    y = task.autoencoder(x)[0].detach()
    unit = [((z + 1) / 2).clamp(0, 1) for z in (x, y)]
    assert task.losses({"image": x})["ssim"].item() == pytest.approx(ssim(*unit).mean().item(), abs=1e-5)
    assert "ssim" not in task.losses(batch(8))  # smaller than its window


def test_the_name_of_a_bottlenecks_loss_is_short():
    class KSVDBottleneck(torch.nn.Module):
        pass

    assert bottleneck_loss_name(KSVDBottleneck()) == "ksvd_loss"


@pytest.fixture
def perceptual(tmp_path, monkeypatch):
    """A folder with a network, and none elsewhere."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv(weights.VARIABLE, raising=False)
    folder = tmp_path / "networks"
    folder.mkdir()
    file = publish(alexnet_state(), folder, weights.FILES["lpips"][0])
    monkeypatch.setattr(weights, "FILES", {**weights.FILES, "lpips": (file,)})
    yield folder, file
    (folder / file.name).unlink(missing_ok=True)


def test_the_perceptual_loss_is_trained_on_and_its_network_is_in_no_file(perceptual, tmp_path, capsys):
    folder, file = perceptual
    small = ["data.size=32", "data.batch_size=4", "train.max_steps=3", "train.checkpoint_every=3"]
    with_it = [*small, "model.perceptual_weight=2.0", f"train.weights={folder}"]
    run = trained("vqvae", tmp_path / "runs", *with_it)
    plain = trained("vqvae", tmp_path / "plain", *small)
    first, bare = (next(line for line in curve(a) if "train/loss" in line) for a in (run, plain))
    assert first["train/recon_loss"] == bare["train/recon_loss"]
    expected = bare["train/loss"] + 2 * first["train/perceptual_loss"]
    assert first["train/loss"] == pytest.approx(expected, rel=1e-6)
    assert losses(run, "val/perceptual_loss") and not losses(plain, "val/perceptual_loss")
    assert losses(run, "train/recon_loss")[1:] != losses(plain, "train/recon_loss")[1:]
    for name in ("weights", "best"):
        ours, theirs = (set(load_weights(a / f"{name}.safetensors")[0]) for a in (run, plain))
        assert ours == theirs
    ours, theirs = ((a / "checkpoints" / "last.ckpt").stat().st_size for a in (run, plain))
    assert ours < theirs + 1000
    (folder / file.name).unlink()
    capsys.readouterr()
    # Said before there is a folder, and where it is needed.
    assert main(words("vqvae", tmp_path / "none", *with_it)) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "model.perceptual_weight=2.0" in said and file.name in said
    assert not (tmp_path / "none").exists()
    assert main(["eval", "--run", str(run)]) == 2
    assert file.name in capsys.readouterr().err


def test_the_network_of_the_perceptual_loss_is_not_the_models(perceptual):
    folder, _ = perceptual
    task = built("dlvae", 32, perceptual_weight=1.0)
    before = [name for name, _ in task.named_parameters()], list(task.state_dict())
    task.prepare(TrainConfig(weights=str(folder)), 1)
    found = task.losses(batch(32))
    found["loss"].backward()
    assert found["perceptual_loss"] > 0
    assert ([name for name, _ in task.named_parameters()], list(task.state_dict())) == before
    (parameters,) = (group["params"] for group in task.configure_optimizers()["optimizer"].param_groups)
    assert {id(p) for p in parameters} == {id(p) for p in task.parameters()}
