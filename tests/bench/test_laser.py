"""`sparsefast bench laser`: what symbols cost, that pictures come back from the symbols that were counted, and the
study, the pixels and the timings from end to end on tiny sizes."""

import argparse
import json

import numpy as np
import pytest
import torch

from sparsefast.bench import cli
from sparsefast.bench.laser import contexts, entropy, means, pixels, report, speed, steps, study
from sparsefast.bench.laser.curves import (
    Point,
    Setting,
    at_rate,
    curves,
    decode_photo,
    encode_photo,
    learn_tables,
)
from sparsefast.bench.laser.photographs import clipped, cut, join, planes, psnr
from sparsefast.bench.laser.run import _without_nan
from sparsefast.bench.laser.sparse import SparseCoder, _Bits
from sparsefast.bench.laser.vector import ResidualCoder, VectorCoder


def image(seed, height=48, width=96, channels=1):
    """Waves and an edge, with some noise, (H, W, channels)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = 128 + 60 * np.sin(x / (3 + seed)) * np.cos(y / 5) + 30 * (x + y > 70)
    scene = np.stack([np.roll(waves, 5 * c, axis=1) for c in range(channels)], axis=2)
    return np.clip(scene + 4 * rng.standard_normal(scene.shape), 0, 255)


def coders(patch_size=4, channels=1):
    pictures = {"a": image(0, channels=channels), "b": image(1, channels=channels)}
    rows = study.patches_without_mean(pictures, patch_size, 800)
    return [VectorCoder(rows, 16), ResidualCoder(rows, 8, 3), SparseCoder(rows, 24, 3)]


def test_the_bits_of_a_known_histogram():
    model = entropy.model_of(entropy.Stream(np.array([0] * 3 + [1] * 1), 4))
    # (3 + 1), (1 + 1), 1 and 1 of 8.
    np.testing.assert_allclose(model.lengths, [[1, 2, 3, 3]])
    streams = {"x": entropy.Stream(np.array([0, 0, 3, 1]), 4)}
    assert entropy.bits_of(streams, {"x": model}) == pytest.approx(1 + 1 + 3 + 2)


def in_contexts(seed, n=500):
    """Symbols that are mostly their context."""
    rng = np.random.default_rng(seed)
    of = rng.integers(0, 3, n)
    return entropy.Stream(np.where(rng.random(n) < 0.8, 4 * of, rng.integers(0, 12, n)), 12, of, 3)


def test_lengths_are_those_of_a_code():
    model = entropy.model_of(in_contexts(0))
    # Kraft's sum: no table promises more than a code can keep, in any context.
    np.testing.assert_allclose(np.exp2(-model.lengths).sum(1), 1)
    assert np.exp2(-model.overall).sum() == pytest.approx(1)


def test_a_context_that_tells_something_takes_fewer_bits_of_other_symbols():
    learn, other = in_contexts(0), in_contexts(1)
    without = entropy.model_of(entropy.Stream(learn.symbols, 12))
    alone = without.bits(entropy.Stream(other.symbols, 12))
    assert entropy.model_of(learn).bits(other) < 0.75 * alone
    # One that tells nothing costs next to nothing, although there are many.
    noise = np.random.default_rng(2).integers(0, 40, 500)
    useless = entropy.model_of(entropy.Stream(learn.symbols, 12, noise, 40))
    assert useless.bits(entropy.Stream(other.symbols, 12, noise, 40)) < 1.02 * alone


def test_a_context_is_of_patches_that_come_before():
    much = np.random.default_rng(0).integers(0, 5, (6, 7))
    context = contexts.around(much).reshape(6, 7)
    assert context.max() < contexts.N_AROUND
    for i, j in np.ndindex(6, 7):
        later = much.copy().reshape(-1)
        later[i * 7 + j :] = 9
        assert contexts.around(later.reshape(6, 7)).reshape(6, 7)[i, j] == context[i, j]
    assert context[0, 0] == 0 and len(np.unique(context)) > 4


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
    colours = image(0, channels=3)
    np.testing.assert_array_equal(cut(colours, 6)[2, 3, 1], colours[12:18, 18:24, 1].reshape(-1))
    np.testing.assert_array_equal(join(cut(colours, 6), 6), colours)


def test_errors_in_opponent_colours_are_those_in_rgb():
    a, b = image(0, channels=3), image(1, channels=3)
    found = planes(a, "rgb")
    assert psnr(found, planes(b, "rgb")) == pytest.approx(psnr(a, b))
    np.testing.assert_allclose(clipped(found), found, atol=1e-9)
    # What is darker than black becomes black.
    np.testing.assert_allclose(clipped(planes(a - 300, "rgb")), 0, atol=1e-9)


def test_patches_that_are_learnt_from_are_turned_and_have_no_mean():
    slope = np.arange(48.0)[:, None, None] + 100 * np.arange(48.0)[:, None]
    rows = study.patches_without_mean({"a": slope}, 4, 400)
    assert rows.shape == (400, 16) and rows.dtype == np.float32
    np.testing.assert_allclose(rows.mean(1), 0, atol=1e-3)
    # All places are alike but for the mean, so that there are no other patches than the eight of the symmetries.
    assert len(np.unique(rows.round(2), axis=0)) == 8


@pytest.mark.parametrize("channels", [1, 3], ids=["luma", "rgb"])
@pytest.mark.parametrize("effort", [1, 3])
@pytest.mark.parametrize("at", range(3), ids=["VQ", "RVQ", "DL"])
def test_the_picture_comes_from_the_symbols_that_were_counted(at, effort, channels):
    coder, setting, step = coders(channels=channels)[at], Setting(4), 12.0
    coder.effort = effort
    pictures = [planes(image(seed, channels=channels), "rgb") if channels == 3 else image(seed) for seed in range(3)]
    tables = learn_tables(coder, {"a": pictures[0], "b": pictures[1]}, setting, step)
    truth = pictures[2]
    coded = encode_photo(coder, truth, setting, step, tables)
    counted = 0.0
    for name, stream in coded.streams.items():
        assert stream.symbols.size == 0 or (stream.symbols.min() >= 0 and stream.symbols.max() < stream.size), name
        of = np.zeros(len(stream.symbols), int) if stream.contexts is None else stream.contexts
        counted += sum(
            tables[name].lengths[context, symbol] for context, symbol in zip(of, stream.symbols, strict=True)
        )
    assert coded.bits(tables) == pytest.approx(counted - coded.spared)
    # A decoder that is given nothing but the symbols.
    code = rebuilt(coder, {name: stream.symbols for name, stream in coded.streams.items()}, coded.shape, step)
    rows = {"VQ": of_vector, "RVQ": of_stages, "DL": of_atoms}[coder.name](coder, code, step)
    peak = means.PEAK if channels == 1 else means.PEAK * np.sqrt(3)
    mean = [means.decode_means(coded.streams[f"mean {c}"], coded.shape, step / 4, peak) for c in range(channels)]
    wanted = join(rows.reshape(*coded.shape, channels, -1) + np.stack(mean, axis=2)[..., None], 4)
    found = decode_photo(coder, coded, setting, step)
    np.testing.assert_allclose(found, clipped(wanted), atol=1e-3)
    assert psnr(truth, found) > psnr(truth, np.full_like(truth, truth.mean())) + 3
    # The contexts that were counted with are known to the decoder from what it has read before.
    expected = contexts_of(coder, code, coded.shape)
    for name, stream in coded.streams.items():
        if name in expected:
            np.testing.assert_array_equal(stream.contexts, expected[name], err_msg=name)


def contexts_of(coder, code, shape):
    if coder.name == "VQ":
        return {"index": contexts.around(coder.much[code].reshape(shape))}
    counts = np.array([len(row) for row in code])
    found = {"count": contexts.around(counts.reshape(shape))}
    if coder.name == "RVQ":
        stages = range(len(coder.codebooks))
        return found | {f"index {stage}": counts[counts > stage] for stage in stages}
    group = np.array(
        [sum(count >= least for least in (2, 3, 4, 6, 8, 12)) for row in code for count in [len(row)] * len(row)]
    )
    kind = np.array([coder.classes[atom] for row in code for atom, _ in row])
    return found | {"atom": group, "level": 7 * group + kind}


def rebuilt(coder, symbols, shape, step):
    """Per patch the symbols of each stream, in the order in which they were sent."""
    if coder.name == "VQ":
        return symbols["index"]
    counts = symbols["count"]
    assert len(counts) == shape[0] * shape[1]
    if coder.name == "RVQ":
        left = [iter(symbols[f"index {stage}"]) for stage in range(len(coder.codebooks))]
        return [[next(left[stage]) for stage in range(count)] for count in counts]
    atoms, levels = iter(symbols["atom"]), iter(symbols["level"] - coder.reach(step))
    found = []
    for count in counts:
        found.append([(next(atoms), next(levels)) for _ in range(count)])
        # A set: the order of atoms says nothing, and its bits are spared.
        numbers = [atom for atom, _ in found[-1]]
        assert numbers == sorted(set(numbers)) and all(level for _, level in found[-1])
    assert next(atoms, None) is None and next(levels, None) is None
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
    rows = study.patches_without_mean({"c": image(3)}, 4, 300)
    code = coder.encode(rows, 1.0, 4.0, None)
    counts = code.counts
    assert counts.max() > 2
    wanted = sum(np.log2(np.arange(1, count + 1)).sum() for count in counts)
    assert coder.spared(code) == pytest.approx(wanted)


def cost_of(coder, rows, code, lam, step, tables):
    error = ((rows - coder.decode(code, step)).astype(np.float64) ** 2).sum(1)
    if coder.name == "RVQ":
        bits = tables["count"].overall[code.counts]
        for stage in range(len(coder.codebooks)):
            bits = bits + np.where(code.counts > stage, tables[f"index {stage}"].overall[code.indices[:, stage]], 0)
    else:
        used = np.arange(code.atoms.shape[1]) < code.counts[:, None]
        bits = _Bits(coder, tables, step).of(np.where(used, code.atoms, 0), np.where(used, code.levels, 0))
    return error + lam * bits


@pytest.mark.parametrize("at", [1, 2], ids=["RVQ", "DL"])
def test_more_searches_cost_less(at):
    coder, setting, step, lam = coders()[at], Setting(4), 12.0, 20.0
    tables = learn_tables(coder, {"a": image(0), "b": image(1)}, setting, step)
    rows = study.patches_without_mean({"c": image(2)}, 4, 1500)
    once = cost_of(coder, rows, coder.encode(rows, lam, step, tables), lam, step, tables)
    coder.effort = 4
    often = cost_of(coder, rows, coder.encode(rows, lam, step, tables), lam, step, tables)
    assert often.mean() < 0.995 * once.mean()
    if at == 2:  # the first pursuit is among the four
        assert (often <= once + 1e-3).all()


def test_hardly_any_level_of_an_atom_alone_could_be_cheaper():
    """A level that is further away is seldom worth its bits, and never looked for."""
    coder, step, lam = coders()[2], 6.0, 8.0
    tables = learn_tables(coder, {"a": image(0), "b": image(1)}, Setting(4), step)
    rows = study.patches_without_mean({"c": image(2)}, 4, 400)
    code = coder.encode(rows, lam, step, tables)
    one = np.flatnonzero(code.counts == 1)
    assert len(one) > 20
    own = cost_of(coder, rows, code, lam, step, tables)
    for change in (-2, -1, 1, 2):
        other = coder.encode(rows, lam, step, tables)
        other.levels[one, 0] += change
        gone = other.levels[:, 0] == 0
        other.counts[gone & (code.counts == 1)] = 0
        assert (cost_of(coder, rows, other, lam, step, tables)[one] < own[one] - 1e-3).mean() < 0.05


@pytest.mark.parametrize("at", range(3), ids=["VQ", "RVQ", "DL"])
def test_larger_steps_take_fewer_bits(at):
    learn, truth = {"a": image(0), "b": image(1)}, {"c": image(2)}
    points = curves(coders()[at], Setting(4), learn, truth, (6, 24, 96))["c"]
    assert [p.step for p in points] == [96, 24, 6]
    assert points[0].bits_per_pixel < points[-1].bits_per_pixel and points[0].psnr < points[-1].psnr


def test_a_coefficient_of_black_beside_white_has_a_level():
    bars = 255.0 * (np.arange(96) // 6 % 2)[:, None]
    edges = np.clip(bars + np.random.default_rng(0).normal(0, 2, (48, 96, 1)), 0, 255)
    coder = SparseCoder(study.patches_without_mean({"a": edges}, 4, 800), 48, 4)
    points = curves(coder, Setting(4), {"a": edges}, {"b": edges}, (1, 8, 64))["b"]
    # Levels of up to 63 had 12 dB here.
    assert points[-1].step == 1 and points[-1].psnr > 45


def test_a_point_that_is_worse_at_more_bits_does_not_count():
    points = [Point(8, 0.2, 30.0), Point(6, 0.3, 29.0), Point(4, 0.6, 34.0)]
    assert at_rate(points, 0.3) == pytest.approx(31.0)
    assert np.isnan(at_rate([Point(8, 0.2, 30.0), Point(6, 0.3, 29.0)], 0.25))


def test_no_finer_step_is_tried_once_all_take_enough():
    coder, known = coders()[0], {}
    learn, truth = {"a": image(0), "b": image(1)}, {"c": image(2)}
    points = curves(coder, Setting(4), learn, truth, (6, 24, 96), most=0.05, known=known)["c"]
    assert [p.step for p in points] == [96] and list(known) == [96]
    again = curves(coder, Setting(4), {}, truth, (96,), known=known)["c"]
    assert again == points  # no photograph to learn from: tables are those that are known


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
    small = [study._vector(3, 48), study._residual(4, 8, 4), study._sparse(4, 16, 2)]
    monkeypatch.setattr(
        study,
        "study",
        lambda names, space, **whole: real(
            small,
            rates=(0.6,),
            side=48,
            steps=(6, 20, 60, 200),
            held_out={"c": planes(image(2, channels=3), space)},
            space=space,
            rows=1000,
        ),
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
    assert [row["contender"] for row in found["colour"]] == ["VQ", "RVQ", "DL"]
    assert {row["space"] for row in found["rate"]} == {"luma"} and {row["space"] for row in found["colour"]} == {"rgb"}
    for row in found["rate"] + found["colour"]:
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
    reached = {"VQ": 30.0, "RVQ": 31.0, "DL": 32.5, "RVQ x4": 32.0, "DL x4": 32.75}
    results = [study.Found(c, 0.5, "luma", "", {}, {"a": value}) for c, value in reached.items()]
    once, often = report.gain_lines(results)
    assert "+2.50 dB over VQ" in once and "+1.50 dB over RVQ" in once
    # A search of four is held against one of four too; one of one is not.
    assert "RVQ x4" not in once and "DL x4 at 0.5" in often and "+0.75 dB over RVQ x4" in often


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("--variants=colours", "there is no 'colours'"),
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
