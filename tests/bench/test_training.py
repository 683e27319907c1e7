"""`sparsefast bench train` from end to end for a moment: what it prints, writes and refuses."""

import argparse
import json

import pytest

from sparsefast.bench import cli


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """No second process."""
    import torch

    for name, value in cli.QUIET.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(cli.STARTED, "1")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def parse(*argv):
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    return parser.parse_args(list(argv))


def test_the_table_and_the_json_say_the_same(tmp_path, capsys):
    path = tmp_path / "found.json"
    chosen = ["--variants=dlvae", "--cases=photos", "--seconds=0.05"]
    assert cli.run(parse("train", *chosen, f"--json={path}")) == 0
    said = capsys.readouterr().out
    found = json.loads(path.read_text())
    assert found["op"] == "train" and found["settings"]["variants"] == ["dlvae"]
    (row,) = found["rows"]
    for key in ("loader", "loader_worker", "step", "run"):
        assert row[key] > 0
        assert f"{row[key]:,.0f}" in said
    assert 0 < row["waiting"] < 1


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("--variants=resnet", "there is no 'resnet'"),
        ("--cases=cifar10", "there is no 'cifar10'"),
        ("--device=cuda", "bench train runs on the cpu"),
        ("--threads=1,2", "takes one number"),
        ("--png=x.png", "--png does not go with"),
    ],
)
def test_what_does_not_go_is_said(option, says, capsys):
    assert cli.run(parse("train", option)) == 2
    assert says in capsys.readouterr().err
