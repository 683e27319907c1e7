"""The benchmark on a GPU, here with tensors on the CPU: its peers are right, what is wrong has no speed, and its table
and JSON say what was measured. With a GPU, the whole command on a tiny case."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import sparsefast
from sparsefast.bench import cli
from sparsefast.bench.case import Case, problem
from sparsefast.bench.gpu import device, measure, peers, report
from sparsefast.bench.gpu import run as gpu_run
from sparsefast.bench.machine import Limit
from sparsefast.bench.variants import VARIANTS

OMP = VARIANTS["omp"]
LIMIT = Limit(0, 1e11, "torch", 64, 1e10)
BACKEND = sparsefast.backends("omp", device="cpu")[0]
COLOURS = Case("colours", (1, 1), True, 16, 4, most=300)


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
    return parser.parse_args(["omp", "--cases=tiny", "--seconds=0.001", *argv])


def ours(watch, variant=OMP):
    return measure.ours(variant, [BACKEND], "float32", watch.device.type)[0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("variant", "name"), [(variant, name) for variant, found in peers.PEERS.items() for name in found]
)
def test_every_peer_is_right(variant, name, dtype, watch):
    """By the check that has replayed our own results, on patches and on colours, where a fourth atom has nothing left
    to explain. A zero signal is among them."""
    cases = [VARIANTS[variant].tiny]
    if variant == "omp":
        cases.append(COLOURS)
    for case in cases:
        host = problem(case, dtype)
        host.signals[7] = 0
        bench = replace_problem(case, variant, host, dtype, watch)
        (who,) = peers.theirs(variant, [name], watch)
        result = bench.measure(len(host.signals), [who], LIMIT, 0.001)
        assert result.rows[0].wrong is None, result.rows[0].wrong
        assert result.rows[0].contender == who.name


def replace_problem(case, variant, host, dtype, watch):
    bench = measure.Bench(VARIANTS[variant], case, watch, dtype)
    bench.checker = VARIANTS[variant].checker(host)
    bench.given = measure.on_device(host, watch)
    return bench


@pytest.mark.parametrize("name", peers.PEERS["omp"])
def test_the_peers_residual_is_the_references(name, watch):
    host = problem(OMP.tiny, "float64")
    x, d = torch.from_numpy(host.signals), torch.from_numpy(host.dictionary)
    algorithm = peers.PEERS["omp"][name][0]
    indices, values = algorithm(x, d, 3)
    code = sparsefast.omp(host.signals, host.dictionary, 3, backend="reference")
    np.testing.assert_array_equal(indices.numpy(), code.indices)
    np.testing.assert_allclose(values.numpy(), code.values, rtol=1e-9, atol=1e-12)
    # Chunks do not change what comes out.
    again = peers.in_chunks(algorithm, x, d, 3, 7)
    np.testing.assert_array_equal(again[0], indices)
    np.testing.assert_allclose(again[1], values, rtol=1e-12, atol=1e-14)


def test_the_fastest_chunk_is_taken_and_one_without_room_drops_out(monkeypatch, watch):
    seen = []

    def algorithm(x, d, n_nonzero):
        seen.append(len(x))
        if len(x) > 50:
            raise torch.OutOfMemoryError("too large")
        return x[:, :n_nonzero].long(), x[:, :n_nonzero]

    monkeypatch.setattr(watch, "seconds", lambda call: call() and {20: 2.0, 50: 1.0}[seen[-1]])
    x = torch.zeros(100, 3)
    seen.clear()
    call = peers._fastest(algorithm, x, x, 2, [20, 50, 80, 400], watch)
    seen.clear()
    assert [len(part) for part in call()] == [100, 100]
    assert seen == [50, 50]


def broken(watch):
    who = ours(watch)[0]

    def decode(result, given):
        code = who.decode(result, given)
        values = np.array(code.values)
        values[11, 1] *= 1.001
        return replace(code, values=values)

    return replace(who, name="sparsefast broken", decode=decode)


def raising():
    def bind(*_):
        raise RuntimeError("no such\nluck")

    return replace(peers.theirs("omp", ["torch"], None)[0], name="raising", bind=bind)


def test_a_wrong_result_has_no_speed(watch):
    bench = measure.Bench(OMP, OMP.tiny, watch)
    result = bench.measure(77, [ours(watch)[0], broken(watch), raising()], LIMIT, 0.001)
    right, wrong, raised = result.rows
    assert right.wrong is None and right.rate["median"] > 0
    assert "signal 11: coefficients are not least squares" in wrong.wrong
    assert (wrong.rate, wrong.seconds) == (None, [])
    assert raised.wrong == "it raised RuntimeError: no such luck"
    lines = report.result_lines(result)
    assert [("signals/s (IQR" in line) for line in lines[1:]] == [True, False, False]


def test_a_result_that_is_not_written_is_seen(watch):
    """The memory of the call before is poisoned: an op that leaves its outputs as they were is wrong."""
    kept = []
    who = ours(watch)[0]

    def bind(given, threads):
        call = who.bind(given, threads)

        def lazy():
            kept.append(call() if not kept else kept[0])
            return kept[0]

        return lazy

    row = measure.Bench(OMP, OMP.tiny, watch).measure(50, [replace(who, bind=bind)], LIMIT, 0.001).rows[0]
    assert row.wrong is not None


def test_the_table_and_the_json_say_the_same(tmp_path, capsys):
    path = tmp_path / "gpu.json"
    args = parse(
        f"--json={path}", "--variants=omp,topk", f"--backends={BACKEND},cuda", "--batches=20,60", "--peers=v0,torch"
    )
    assert gpu_run.run(args, cli._chosen(args), on="cpu") == 0
    out = capsys.readouterr().out
    found = json.loads(path.read_text())
    assert (found["schema"], found["schema_version"]) == ("sparsefast-bench-gpu", 1)
    assert found["limit"]["flops"] > 0 and found["limit"]["bandwidth"] > 0
    assert [(c["variant"], c["name"], c["n_signals"]) for c in found["cases"]] == [
        *(("omp", "tiny", 20), ("omp", "tiny", 60)),
        *(("topk", "tiny", 20), ("topk", "tiny", 60)),
    ]
    assert found["absent"][0]["contender"] == "sparsefast cuda"
    assert found["absent"][0]["reason"] in out
    for case in found["cases"]:
        for row in case["rows"]:
            assert row["contender"] in out
            rates = [case["n_signals"] / s for s in row["seconds"]]
            assert row["rate"]["median"] == pytest.approx(np.median(rates))
            assert row["of_product"] == pytest.approx(
                np.median(rates) * case["flops_per_signal"] / found["limit"]["flops"]
            )
            assert row["of_bandwidth"] == pytest.approx(
                np.median(rates) * case["bytes_per_signal"] / found["limit"]["bandwidth"]
            )
            others = {other["contender"] for other in case["rows"]} - {row["contender"]}
            assert set(row["times"]) == others
            assert row["graph_seconds"] == []
    first = found["cases"][0]
    # Nine features, three values, three int64 indices, a count and a status.
    assert first["bytes_per_signal"] == 9 * 4 + 3 * (4 + 8) + 4 + 1
    residuals = [row["residual"] for row in first["rows"]]
    assert max(residuals) - min(residuals) < 1e-5


def test_a_run_without_any_of_ours_fails_unless_asked_for(capsys):
    for backends, status in (("cuda", 1), ("none", 0)):
        args = parse("--variants=topk", f"--backends={backends}", "--batches=20")
        assert gpu_run.run(args, cli._chosen(args), on="cpu") == status
        assert ("none of ours ran: cuda are absent" in capsys.readouterr().err) == bool(status)


def results(cuda, triton, peer, case="C4", n=1000):
    """Rows with these rates, as the measurement would leave them."""
    rates = {"sparsefast cuda": cuda, "sparsefast triton": triton, "torch v0": peer, "torch": peer / 2}
    rows = []
    for name, rate in rates.items():
        times = {other: {"median": rate / r} for other, r in rates.items() if other != name}
        summary = {"median": rate, "q1": rate, "q3": rate}
        row = measure.Row(name, "", name.startswith("sparsefast"), "", rate=summary, times=times)
        rows.append(replace(row, of_bandwidth=rate * 65 / LIMIT.bandwidth, of_product=0.1, residual=0.0, atoms=3.0))
    return measure.Result("omp", OMP.case(case), n, 10, 65, rows)


def test_goals_are_compared_with_the_best_peer():
    found = report.goals([results(1e8, 4e7, 6e6, n=10), results(1e8, 6e7, 4e6)])
    said = [(g["n_signals"], g["goal"], round(g["value"], 2), g["met"]) for g in found]
    assert said == [
        (10, "times torch v0", 16.67, False),
        (10, "times the time of cuda", 2.5, False),
        (1000, "times torch v0", 25.0, True),
        (1000, "of the copy's bandwidth", 0.65, True),
        (1000, "times the time of cuda", 1.67, True),
    ]
    assert [line.split()[0] for line in report.goal_lines(found)] == ["missed", "missed", "met", "met", "met"]
    # Triton is compared up to 256 atoms, the bandwidth at C4.
    assert [g["goal"] for g in report.goals([results(1e8, 4e7, 6e6, case="C2")])] == ["times torch v0"]


def test_without_a_gpu_the_command_says_so(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert cli.run(parse("--device=cuda")) == 2
    out, err = capsys.readouterr()
    assert err.startswith("sparsefast bench: --device cuda: PyTorch sees no CUDA device")
    assert (out, err.count("\n")) == ("", 1)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--device=cuda", "--peers=spams"], "--peers: there is no 'spams'; there are torch, batch-omp, v0"),
        (["--device=cuda", "--isa=x86-64-v3"], "--isa goes with --device cpu"),
        (["--batches=100"], "--batches goes with --device cuda"),
        (["--device=cuda", "--variants=omp", "--cases=F3-K16"], "--cases: omp has none of F3-K16"),
    ],
)
def test_a_bad_option_is_one_line_and_status_2(argv, message, capsys):
    assert cli.run(parse(*argv)) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_the_command_on_a_gpu(tmp_path, capsys):
    path = tmp_path / "gpu.json"
    assert cli.run(parse("--device=cuda", f"--json={path}")) == 0
    found = json.loads(path.read_text())
    ours = [row for case in found["cases"] for row in case["rows"] if row["ours"]]
    assert ours
    for row in ours:
        assert row["graph_error"] is None, row
        assert row["memory_bytes"] > 0
