"""`sparsefast bench laser`: what symbols cost, that pictures come back from the symbols that were counted, and the
study, the pixels and the timings from end to end on tiny sizes."""

import argparse
import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from sparsefast.bench import cli
from sparsefast.bench.laser import entropy, means, pixels, report, speed, steps, study
from sparsefast.bench.laser.curves import (
    Point,
    Setting,
    at_rate,
    curves,
    decode_photo,
    encode_photo,
    learn_tables,
)
from sparsefast.bench.laser.peers import PlainDictionaryBottleneck
from sparsefast.bench.laser.photographs import cut, join, psnr
from sparsefast.bench.laser.run import _without_nan
from sparsefast.bench.laser.sparse import LEVELS, SparseCoder
from sparsefast.bench.laser.vector import ResidualCoder, VectorCoder
from sparsefast.nn import SparseBottleneck


def image(seed, height=48, width=96):
    """Waves and an edge, with some noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = 128 + 60 * np.sin(x / (3 + seed)) * np.cos(y / 5) + 30 * (x + y > 70)
    return np.clip(waves + 4 * rng.standard_normal((height, width)), 0, 255)


def coders(patch_size=4):
    rows = study.patches_without_mean({"a": image(0), "b": image(1)}, patch_size)
    return [VectorCoder(rows, 16), ResidualCoder(rows, 8, 3), SparseCoder(rows, 24, 3)]


def test_the_bits_of_a_known_histogram():
    table = entropy.lengths_of(entropy.Stream(np.array([0] * 3 + [1] * 1), 4))
    # (3 + 1), (1 + 1), 1 and 1 of 8.
    np.testing.assert_allclose(table, [1, 2, 3, 3])
    streams = {"x": entropy.Stream(np.array([0, 0, 3, 1]), 4)}
    assert entropy.bits_of(streams, {"x": table}) == pytest.approx(1 + 1 + 3 + 2)


def test_lengths_are_those_of_a_code():
    stream = entropy.Stream(np.random.default_rng(0).integers(0, 9, 500), 12)
    # Kraft's sum: no table promises more than a code can keep.
    assert np.exp2(-entropy.lengths_of(stream)).sum() == pytest.approx(1)


@pytest.mark.parametrize("step", [1.0, 2.5, 17.0])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 1), (12, 11)], ids=str)
def test_means_come_back_from_their_symbols(shape, step):
    values = np.random.default_rng(0).uniform(0, 255, shape)
    stream = means.encode_means(values, step)
    assert stream.symbols.min() >= 0 and stream.symbols.max() < stream.size
    found = means.decode_means(stream, shape, step)
    np.testing.assert_array_equal(found, np.rint(values / step) * step)


def test_patches_come_together_again():
    picture = image(0)
    np.testing.assert_array_equal(join(cut(picture, 6), 6), picture)


@pytest.mark.parametrize("at", range(3), ids=["VQ", "RVQ", "DL"])
def test_the_picture_comes_from_the_symbols_that_were_counted(at):
    coder, setting, step = coders()[at], Setting(4), 12.0
    tables = learn_tables(coder, {"a": image(0), "b": image(1)}, setting, step)
    truth = image(2)
    coded = encode_photo(coder, truth, setting, step, tables)
    streams = {"mean": coded.means, **coded.streams}
    for name, stream in streams.items():
        assert stream.symbols.size == 0 or (stream.symbols.min() >= 0 and stream.symbols.max() < stream.size), name
    counted = sum(tables[name][s].sum() for name, stream in streams.items() for s in [stream.symbols])
    assert coded.bits(tables) == pytest.approx(counted - coded.spared)
    # A decoder that is given nothing but the streams.
    code = rebuilt(coder, coded.streams, coded.shape[0] * coded.shape[1])
    rows = {"VQ": of_vector, "RVQ": of_stages, "DL": of_atoms}[coder.name](coder, code, step)
    mean = means.decode_means(coded.means, coded.shape, step / 4)
    wanted = np.clip(join(rows.reshape(*coded.shape, -1) + mean[:, :, None], 4), 0, 255)
    found = decode_photo(coder, coded, setting, step)
    np.testing.assert_allclose(found, wanted, atol=1e-3)
    assert psnr(truth, found) > psnr(truth, np.full_like(truth, truth.mean())) + 3


def rebuilt(coder, streams, n):
    """Per patch the symbols of each stream, in the order in which they were sent."""
    if coder.name == "VQ":
        return streams["index"].symbols
    counts = streams["count"].symbols
    assert len(counts) == n
    if coder.name == "RVQ":
        left = [iter(streams[f"index {stage}"].symbols) for stage in range(len(coder.codebooks))]
        return [[next(left[stage]) for stage in range(count)] for count in counts]
    atoms = iter(streams["atom"].symbols)
    levels = [iter(streams[f"level {g}"].symbols - LEVELS) for g in range(4)]
    found = []
    for count in counts:
        group = 0 if count < 2 else 1 if count < 4 else 2 if count < 8 else 3
        found.append([(next(atoms), next(levels[group])) for _ in range(count)])
        # A set: the order of atoms says nothing, and its bits are spared.
        numbers = [atom for atom, _ in found[-1]]
        assert numbers == sorted(set(numbers)) and all(level for _, level in found[-1])
    assert next(atoms, None) is None
    return found


def of_vector(coder, code, step):
    return coder.codebook[code].astype(np.float64)


def of_stages(coder, code, step):
    return np.array(
        [sum((coder.codebooks[s][i] for s, i in enumerate(row)), 0 * coder.codebooks[0][0]) for row in code]
    )


def of_atoms(coder, code, step):
    zero = np.zeros(coder.dictionary.shape[1])
    return np.array([sum((step * level * coder.dictionary[atom] for atom, level in row), zero) for row in code])


def test_sets_of_atoms_spare_the_bits_of_their_order():
    coder = coders()[2]
    rows = study.patches_without_mean({"c": image(3)}, 4)
    code = coder.encode(rows, 1.0, 4.0, None)
    counts = code.counts
    assert counts.max() > 2
    wanted = sum(np.log2(np.arange(1, count + 1)).sum() for count in counts)
    assert coder.spared(code) == pytest.approx(wanted)


@pytest.mark.parametrize("at", range(3), ids=["VQ", "RVQ", "DL"])
def test_larger_steps_take_fewer_bits(at):
    learn, truth = {"a": image(0), "b": image(1)}, {"c": image(2)}
    points = curves(coders()[at], Setting(4), learn, truth, (6, 24, 96))["c"]
    assert [p.step for p in points] == [96, 24, 6]
    assert points[0].bits_per_pixel < points[-1].bits_per_pixel and points[0].psnr < points[-1].psnr


def test_quality_at_a_rate_lies_between_two_points_and_nowhere_else():
    points = [Point(8, 0.2, 30.0), Point(4, 0.6, 34.0)]
    assert at_rate(points, 0.3) == pytest.approx(31.0)
    assert np.isnan(at_rate(points, 0.1)) and np.isnan(at_rate(points, 0.7))


@pytest.fixture
def tiny(monkeypatch):
    """No second process, few photographs and small layers."""
    for name, value in cli.QUIET.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(cli.STARTED, "1")
    real = study.study
    candidates = [study._vector(3, 48), study._residual(4, 8, 4), study._sparse(4, 16, 2)]
    monkeypatch.setattr(
        study,
        "study",
        lambda names: real(candidates, rates=(0.6,), side=48, steps=(6, 20, 60, 200), held_out={"c": image(2)}),
    )
    monkeypatch.setattr(pixels, "PATCHES", (1, 2))
    monkeypatch.setattr(speed, "SIZES", (speed.Size("3/8/4", 3, 8, 3, 4, 5.0),))
    monkeypatch.setattr(speed, "BATCHES", (2,))
    few = {"num_embeddings": 24, "num_hiddens": 8, "num_residual_hiddens": 4, "embedding_dim": 4, "patch_size": 1}
    monkeypatch.setattr(steps, "SETTINGS", {"few": few})
    monkeypatch.setattr(steps, "BATCHES", {"cpu": (2,)})
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def parse(*argv):
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    return parser.parse_args(list(argv))


def test_the_table_and_the_json_say_the_same(tiny, tmp_path, capsys):
    path, picture = tmp_path / "found.json", tmp_path / "found.png"
    draws = pytest.importorskip("matplotlib") is not None
    assert cli.run(parse("laser", "--seconds=0.01", f"--json={path}", f"--png={picture}")) == 0
    said, found = capsys.readouterr().out, json.loads(path.read_text())
    assert found["op"] == "laser" and draws and picture.stat().st_size > 1000
    assert [row["contender"] for row in found["rate"]] == ["VQ", "RVQ", "DL"]
    for row in found["rate"]:
        assert row["psnr"]["c"] == pytest.approx(row["mean"]) and f"{row['mean']:6.2f} dB" in said
        assert row["words"] in row["searched"]
    # Three atoms reach every colour.
    errors = {(row["patch_size"], row["contender"]): row["mse"] for row in found["pixels"]}
    assert errors[1, "OMP s=4"] < 1e-9 < errors[1, "projections s=4"] < errors[1, "VQ"]
    assert errors[2, "OMP s=4"] < errors[2, "projections s=4"]
    assert {row["contender"] for row in found["speed"]} == {speed.PEER, "VQ", "DL ste", "DL implicit"}
    for row in found["speed"]:
        assert 0 < row["forward"] < row["both"] and f"{row['both']:7.2f} ms" in said
    everyone = [steps.PEER, "DL ste", "DL implicit", "VQ", steps.NONE]
    assert [row["contender"] for row in found["train"]] == everyone + everyone[:-1]
    for row in found["train"]:
        assert row["times"] > 0 and f"{row['images_per_second']:10.4g} images/s" in said


def test_a_rate_that_is_not_reached_is_null_in_json():
    found = _without_nan({"psnr": {"a": float("nan"), "b": 30.5}, "points": [float("nan"), 1.0]})
    assert found == {"psnr": {"a": None, "b": 30.5}, "points": [None, 1.0]}


def test_gains_are_over_each_of_the_others():
    results = [study.Found(c, 0.5, "", {}, {"a": value}) for c, value in (("VQ", 30.0), ("RVQ", 31.0), ("DL", 32.5))]
    (line,) = report.gain_lines(results)
    assert "+2.50 dB over VQ" in line and "+1.50 dB over RVQ" in line


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("--variants=colour", "there is no 'colour'"),
        ("--cases=astronaut", "there is no 'astronaut'"),
        ("--device=cuda --variants=speed,train", "only --variants train runs there"),
        ("--threads=1,2", "takes one number"),
        ("--peers=none", "--peers does not go with"),
    ],
)
def test_what_does_not_go_is_said(option, says, capsys):
    assert cli.run(parse("laser", *option.split())) == 2
    assert says in capsys.readouterr().err


def test_without_a_gpu_the_command_says_so(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert cli.run(parse("laser", "--device=cuda")) == 2
    assert capsys.readouterr().err.startswith("sparsefast bench: --device cuda: PyTorch sees no CUDA device")


@pytest.mark.parametrize("patch_size", [1, 2])
def test_the_plain_dictionary_bottleneck_does_what_ours_does(patch_size):
    torch.manual_seed(0)
    ours = SparseBottleneck(30, 8, 3, patch_size=patch_size, coefficient_bits=None, revive_every=0).double()
    peer = PlainDictionaryBottleneck(30, 8, 3, patch_size=patch_size).double()
    peer.dictionary.data.copy_(ours.dictionary.data)
    found = []
    for layer in (ours, peer):
        z = torch.randn(2, 8, 4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
        out, loss, _ = layer(z)
        ((out**3).sum() + 5 * loss).backward()
        found.append((out, loss, z.grad, layer.dictionary.grad))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)


def test_steps_of_training_need_neither_lightning_nor_hydra():
    code = (
        "import sys; from sparsefast.bench.laser import report, steps\n"
        "steps.SETTINGS = {'few': dict(num_embeddings=16, num_hiddens=4, embedding_dim=2)}\n"
        "for row in steps.measure('few', 1, 'cpu', 1e-3): print(report.step_line(row))\n"
        "print([name for name in ('lightning', 'hydra', 'omegaconf', 'torchmetrics') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["[]"]), done.stderr
