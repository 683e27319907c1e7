"""What dictionaries are learned from: generators, functions, files larger than memory; and what is refused."""

import numpy as np
import pytest
import torch

import sparsefast
from sparsefast import KSVD, OnlineDictionaryLearning
from tests.estimators.learners import LEARNERS, planted

every_learner = pytest.mark.parametrize("learner", LEARNERS.values(), ids=LEARNERS)
in_batches = pytest.mark.parametrize(
    "learner", [LEARNERS["ksvd mini-batches"], LEARNERS["online"]], ids=["ksvd", "online"]
)


@in_batches
def test_batches_of_a_list_a_function_and_a_generator_are_partial_fits(learner):
    signals, _ = planted()
    batches = np.split(signals, 4)
    expected = learner(init=signals[:20])
    for _ in range(2):
        for batch in batches:
            expected.partial_fit(batch)
    assert expected.n_steps_ == 8
    of_list = learner(init=signals[:20], max_iter=2).fit(batches)
    of_function = learner(init=signals[:20], max_iter=2).fit(lambda: (batch for batch in batches))
    of_loader = learner(init=signals[:20], max_iter=2).fit(
        lambda: torch.utils.data.DataLoader(torch.from_numpy(signals), batch_size=100)
    )
    for found in (of_list, of_function, of_loader):
        np.testing.assert_array_equal(np.asarray(found.components_), expected.components_)
        assert found.n_iter_ == 2
    once = learner(max_iter=1).fit(batch for batch in batches)  # the first batch gives the first atoms, and is learned
    assert once.n_steps_ == 4
    with pytest.raises(ValueError, match=r"X is an iterator, which ends after one epoch, and max_iter=4"):
        learner().fit(batch for batch in batches)
    with pytest.raises(ValueError, match="X yields no batch"):
        learner().fit(lambda: iter(()))


class Counted(np.memmap):
    """A mapped array that knows how many rows were taken at once."""

    most = 0

    def __getitem__(self, where):
        Counted.most = max(Counted.most, np.size(where))
        return super().__getitem__(where)


@in_batches
def test_a_file_is_read_a_batch_at_a_time(learner, tmp_path):
    signals, _ = planted()
    np.save(tmp_path / "signals.npy", signals)
    mapped = np.load(tmp_path / "signals.npy", mmap_mode="r").view(Counted)
    Counted.most = 0
    found = learner().fit(mapped)
    assert Counted.most == 60
    np.testing.assert_array_equal(found.components_, learner().fit(signals).components_)
    np.save(tmp_path / "bytes.npy", (signals * 20 + 128).astype(np.uint8))
    of_bytes = learner().fit(np.load(tmp_path / "bytes.npy", mmap_mode="r"))
    assert of_bytes.components_.dtype == np.float64


def test_nan_in_a_file_is_an_error_when_its_batch_is_read(tmp_path):
    signals, _ = planted()
    signals[313, 2] = np.nan
    np.save(tmp_path / "signals.npy", signals)
    with pytest.raises(ValueError, match="contains NaN"):
        OnlineDictionaryLearning(20, n_nonzero=3).fit(np.load(tmp_path / "signals.npy", mmap_mode="r"))


@every_learner
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_are_refused_and_nothing_is_lost(learner, bad):
    signals, _ = planted()
    found = learner().fit(signals)
    before = found.components_.copy()
    wrong = signals.copy()
    wrong[3, 2] = bad
    for x in (wrong, torch.from_numpy(wrong)):
        for call in (found.fit, found.partial_fit, found.transform, found.score):
            with pytest.raises(ValueError, match=r"NaN|infinity"):
                call(x)
    np.testing.assert_array_equal(found.components_, before)
    found.partial_fit(signals[:60])


BAD = {
    "n_components": [
        (0, "n_components=0; it must be at least 1"),
        (2.5, "n_components"),
        (401, "above n_samples = 400"),
    ],
    "n_nonzero": [(0, "n_nonzero=0"), (21, "n_nonzero=21; it must be 1 to n_components=20")],
    "tol": [(-1, "tol=-1; it must be at least 0"), ("x", "tol='x'; it must be a number"), (True, "tol=True")],
    "max_iter": [(0, "max_iter=0; it must be at least 1"), (None, "max_iter")],
    "batch_size": [(0, "batch_size=0; it must be at least 1"), ("all", "batch_size")],
    "rho": [(-1, "rho=-1"), (None, "rho=None; it must be a number")],
    "init": [
        ("random", "init='random'; it must be 'signals' or an array"),
        (np.ones((20, 3)), "init has 3 features and X 12"),
        (np.ones((7, 12)), "init has 7 atoms and n_components=20"),
        (np.full((20, 12), np.nan), "init contains NaN"),
        (np.ones(3), r"init has shape \(3,\)"),
        (None, "init"),
    ],
    "min_use": [(-1, "min_use=-1")],
    "max_coherence": [(0, "max_coherence=0; it must be above 0, at most 1"), (1.5, "max_coherence=1.5")],
    "warm_start": [(1, "warm_start=1; it must be True or False")],
    "output": [("sparse", "output='sparse'; it must be one of dense, csr, code")],
    "verbose": [(-1, "verbose=-1"), ("yes", "verbose='yes'")],
    "callback": [(3, "callback=3; it must be a function or None")],
    "checkpoint": [(3, "checkpoint=3; it must be a path or None")],
    "checkpoint_every": [(0, "checkpoint_every=0")],
    "process_group": [("all", "process_group='all'; it must be None, 'world'"), ("world", "not initialised")],
    "backend": [("fast", "fast")],
}


@pytest.mark.parametrize(("name", "value", "message"), [(n, *bad) for n, all_bad in BAD.items() for bad in all_bad])
@in_batches
def test_a_bad_parameter_is_named_with_its_value_and_what_is_allowed(learner, name, value, message):
    signals, _ = planted()
    found = learner()
    with pytest.raises((TypeError, ValueError), match=message):
        found.set_params(**{name: value}).fit(signals)
    assert not hasattr(found, "components_")


def test_what_does_not_go_together_is_refused():
    signals, _ = planted()
    with pytest.raises(ValueError, match="method='best'; it must be one of approx, exact"):
        KSVD(method="best").fit(signals)
    with pytest.raises(ValueError, match="method='exact' with batch_size"):
        KSVD(method="exact", batch_size=10).fit(signals)
    with pytest.raises(ValueError, match="online_epochs=-1; it must be at least 0"):
        KSVD(online_epochs=-1).fit(signals)
    with pytest.raises(ValueError, match="several processes learn from mini-batches"):
        KSVD(process_group="world").fit(signals)
    with pytest.raises(ValueError, match="batch_size=None; it must be at least 1"):
        OnlineDictionaryLearning(batch_size=None).fit(signals)
    with pytest.raises(ValueError, match=r"X has shape \(3,\)"):
        KSVD().fit(torch.ones(3))
    with pytest.raises((TypeError, ValueError)):
        KSVD().fit("signals.npy")
    fitted = KSVD(20, n_nonzero=3, max_iter=1).fit(signals)
    for call in (fitted.transform, fitted.partial_fit, lambda x: fitted.fit(x, resume=True)):
        with pytest.raises(ValueError, match="5 features"):
            call(torch.from_numpy(signals[:, :5]))
    assert fitted.n_features_in_ == 12
    np.testing.assert_array_equal(fitted.transform(signals), sparsefast.omp(signals, fitted.components_, 3).to_dense())
