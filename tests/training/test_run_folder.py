"""The files of a run, and the table of all runs."""

import csv
import json
import multiprocessing

import pytest

from sparsefast.training.run_folder import RunFolder, append_summary, new_folder, read_metrics


def test_names_of_folders(tmp_path):
    assert new_folder(tmp_path / "a" / "b", None, "x").path.name == "x"
    assert [new_folder(tmp_path / "a" / "b", None, "x").path.name for _ in range(2)] == ["x-2", "x-3"]
    assert new_folder(tmp_path, "mine", "x").path == tmp_path / "mine"
    with pytest.raises(ValueError, match=r"mine is there already.*--resume"):
        new_folder(tmp_path, "mine", "x")


def test_lines_after_a_step_and_a_line_that_was_cut_off_are_left_out(tmp_path):
    run = RunFolder(tmp_path)
    for step in (1, 2, 3):
        run.append_metrics({"step": step, "train/loss": 1 / step})
    with run.metrics.open("a") as file:
        file.write('{"step": 4, "train/lo')
    with pytest.raises(ValueError, match=r"metrics.jsonl, line 4: not a line of metrics"):
        read_metrics(run.metrics)
    run.cut_metrics(2)
    assert read_metrics(run.metrics) == [{"step": 1, "train/loss": 1.0}, {"step": 2, "train/loss": 0.5}]
    RunFolder(tmp_path / "nothing").cut_metrics(2)


def test_the_table_has_a_column_for_each_key(tmp_path):
    run = RunFolder(tmp_path)
    run.append_metrics({"step": 1, "train/loss": 0.25})
    run.append_metrics({"step": 1, "val/psnr": float("inf")})
    run.write_table()
    assert (tmp_path / "metrics.csv").read_text() == "step,train/loss,val/psnr\n1,0.25,\n1,,inf\n"


def _append(arguments):
    folder, i = arguments
    append_summary(folder, {"run": f"r{i}", f"key{i % 3}": i})


def test_runs_that_end_at_the_same_time_all_have_their_row(tmp_path):
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.map(_append, [(tmp_path, i) for i in range(20)], chunksize=1)
    with (tmp_path / "summary.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["run"] for row in rows) == sorted(f"r{i}" for i in range(20))
    for row in rows:
        i = int(row["run"][1:])
        assert {key: row[f"key{key}"] for key in range(3)} == {key: str(i) if key == i % 3 else "" for key in range(3)}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["summary.csv"]


def test_versions_say_what_it_was_computed_with(tmp_path):
    RunFolder(tmp_path).write_versions(5)
    found = json.loads((tmp_path / "versions.json").read_text())
    assert found["seed"] == 5 and found["threads"] >= 1 and found["numpy"] and found["platform"]
