"""The example trains: gradients reach both of its parts, and patches that it has not seen are coded better."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch
from PIL import Image

LOSSES = ("implicit_loss", "straight_through_loss")


@pytest.fixture(scope="module")
def example() -> ModuleType:
    path = Path(__file__).parents[2] / "examples" / "sparse_autoencoder.py"
    spec = importlib.util.spec_from_file_location("sparse_autoencoder", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_reach_the_dictionary_and_the_encoder(example, loss):
    model = example.SparseAutoencoder()
    getattr(model, loss)(example.patches(["flower"], 500, seed=0)).backward()
    for parameter in (model.encoder, model.atoms):
        assert parameter.grad.isfinite().all() and parameter.grad.norm() > 0
    # The atoms are normalised, so no gradient is left along them.
    along = (model.atoms.grad * model.atoms.detach()).sum(dim=1)
    across = model.atoms.grad.norm(dim=1)
    assert (along.abs() <= 64 * torch.finfo(torch.float32).eps * across.max()).all()


def test_training_lowers_the_error_on_another_photograph(example):
    train_set, held_out = example.patches(["flower"], 20_000, seed=0), example.patches(["china"], 5_000, seed=1)
    before = example.psnr(example.SparseAutoencoder(), held_out)
    model = example.train("implicit_loss", train_set, n_steps=20)
    assert example.psnr(model, held_out) > before
    torch.testing.assert_close(model.dictionary.norm(dim=1), torch.ones(256))


def test_the_command_writes_a_picture_of_the_atoms(example, tmp_path, capsys):
    out = tmp_path / "atoms.png"
    example.main(["--steps", "1", "--out", str(out)])
    assert len(capsys.readouterr().out.splitlines()) == 4
    with Image.open(out) as image:
        assert image.size == (576, 576)
