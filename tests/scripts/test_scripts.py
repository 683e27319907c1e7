"""The training scripts start the command line that they should: run with stand-ins for the programs they call, which
write down what they were given."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
NAMES = ("train_one_gpu.sh", "train_many_gpus.sh", "train_slurm.sbatch")
# Arguments with what a shell could tear apart.
ARGUMENTS = ["model=vqvae", "data=photos", "train.max_epochs=3", "name=two words", "data.root=/a/*", "x="]

RECORD = """#!/usr/bin/env bash
{ printf '%s\\0' "${0##*/}" "$@"; printf '\\n\\0'; } >>"$RECORD"
printf '%s\\0' "threads=${OMP_NUM_THREADS:-}" "devices=${CUDA_VISIBLE_DEVICES:-}" >"$RECORD.environment"
"""
FAIL = "exit 7\n"
# Like srun, start what comes behind the options.
RECORD_AND_START = RECORD + 'while [[ "$1" == -* ]]; do shift; done\nexec "$@"\n'
FOUR_GPUS = (
    "#!/usr/bin/env bash\nfor i in 0 1 2 3; do echo \"GPU $i: H100 (UUID: $i)\"; echo '  MIG 1g.10gb Device 0'; done\n"
)
NO_GPU = "#!/usr/bin/env bash\necho 'No devices were found'\nexit 6\n"
HOSTS = '#!/usr/bin/env bash\n[[ "$*" == "show hostnames gpu[07-08]" ]] && printf "gpu07\\ngpu08\\n"\n'
SLURM = {
    "SLURM_JOB_ID": "123456", "SLURM_JOB_NODELIST": "gpu[07-08]", "SLURM_JOB_NUM_NODES": "2",
    "SLURM_GPUS_ON_NODE": "4", "SLURM_CPUS_PER_TASK": "32",
}  # fmt: skip


@pytest.fixture
def run(tmp_path):
    """Run a script; the result, the command lines that it led to, and the environment of the last."""
    record = tmp_path / "record"

    def run_script(name, *arguments, gpus=FOUR_GPUS, trainer=RECORD, **variables):
        programs = {
            "sparsefast": trainer, "torchrun": trainer, "srun": RECORD_AND_START, "nvidia-smi": gpus, "scontrol": HOSTS,
            "nproc": "#!/usr/bin/env bash\necho 24\n",
        }  # fmt: skip
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        for program, text in programs.items():
            (folder / program).write_text(text)
            (folder / program).chmod(0o755)
        record.unlink(missing_ok=True)
        environment = {"PATH": f"{folder}:/usr/bin:/bin", "RECORD": str(record), **variables}
        done = subprocess.run(
            ["bash", str(SCRIPTS / name), *arguments], env=environment, text=True, capture_output=True, timeout=30
        )
        if not record.exists():
            return done, [], {}
        lines = [line.split("\0")[:-1] for line in record.read_text().split("\n\0")[:-1]]
        pairs = (tmp_path / "record.environment").read_text().split("\0")[:-1]
        return done, lines, dict(pair.split("=", 1) for pair in pairs)

    return run_script


@pytest.mark.parametrize("name", NAMES)
def test_a_script_parses_stops_at_errors_and_may_be_executed(name):
    script = SCRIPTS / name
    done = subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "set -euo pipefail" in script.read_text().splitlines()
    assert os.access(script, os.X_OK)


def test_the_table_of_the_readme_names_every_script():
    text = (SCRIPTS / "README.md").read_text()
    assert {path.name for path in SCRIPTS.iterdir()} == {*NAMES, "README.md"}
    assert all(name in text for name in NAMES)


def test_one_gpu(run):
    done, lines, environment = run("train_one_gpu.sh", *ARGUMENTS)
    assert done.returncode == 0, done.stderr
    assert lines == [["sparsefast", "train", *ARGUMENTS]]
    assert environment["devices"] == "0"
    _, lines, environment = run("train_one_gpu.sh", CUDA_VISIBLE_DEVICES="3")
    assert lines == [["sparsefast", "train"]] and environment["devices"] == "3"


def test_one_gpu_is_neither_none_nor_two(run):
    for options, message in (({"gpus": NO_GPU}, "finds no GPU"), ({"CUDA_VISIBLE_DEVICES": "0,1"}, "several GPUs")):
        done, lines, _ = run("train_one_gpu.sh", **options)
        assert done.returncode == 2 and message in done.stderr and not lines


@pytest.mark.parametrize(
    ("variables", "processes", "threads"),
    [
        ({}, 4, "6"),
        ({"GPUS": "2"}, 2, "12"),
        ({"CUDA_VISIBLE_DEVICES": "1,2,5"}, 3, "8"),
        ({"CUDA_VISIBLE_DEVICES": "1,2,5", "GPUS": "1"}, 1, "24"),
        ({"GPUS": "32"}, 32, "1"),
        ({"OMP_NUM_THREADS": "5"}, 4, "5"),
    ],
)
def test_many_gpus(run, variables, processes, threads):
    done, lines, environment = run("train_many_gpus.sh", *ARGUMENTS, **variables)
    assert done.returncode == 0, done.stderr
    assert lines == [
        ["torchrun", "--standalone", f"--nproc-per-node={processes}", "-m", "sparsefast", "train", *ARGUMENTS]
    ]
    assert environment["threads"] == threads


@pytest.mark.parametrize("options", [{"gpus": NO_GPU}, {"GPUS": "all"}, {"GPUS": "0"}], ids=["none", "all", "0"])
def test_many_gpus_are_at_least_one(run, options):
    done, lines, _ = run("train_many_gpus.sh", **options)
    assert done.returncode == 2 and "must be a number of GPUs, at least 1" in done.stderr and not lines
    assert len(done.stderr.splitlines()) == 1


def on_slurm(*arguments, gpus=4, restarts=0):
    return [
        "torchrun", "--nnodes=2", f"--nproc-per-node={gpus}", f"--rdzv-id=123456-{restarts}", "--rdzv-backend=c10d",
        "--rdzv-endpoint=gpu07:23456", "-m", "sparsefast", "train", *arguments,
    ]  # fmt: skip


def test_slurm_starts_torchrun_on_every_machine_and_they_meet_on_the_first(run):
    done, lines, environment = run("train_slurm.sbatch", *ARGUMENTS, **SLURM)
    assert done.returncode == 0, done.stderr
    command = on_slurm(*ARGUMENTS, "--resume")
    assert lines == [["srun", "--ntasks-per-node=1", "--kill-on-bad-exit=1", *command], command]
    assert environment["threads"] == "8"
    _, lines, _ = run("train_slurm.sbatch", *ARGUMENTS, **SLURM, GPUS="8")
    assert lines[1] == on_slurm(*ARGUMENTS, "--resume", gpus=8)
    done, lines, _ = run("train_slurm.sbatch", **{**SLURM, "SLURM_GPUS_ON_NODE": ""})
    assert done.returncode == 2 and "number of GPUs of a machine" in done.stderr and not lines


def test_a_requeued_job_goes_on_where_it_was(run):
    for restarts in (0, 2):
        again = SLURM | {"SLURM_RESTART_COUNT": str(restarts)}
        _, lines, _ = run("train_slurm.sbatch", "model=vqvae", **again)
        assert lines[1] == on_slurm("model=vqvae", "name=slurm-123456", "--resume", restarts=restarts)
    _, lines, _ = run("train_slurm.sbatch", "--resume", *ARGUMENTS, **SLURM)
    assert lines[1] == on_slurm("--resume", *ARGUMENTS)  # once is enough


@pytest.mark.parametrize("name", NAMES)
def test_the_exit_code_is_that_of_the_training(run, name):
    done, lines, _ = run(name, *ARGUMENTS, trainer=RECORD + FAIL, **SLURM)
    assert done.returncode == 7 and lines


def test_nothing_starts_without_the_names_of_the_machines(run):
    done, lines, _ = run("train_slurm.sbatch", **{**SLURM, "SLURM_JOB_NODELIST": "elsewhere"})
    assert done.returncode != 0 and not lines
