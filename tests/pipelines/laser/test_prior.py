"""The prior: probabilities of tokens in their order, pictures drawn from them, and what a command does with it."""

import numpy as np
import pytest
import torch
from PIL import Image

from sparsefast.cli import main
from sparsefast.pipelines.laser.prior_config import PriorConfig
from sparsefast.pipelines.laser.prior_network import TokenTransformer
from sparsefast.pipelines.laser.prior_task import PriorTask
from tests.training.conftest import one_thread
from tests.training.runs import curve, losses, trained

__all__ = ["one_thread"]
SMALL = ["model.width=16", "model.heads=2", "model.blocks=2", "model.dropout=0.0"]


def network(length=7):
    torch.manual_seed(0)
    return TokenTransformer(11, length, 16, 4, 3, 0.0).double().eval()


def test_a_token_sees_those_before_it_alone():
    model = network()
    tokens = torch.randint(0, 11, (2, 7), generator=torch.Generator().manual_seed(1))
    before = model(tokens)
    for at in range(7):
        other = tokens.clone()
        other[:, at:] = (other[:, at:] + 1) % 11
        after = model(other)
        torch.testing.assert_close(after[:, : at + 1], before[:, : at + 1], rtol=0, atol=0)
        if at < 6:
            assert (after[:, at + 1 :] - before[:, at + 1 :]).abs().max() > 1e-6


def test_one_after_the_other_gives_the_logits_of_all_at_once():
    model = network()
    tokens = torch.randint(0, 11, (2, 7), generator=torch.Generator().manual_seed(1))
    cache, last, found = [], torch.full((2,), 11), []
    for at in range(7):
        found.append(model.next_logits(last, at, cache))
        last = tokens[:, at]
    torch.testing.assert_close(torch.stack(found, dim=1), model(tokens), rtol=1e-12, atol=1e-12)


@pytest.fixture(scope="module", params=["vqvae", "hybridvae"])
def autoencoder(request, tmp_path_factory):
    torch.set_num_threads(1)
    return trained(request.param, tmp_path_factory.mktemp("autoencoder"))


def task(autoencoder, **keys):
    torch.manual_seed(0)
    return PriorTask(PriorConfig(autoencoder=str(autoencoder), width=16, heads=2, blocks=2, **keys), (3, 16, 16)).eval()


def test_pictures_are_of_their_seed_and_not_of_each_other(autoencoder):
    model = task(autoencoder)
    many, few = model.sample(5, 3), model.sample(2, 3)
    assert many.shape == (5, 3, 16, 16)
    torch.testing.assert_close(many[:2], few, rtol=1e-5, atol=1e-5)
    assert (many[0] - many[1]).abs().max() > 1e-3
    assert (many - model.sample(5, 4)).abs().max() > 1e-3


def test_the_most_probable_token_alone_and_no_temperature_draw_the_same(autoencoder):
    greedy = task(autoencoder, top_k=1).sample(2, 0)
    torch.testing.assert_close(greedy[0], greedy[1])
    torch.testing.assert_close(task(autoencoder, temperature=1e-6).sample(2, 5), greedy)
    assert (task(autoencoder, top_k=2).sample(2, 0) - greedy).abs().max() > 1e-3


def test_tokens_are_drawn_as_often_as_they_are_probable(autoencoder):
    model = task(autoencoder)
    logits = model.transformer.next_logits(torch.full((1,), model.transformer.n_tokens), 0, [])
    expected = logits.softmax(dim=1)[0].detach().numpy()
    drawn = []
    model.transformer.length = 1
    model.autoencoder.bottleneck.decode_from_indices = lambda tokens, height, width: drawn.append(tokens)
    model.autoencoder.decode = lambda z, size: None
    n = 20_000
    with torch.no_grad():
        model.sample(n, 0)
    counts = np.bincount(drawn[0][:, 0].numpy(), minlength=len(expected))
    # Five standard deviations of each count.
    assert np.all(np.abs(counts - n * expected) <= 5 * np.sqrt(n * expected * (1 - expected)) + 1)


def test_it_is_trained_resumed_and_sampled_by_the_commands(autoencoder, tmp_path, capsys):
    words = [
        "model=prior",
        f"model.autoencoder={autoencoder}",
        *SMALL,
        "train.schedule=constant",
        "train.warmup_steps=5",
    ]
    words += ["data.size=16", "data.epoch_images=8", "data.flip=false", "data.eval_images=4", "data.batch_size=8"]
    words += ["train.max_epochs=0", "train.checkpoint_every=10", "train.log_every=1", "logger=none", "train.samples=2"]
    before = (autoencoder / "weights.safetensors").read_bytes()
    assert main(["train", *words, "train.max_steps=40", f"out={tmp_path}", "name=whole"]) == 0
    assert main(["train", *words, "train.max_steps=20", f"out={tmp_path}", "name=parts"]) == 0
    assert main(["train", "--resume", str(tmp_path / "parts"), "train.max_steps=40"]) == 0
    assert curve(tmp_path / "parts") == curve(tmp_path / "whole")
    nats = losses(tmp_path / "whole")
    assert np.mean(nats[-5:]) < 0.9 * np.mean(nats[:3])
    assert (autoencoder / "weights.safetensors").read_bytes() == before
    assert main(["sample", "model=prior", f"out={tmp_path}", "--n", "3", "--out", str(tmp_path / "s.png")]) == 0
    assert np.asarray(Image.open(tmp_path / "s.png")).std() > 0
    drawn = []
    for word in ("model.top_k=0", "model.top_k=1", "model.temperature=1e-6"):
        assert (
            main(["sample", "model=prior", f"out={tmp_path}", word, "--n", "3", "--out", str(tmp_path / "u.png")]) == 0
        )
        drawn.append(np.asarray(Image.open(tmp_path / "u.png")))
    assert np.array_equal(drawn[0], np.asarray(Image.open(tmp_path / "s.png")))
    assert np.array_equal(drawn[1], drawn[2]) and not np.array_equal(drawn[0], drawn[1])
    capsys.readouterr()
    assert main(["sample", "--run", str(autoencoder), "--out", str(tmp_path / "t.png")]) == 2
    assert "model=prior" in capsys.readouterr().err


def test_what_has_no_tokens_is_refused(tmp_path, capsys):
    run = trained("dlvae", tmp_path)
    for word, says in (
        (f"model.autoencoder={run}", "has no tokens"),
        ("model.autoencoder=/nowhere", "/nowhere"),
        ("model.width=16", "model.autoencoder"),
    ):
        assert main(["train", "model=prior", word, "data.size=16", f"out={tmp_path / 'out'}"]) == 2
        assert says in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
