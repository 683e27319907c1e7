"""Several processes learn what one does from all signals together; when one is lost, the run is not."""

import numpy as np
import pytest

import sparsefast
from tests.estimators import process_script
from tests.estimators.learners import planted
from tests.estimators.process_script import LEARNERS, PARAMETERS
from tests.two_processes import run_two


@pytest.fixture
def folder(tmp_path):
    np.save(tmp_path / "signals.npy", planted(noise=0.1)[0])
    return tmp_path


def error_of(atoms, signals):
    code = sparsefast.omp(signals, atoms.astype(np.float64), 3)
    return np.linalg.norm(signals - code.decode(atoms.astype(np.float64)))


def test_two_processes_learn_what_one_does(folder):
    for done in run_two(process_script.__file__, "same", str(folder)):
        assert done.returncode == 0, done.stderr
    signals = np.load(folder / "signals.npy")
    first, second = (np.load(folder / f"found-{rank}.npz") for rank in range(2))
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)
    for name, learner in LEARNERS.items():
        alone = learner(**PARAMETERS).fit(signals).components_
        np.testing.assert_allclose(first[f"{name} float64"], alone, rtol=0, atol=1e-8)
        # Rounding may choose another atom where two are nearly as good, which makes the error no worse.
        narrow = first[f"{name} float32"]
        assert narrow.dtype == np.float32
        assert error_of(narrow, signals) <= error_of(alone, signals) * (1 + 1e-3)
    np.testing.assert_allclose(first["tensors"], first["online float64"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(first["none"], first["online float64"], rtol=0, atol=1e-8)
    # A step of the generators' batches is one of what both have.
    halves = [np.array_split(process_script.parts(signals, rank), n) for rank, n in ((0, 3), (1, 5))]
    batches = [np.concatenate([half[i] for half in halves if i < len(half)]) for i in range(5)]
    alone = LEARNERS["online"](**PARAMETERS).fit(batches)
    np.testing.assert_allclose(first["batches"], alone.components_, rtol=0, atol=1e-8)


def test_a_lost_process_is_an_error_and_the_checkpoint_leads_to_the_same_dictionary(folder):
    survivor, lost = run_two(process_script.__file__, "killed", str(folder))
    assert lost.returncode == 9
    assert survivor.returncode == 1
    last = survivor.stderr.strip().splitlines()
    assert any("OnlineDictionaryLearning: process 0 of 2 lost another one" in line for line in last), survivor.stderr
    assert any("fit(X, resume=True)" in line for line in last)
    for done in run_two(process_script.__file__, "resumed", str(folder)):
        assert done.returncode == 0, done.stderr
    whole = LEARNERS["online"](**PARAMETERS).fit(np.load(folder / "signals.npy")).components_
    first, second = (np.load(folder / f"resumed-{rank}.npy") for rank in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first, whole, rtol=0, atol=1e-8)
