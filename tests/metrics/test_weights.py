"""Weights are found where the documents say, believed by their contents, and never downloaded; a run without them says
so once and goes on."""

import io
import pickle
import random
import zipfile
from pathlib import Path

import pytest
import torch

from sparsefast.metrics import weights
from sparsefast.metrics.image_metrics import GenerationMetrics, ImageMetrics
from sparsefast.metrics.networks import LPIPS, inception
from sparsefast.metrics.weights import FILES, Weights, find_weights, missing_note, note_missing
from tests.metrics.fake_weights import name_by_digest, publish
from tests.metrics.pictures import pieces, spoiled

ALEXNET, INCEPTION = FILES["lpips"][0], FILES["fid"][0]


def touched(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def test_the_folder_comes_before_the_variable_and_that_before_the_cache(tmp_path, monkeypatch):
    assert find_weights() == Weights(None, None)
    cache = touched(tmp_path / "torch/hub/checkpoints", ALEXNET.name, INCEPTION.name)
    assert find_weights() == Weights(cache / ALEXNET.name, cache / INCEPTION.name)
    monkeypatch.setenv("SPARSEFAST_WEIGHTS", str(touched(tmp_path / "variable", ALEXNET.name)))
    assert find_weights() == Weights(tmp_path / "variable" / ALEXNET.name, cache / INCEPTION.name)
    folder = touched(tmp_path / "folder", "vgg16-397923af.pth", "pt_inception-2015-12-05-6726825d.pth")
    found = find_weights(folder)
    assert found == Weights(folder / "vgg16-397923af.pth", folder / "pt_inception-2015-12-05-6726825d.pth")
    assert find_weights(touched(folder, ALEXNET.name)).lpips == folder / ALEXNET.name


def test_a_place_that_is_no_folder_is_named(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"train\.weights='/nowhere' must be a folder"):
        find_weights("/nowhere")
    monkeypatch.setenv("SPARSEFAST_WEIGHTS", str(touched(tmp_path, "file") / "file"))
    with pytest.raises(ValueError, match=r"SPARSEFAST_WEIGHTS='.*file' must be a folder"):
        find_weights(tmp_path)


def test_without_files_a_run_says_once_what_to_put_where_and_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "_said", set())
    names, said = ("psnr", "lpips", "fid"), []
    for _ in range(2):
        metrics = ImageMetrics(names)
        note_missing(names, find_weights(), say=said.append)
    assert said == [metrics.note]
    for part in ("lpips and fid are left out", ALEXNET.name, ALEXNET.url, INCEPTION.name, INCEPTION.url,
                 "train.weights or SPARSEFAST_WEIGHTS", str(tmp_path / "torch/hub/checkpoints")):  # fmt: skip
        assert part in metrics.note
    assert "\n" not in metrics.note
    assert metrics.left_out == ("lpips", "fid") and metrics.names == ("psnr",)
    x = pieces(2)
    metrics.update(x, spoiled(x, 0.1))
    assert list(metrics.compute()) == ["psnr"]
    samples = GenerationMetrics()
    samples.update_real(x), samples.update_generated(x)
    assert samples.compute() == {} and samples.note.startswith("fid is left out")
    # Only what was asked for and is missing is spoken of.
    assert missing_note(("mse", "ssim"), Weights()) is None
    assert missing_note(names, Weights(lpips=Path(ALEXNET.name), fid=Path(INCEPTION.name))) is None
    assert ALEXNET.name not in missing_note(names, Weights(lpips=Path(ALEXNET.name)))


def test_a_package_that_is_not_there_is_what_the_note_speaks_of(monkeypatch, fake):
    monkeypatch.setitem(weights.PACKAGES, "fid", ("no_such_module", "torch-fidelity"))
    metrics = ImageMetrics(("lpips", "fid"), fake)
    assert metrics.note == "fid is left out: torch-fidelity is not installed (pip install torch-fidelity)"
    assert metrics.names == ("lpips",)
    monkeypatch.setitem(weights.PACKAGES, "lpips", ("no_such_module", "torchvision"))
    assert "torchvision is not installed" in missing_note(("lpips", "fid"), Weights())
    assert "torch-fidelity is not installed" in missing_note(("lpips", "fid"), Weights())


