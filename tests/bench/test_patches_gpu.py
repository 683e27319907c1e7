"""`bench patches` on a device, here with tensors on the CPU: peers are right, what is wrong has no speed, and table and
JSON say what was measured. With a GPU, the whole command on tiny cases."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import sparsefast
from sparsefast.bench import cli
from sparsefast.bench.gpu import device
from sparsefast.bench.machine import Limit
from sparsefast.bench.patches import case as cases
from sparsefast.bench.patches import contender, gpu, measure, peers, report
from sparsefast.bench.patches import run as patches
from sparsefast.bench.patches.given import Given
from sparsefast.bench.patches.variant import LAYOUTS, VARIANTS

LIMIT = Limit(0, 1e11, "torch", 64, 1e10)
BACKEND = sparsefast.backends("fold", device="cpu")[0]
TINY = cases.TINY[0]


@pytest.fixture(scope="module")
def watch():
    return device.Stopwatch("cpu")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(measure, "MOST_ROUNDS", 5)
    monkeypatch.setattr(device, "SIZES", (32, 64))
    monkeypatch.setattr(device, "COPY_BYTES", 1 << 16)


def parse(*argv):
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    return parser.parse_args(["patches", "--seconds=0.001", *argv])


def ours(variant):
    return contender.ours(variant, [BACKEND])[0][0]


def bench(case, layout="columns", dtype="float32"):
    return measure.Bench(Given(case, layout, case.n_images, dtype, "cpu"))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", cases.TINY, ids=lambda case: case.name)
@pytest.mark.parametrize("variant", VARIANTS.values(), ids=list(VARIANTS))
def test_every_peer_is_right_on_tensors(variant, case, layout, watch):
    them, absent = peers.theirs(variant, case, layout, device="cuda")
    assert absent == []
    assert not {who.name for who in them} & {"NumPy", "scikit-learn"}
    result = gpu.measure(bench(case, layout), variant, them, LIMIT, watch, 0.001)
    assert [row.wrong for row in result.rows] == [None] * len(them)


def broken(who):
    def bind(given):
        call = who.bind(given)

        def off():
            result = call()
            result[2, 1, 1] *= 1.0005
            return result

        return off

    return replace(who, name="sparsefast broken", bind=bind)


def raising(*_):
    raise RuntimeError("no such\nluck")


@pytest.mark.parametrize("name", ["unfold", "fold"])
def test_a_wrong_result_has_no_speed(name, watch):
    variant = VARIANTS[name]
    us = ours(variant)
    them = peers.theirs(variant, TINY, "columns", ["F.unfold", "recipe"], device="cuda")[0]
    who = [us, broken(us), *them, replace(them[0], name="raising", bind=raising)]
    result = gpu.measure(bench(TINY), variant, who, LIMIT, watch, 0.001)
    right, wrong, peer, raised = result.rows
    assert right.wrong is None and right.rate["median"] > 0
    assert wrong.wrong.startswith("image 2: ")
    assert (wrong.rate, wrong.seconds) == (None, [])
    assert raised.wrong == "it raised RuntimeError: no such luck"
    # On a device backends are compared with each other, too.
    assert (set(right.times), set(peer.times)) == ({peer.contender}, {right.contender})
    assert ["B/s" in line for line in report.result_lines(result)[1:]] == [True, False, True, False]
    assert gpu.status([result], [BACKEND]) == 1


def test_the_table_and_the_json_say_the_same(tmp_path, capsys):
    path = tmp_path / "gpu.json"
    argv = ("--cases=tiny,tiny-at", "--variants=unfold,fold_gaussian", "--batches=2,5", "--layouts=columns")
    args = parse(f"--json={path}", f"--backends={BACKEND},cuda", *argv)
    assert patches.on_gpu(args, on="cpu") == 0
    out = capsys.readouterr().out
    found = json.loads(path.read_text())
    assert (found["schema"], found["schema_version"], found["op"]) == ("sparsefast-bench-gpu", 1, "patches")
    assert set(found) == {
        *("schema", "schema_version", "op", "date", "device", "settings", "limit", "cases", "absent", "goals"),
    }
    assert [(c["name"], c["n_images"], c["variant"]) for c in found["cases"]] == [
        (name, n, variant) for name in ("tiny", "tiny-at") for n in (2, 5) for variant in ("unfold", "fold_gaussian")
    ]
    assert found["absent"][0]["contender"] == "sparsefast cuda"
    assert found["absent"][0]["reason"] in out
    for case in found["cases"]:
        assert f"{case['variant']}, columns, {case['name']}: " in out
        for row in case["rows"]:
            assert row["contender"] in out
            assert (row["threads"], row["n_images"]) == (0, case["n_images"])
            rate = np.median([case["n_images"] / s for s in row["seconds"]])
            assert row["rate"]["median"] == pytest.approx(rate)
            of_copy = rate * case["bytes_per_image"] / found["limit"]["bandwidth"]
            assert row["fraction_of_limit"] == pytest.approx(of_copy)
            assert set(row["times"]) == {other["contender"] for other in case["rows"]} - {row["contender"]}
            assert (row["graph_seconds"], row["memory_bytes"]) == ([], None)


def test_a_run_without_any_of_ours_fails_unless_asked_for(capsys):
    for backends, status in (("cuda", 1), ("none", 0)):
        args = parse("--cases=tiny", "--variants=fold", f"--backends={backends}", "--batches=2")
        assert patches.on_gpu(args, on="cpu") == status
        assert ("none of ours ran: cuda are absent" in capsys.readouterr().err) == bool(status)


def test_a_batch_without_room_is_left_out(monkeypatch, capsys):
    each = TINY.bytes(4)
    monkeypatch.setattr(gpu, "_free", lambda watch: 4 * 3 * each)
    args = parse("--cases=tiny", "--variants=unfold", "--layouts=columns", f"--backends={BACKEND}", "--batches=3,4")
    assert patches.on_gpu(args, on="cpu") == 0
    out = capsys.readouterr().out
    assert "tiny: a new output each call; 3 images" in out
    assert "tiny, 4 images: left out" in out


def test_without_a_gpu_the_command_says_so(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert cli.run(parse("--device=cuda")) == 2
    out, err = capsys.readouterr()
    assert err.startswith("sparsefast bench: --device cuda: PyTorch sees no CUDA device")
    assert (out, err.count("\n")) == ("", 1)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_the_command_on_a_gpu(tmp_path):
    path = tmp_path / "gpu.json"
    names = ",".join(case.name for case in cases.TINY)
    assert cli.run(parse("--device=cuda", f"--cases={names}", f"--json={path}")) == 0
    found = json.loads(path.read_text())
    ours = [row for case in found["cases"] for row in case["rows"] if row["ours"]]
    assert ours
    for row in ours:
        assert row["graph_error"] is None, row
        assert row["memory_bytes"] >= 0
