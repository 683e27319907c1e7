"""Learned dictionaries on disk, and runs that go on from there to what they would have come to."""

import os

import numpy as np
import pytest

from sparsefast import KSVD, DictionaryStats, OnlineDictionaryLearning
from tests.estimators.learners import LEARNERS, planted

every_learner = pytest.mark.parametrize("learner", LEARNERS.values(), ids=LEARNERS)


class Stop(Exception):
    pass


def stop_after(n):
    def callback(_, told):
        if told.step == n:
            raise Stop

    return callback


@every_learner
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_saved_is_what_is_loaded(learner, dtype, tmp_path):
    signals, _ = planted(dtype=dtype)
    found = learner().fit(signals)
    found.save(tmp_path / "learned")
    loaded = type(found).load(tmp_path / "learned")
    assert loaded.components_.dtype == dtype
    np.testing.assert_array_equal(loaded.transform(signals), found.transform(signals))
    assert loaded.objective_ == found.objective_
    assert loaded.get_params() == found.get_params()
    assert (loaded.n_iter_, loaded.n_steps_, loaded.n_features_in_) == (found.n_iter_, found.n_steps_, 12)
    # And learning goes on from either alike.
    np.testing.assert_array_equal(
        loaded.partial_fit(signals[:50]).components_, found.partial_fit(signals[:50]).components_
    )


@every_learner
@pytest.mark.parametrize("stopped_after", [1, 3])
def test_a_run_that_was_cut_off_resumes_to_the_very_same_dictionary(learner, stopped_after, tmp_path):
    signals, _ = planted(noise=0.2)
    whole = learner().fit(signals)
    file = tmp_path / "checkpoint"
    with pytest.raises(Stop):
        learner(checkpoint=file, checkpoint_every=1, callback=stop_after(stopped_after)).fit(signals)
    resumed = type(whole).load(file).fit(signals, resume=True)
    np.testing.assert_array_equal(resumed.components_, whole.components_)
    assert resumed.objective_ == whole.objective_
    assert resumed.n_steps_ == whole.n_steps_
    assert os.listdir(tmp_path) == ["checkpoint"]


def test_unless_told_otherwise_every_iteration_leaves_a_checkpoint_and_every_hundredth_mini_batch(tmp_path):
    signals, _ = planted()
    with pytest.raises(Stop):
        LEARNERS["ksvd"](checkpoint=tmp_path / "iterations", callback=stop_after(2)).fit(signals)
    assert KSVD.load(tmp_path / "iterations").n_steps_ == 2
    with pytest.raises(Stop):
        LEARNERS["online"](checkpoint=tmp_path / "batches", batch_size=2, callback=stop_after(130)).fit(signals)
    assert OnlineDictionaryLearning.load(tmp_path / "batches").n_steps_ == 100


def test_a_stream_resumes_at_the_batch_where_it_was(tmp_path):
    signals, _ = planted(noise=0.2)
    batches = np.split(signals, 8)
    learner = LEARNERS["online"]
    whole = learner(max_iter=2).fit(batches)
    with pytest.raises(Stop):
        learner(max_iter=2, checkpoint=tmp_path / "c", checkpoint_every=2, callback=stop_after(12)).fit(batches)
    resumed = OnlineDictionaryLearning.load(tmp_path / "c").fit(batches, resume=True)
    np.testing.assert_array_equal(resumed.components_, whole.components_)


def test_other_files_are_refused(tmp_path):
    signals, _ = planted()
    found = KSVD(20, n_nonzero=3, max_iter=1).fit(signals)
    found.save(tmp_path / "ksvd")
    with pytest.raises(ValueError, match=r"holds sparsefast.KSVD, not a sparsefast.OnlineDictionaryLearning"):
        OnlineDictionaryLearning.load(tmp_path / "ksvd")
    DictionaryStats(3, 4).save(tmp_path / "stats")
    with pytest.raises(ValueError, match=r"holds sparsefast.DictionaryStats, not a sparsefast.KSVD"):
        KSVD.load(tmp_path / "stats")
    (tmp_path / "half").write_bytes((tmp_path / "ksvd").read_bytes()[:-9])
    with pytest.raises(ValueError, match="half is not a whole safetensors file"):
        KSVD.load(tmp_path / "half")
    with pytest.raises(OSError, match="nothing"):
        KSVD.load(tmp_path / "nothing")
    with pytest.raises(OSError, match="nowhere"):
        found.save(tmp_path / "nowhere" / "file")
    # Over its own file, and again.
    KSVD.load(tmp_path / "ksvd").save(tmp_path / "ksvd")
    np.testing.assert_array_equal(KSVD.load(tmp_path / "ksvd").components_, found.components_)
