"""`sparsefast bench denoise` and `bench inpaint` from end to end on small crops: what they print, write and refuse."""

from __future__ import annotations

import argparse
import json

import numpy as np
import pytest

from sparsefast.bench import cli
from sparsefast.bench.contender import Absent
from sparsefast.bench.restore import crops, denoisers, inpainters, measure, run
from sparsefast.bench.restore.contender import Contender

pytest.importorskip("skimage")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """No second process, and small crops."""
    for name, value in cli.QUIET.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(cli.STARTED, "1")
    small = crops.crops
    monkeypatch.setattr(run, "crops", lambda names, split="held-out": small(names, split, 24))


def parse(*argv):
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    return parser.parse_args(list(argv))


@pytest.mark.parametrize(("op", "peer"), [("denoise", "NLM"), ("inpaint", "RBF linear")])
def test_the_table_and_the_json_say_the_same(tmp_path, capsys, op, peer):
    path = tmp_path / "found.json"
    assert cli.run(parse(op, "--cases=rocket,camera", f"--peers={peer}", f"--json={path}")) == 0
    said = capsys.readouterr().out
    found = json.loads(path.read_text())
    assert found["op"] == op
    assert [crop["name"] for crop in found["crops"]] == ["rocket#0", "rocket#1", "rocket#2", "camera#0", "camera#1"]
    (case,) = found["cases"]
    assert case["variant"] == measure.DEFAULT[op][0]
    names = [contender["name"] for contender in found["contenders"]]
    assert names[0] == "sparsefast"
    assert names[-1] == peer
    assert len(case["rows"]) == 5 * len(names)
    for name in names:
        rows = [row for row in case["rows"] if row["contender"] == name]
        line = next(line for line in said.splitlines() if line.startswith(f"  {name}  "))
        assert " ".join(f"{row['psnr']:.2f}" for row in rows) in line
        mean = np.mean([row["psnr"] for row in rows if row["crop"].startswith("rocket")])
        assert f"colours {mean:.2f} dB" in line
    for crop in found["crops"]:
        assert f"crop {crop['name']}: " in said


def test_the_noise_of_a_crop_is_its_own_and_not_clipped():
    one, other = crops.crops(["rocket"])[:2]
    np.testing.assert_array_equal(one.noisy(25), one.noisy(25))
    noise = one.noisy(25) - one.truth
    assert noise.std() == pytest.approx(25, rel=0.02)
    assert one.noisy(25).min() < 0
    assert (noise != other.noisy(25) - other.truth).any()
    assert one.known(0.2).mean() == pytest.approx(0.2, abs=1e-3)


def test_what_is_hidden_is_not_handed_over():
    (crop, *_) = crops.crops(["camera"], size=32)
    seen = []

    def keep(image, known):
        seen.append((image, known))
        return image

    (row,) = measure.rows("inpaint", 0.2, [Contender("x", "1", "", keep)], [crop])
    image, known = seen[-1]
    assert (image[~known] == 0).all()
    np.testing.assert_array_equal(image[known], crop.truth[known])
    assert 0 < row.psnr < 20


def test_an_absent_peer_is_named(monkeypatch, capsys):
    def gone():
        raise Absent("not installed (pip install bm3d)")

    monkeypatch.setitem(denoisers.PEERS, "BM3D", gone)
    assert cli.run(parse("denoise", "--cases=camera", "--peers=BM3D")) == 0
    assert "absent: BM3D: not installed (pip install bm3d)\n" in capsys.readouterr().out


@pytest.mark.parametrize("room", [denoisers, inpainters])
def test_every_peer_that_is_here_gives_a_picture_nearer_to_the_truth(room):
    for crop in crops.crops(["coffee", "camera"], size=32)[::3]:
        for make in room.PEERS.values():
            try:
                who = make()
            except Absent:
                continue
            op, number = ("denoise", 25) if room is denoisers else ("inpaint", 0.5)
            given = (
                crop.noisy(25)
                if room is denoisers
                else crop.truth * np.atleast_3d(crop.known(0.5)).reshape((32, 32) + (1,) * (crop.truth.ndim - 2))
            )
            before = np.mean((np.clip(given, 0, 255) - crop.truth) ** 2)
            (row,) = measure.rows(op, number, [who], [crop])
            assert 255**2 / 10 ** (row.psnr / 10) < 0.7 * before, who.name


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["denoise", "--variants=sigma1"], "--variants: there is no 'sigma1'; there are sigma10, sigma25, sigma50"),
        (["inpaint", "--cases=lena"], "--cases: there is no 'lena'; there are china, coffee"),
        (["denoise", "--peers=DnCNN"], "--peers: there is no 'DnCNN'; there are NLM"),
        (["denoise", "--threads=1,2"], "--threads 1,2: bench denoise takes one number"),
        (["denoise", "--device=cuda"], "--device cuda: bench denoise runs on the cpu"),
        (["inpaint", "--layouts=columns"], "--layouts does not go with bench inpaint"),
        (["denoise", "--backends=fpga"], "--backends: there is no 'fpga'"),
    ],
)
def test_a_bad_option_is_one_line_and_status_2(argv, message, capsys):
    assert cli.run(parse(*argv)) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"sparsefast bench: {message}")
    assert err.count("\n") == 1