def test_networks_hold_the_numbers_of_their_files_and_leave_the_random_state_alone(fake):
    before = torch.random.get_rng_state(), random.getstate()
    lpips, network = LPIPS(fake.lpips), inception(fake.fid)
    assert torch.equal(torch.random.get_rng_state(), before[0]) and random.getstate() == before[1]
    state = torch.load(fake.lpips)
    for name, value in {"slice1.0.weight": "features.0.weight", "slice5.10.bias": "features.10.bias"}.items():
        assert torch.equal(lpips.net.net.state_dict()[name], state[value])
    state = torch.load(fake.fid)
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    # The linear heads are those that torchmetrics ships, not the random ones it starts from.
    assert all((head.model[-1].weight >= 0).all() for head in lpips.net.lins)
    assert not any(p.requires_grad for net in (lpips, network) for p in net.parameters())
    assert not lpips.train().net.training and not network.train(True).training


def test_vgg16_is_read_into_its_own_network(tmp_path, monkeypatch):
    import torchvision

    state = torchvision.models.vgg16(weights=None).features.state_dict()
    file = publish({f"features.{name}": value for name, value in state.items()}, tmp_path, FILES["lpips"][1])
    monkeypatch.setitem(weights.FILES, "lpips", (file,))
    lpips = LPIPS(tmp_path / file.name)
    x = pieces(2, 16)
    assert torch.equal(lpips.net.net.state_dict()["slice5.28.weight"], state["28.weight"])
    assert lpips(x, x).tolist() == [0, 0] and (lpips(x, spoiled(x, 0.2)) > 0).all()
    with pytest.raises(ValueError, match="lpips: images of 15 x 20 pixels must be at least 16 x 16"):
        lpips(torch.zeros(1, 3, 15, 20), torch.zeros(1, 3, 15, 20))


def test_a_file_with_other_contents_than_its_name_says_is_an_error(tmp_path, fake):
    for metric, build, path in (("lpips", LPIPS, fake.lpips), ("fid", inception, fake.fid)):
        damaged = tmp_path / path.name
        with path.open("rb") as file:
            damaged.write_bytes(file.read(100_000))  # as an interrupted download leaves it
        url = weights.file_of(metric, path).url
        with pytest.raises(ValueError, match=rf"^{metric}: .*{path.name} is damaged or another file: .*{url}$"):
            build(damaged)
    with pytest.raises(ValueError, match=r"lpips: .*mine\.pth must be named alexnet-owt-"):
        ImageMetrics(("lpips",), Weights(lpips=tmp_path / "mine.pth"))


class Hostile:
    def __reduce__(self):
        return (exec, ("raise SystemExit('code of a file was run')",))


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (pickle.dumps(Hostile(), protocol=2), "cannot be read as weights"),
        (b"", "cannot be read as weights"),
        (b"<html>404</html>", "cannot be read as weights"),
        ({"features.0.weight": Hostile()}, "cannot be read as weights"),
        ([torch.zeros(3)], "must hold tensors by name, not list"),
        ({"features.0.weight": 3.0}, "must hold tensors by name"),
        ({}, "does not fit the network"),
        ({"features.0.weight": torch.zeros(3)}, "does not fit the network"),
    ],
    ids=["pickle", "empty", "page", "hostile", "list", "numbers", "nothing", "shape"],
)
def test_nothing_but_the_tensors_of_the_network_is_read_and_no_code_is_run(tmp_path, monkeypatch, contents, message):
    for metric, build, like in (("lpips", LPIPS, ALEXNET), ("fid", inception, INCEPTION)):
        if isinstance(contents, bytes):
            (tmp_path / "unnamed.pth").write_bytes(contents)
            file = name_by_digest(tmp_path / "unnamed.pth", like)
        else:
            file = publish(contents, tmp_path, like)
        monkeypatch.setitem(weights.FILES, metric, (file,))
        with pytest.raises(ValueError, match=rf"^{metric}: .*{file.name} {message}") as caught:
            build(tmp_path / file.name)
        assert "\n" not in str(caught.value)


def test_the_hostile_file_above_would_run_its_code_if_it_were_unpickled(tmp_path):
    buffer = io.BytesIO()
    torch.save({"features.0.weight": Hostile()}, buffer)
    assert zipfile.is_zipfile(buffer)
    buffer.seek(0)
    with pytest.raises(SystemExit, match="code of a file was run"):
        torch.load(buffer, weights_only=False)
