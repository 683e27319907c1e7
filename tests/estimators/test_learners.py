"""KSVD and OnlineDictionaryLearning keep scikit-learn's conventions and learn what there is to learn."""

import pickle

import numpy as np
import pytest
import scipy.sparse
import torch
from sklearn.base import clone
from sklearn.decomposition import MiniBatchDictionaryLearning
from sklearn.utils.estimator_checks import estimator_checks_generator

import sparsefast
from sparsefast import KSVD, OnlineDictionaryLearning
from sparsefast.images.photos import photos
from tests.data import unit
from tests.estimators.learners import LEARNERS, planted

every_learner = pytest.mark.parametrize("learner", LEARNERS.values(), ids=LEARNERS)


def checks():
    for name, estimator in (
        ("ksvd", KSVD(max_iter=3)),
        ("ksvd mini-batches", KSVD(max_iter=2, batch_size=10)),
        ("online", OnlineDictionaryLearning(max_iter=2)),
    ):
        for instance, check in estimator_checks_generator(estimator):
            yield pytest.param(check, instance, id=f"{check.func.__name__.removeprefix('check_')}-{name}")


@pytest.mark.parametrize(("check", "estimator"), list(checks()))
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning", "ignore::FutureWarning")
def test_scikit_learns_estimator_checks_pass(check, estimator):
    check(estimator)


@pytest.mark.parametrize("method", ["approx", "exact"])
def test_an_iteration_is_coding_and_a_sweep_and_never_adds_to_the_error(method):
    signals, _ = planted(noise=0.3)
    seen = []
    learner = KSVD(15, n_nonzero=3, method=method, max_iter=6, min_use=0, max_coherence=1, random_state=3)
    learner.set_params(callback=lambda _, told: seen.append((told, learner.components_)) and None).fit(signals)
    atoms = seen[0][1]
    for told, after in seen[1:]:
        code = sparsefast.omp(signals, atoms, 3)
        update = sparsefast.ksvd_update(signals, atoms, code, method=method)
        np.testing.assert_array_equal(after, update.dictionary)
        assert told.objective == pytest.approx((update.errors**2).mean() / 2, rel=1e-12)
        coded = ((signals - code.decode(atoms)) ** 2).sum(axis=1).mean() / 2
        assert told.objective <= coded * (1 + 1e-12)
        atoms = after
    np.testing.assert_array_equal(atoms, learner.components_)
    assert [told.objective for told, _ in seen] == learner.objective_
    assert learner.n_iter_ == learner.n_steps_ == 6


@every_learner
def test_atoms_that_were_planted_are_found(learner):
    signals, atoms = planted(n=3000, n_features=20, n_atoms=25, noise=0.001)
    # K-SVD finds nearly all of them from random signals (Aharon, Elad and Bruckstein 2006, section V); and all from a
    # start that is not far.
    start = atoms + 0.1 * np.random.default_rng(1).standard_normal(atoms.shape)
    found = learner(n_components=25, init=start, max_iter=25).fit(signals)
    np.testing.assert_array_less(0.95, np.abs(unit(found.components_) @ atoms.T).max(axis=0))
    code = sparsefast.omp(signals, atoms, 3)
    assert -found.score(signals) < 1.1 * ((signals - code.decode(atoms)) ** 2).mean()


def test_the_error_on_photographs_is_below_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    patches = []
    for name in ("flower", "chelsea"):
        grey = np.ascontiguousarray(photos("train")[name].mean(axis=2)[None] / 255)
        all_of_it = sparsefast.unfold(grey, 8, layout="signals").reshape(-1, 64)
        patches.append(all_of_it[rng.choice(len(all_of_it), 1500, replace=False)])
    x = np.concatenate(patches)
    x -= x.mean(axis=1, keepdims=True)
    peer = MiniBatchDictionaryLearning(
        80, fit_algorithm="cd", alpha=0.1, max_iter=2, batch_size=250, dict_init=x[:80], random_state=0
    ).fit(x)
    errors = {}
    for name, learner in LEARNERS.items():
        found = learner(n_components=80, n_nonzero=5, init=x[:80], max_iter=5, batch_size=None)
        if "ksvd" not in name or "mini" in name:
            found.set_params(batch_size=250)
        errors[name] = -found.fit(x).score(x)
    theirs = KSVD(80, n_nonzero=5, init=peer.components_, max_iter=1).fit(x)
    code = sparsefast.omp(x, peer.components_, 5)
    error_of_peer = ((x - code.decode(peer.components_)) ** 2).mean()
    assert max(errors.values()) < error_of_peer
    assert -theirs.score(x) < error_of_peer  # an iteration more makes it better


@every_learner
def test_seeds_decide_and_threads_do_not(learner):
    signals, _ = planted(noise=0.2)
    first = learner().fit(signals)
    try:
        sparsefast.set_num_threads(2)
        again = learner().fit(signals)
    finally:
        sparsefast.set_num_threads(None)
    np.testing.assert_array_equal(first.components_, again.components_)
    assert first.objective_ == again.objective_
    assert (learner(random_state=1).fit(signals).components_ != first.components_).any()


@every_learner
def test_tensors_give_what_arrays_give(learner):
    signals, _ = planted(dtype=np.float32)
    ours, theirs = learner().fit(signals), learner().fit(torch.from_numpy(signals))
    assert isinstance(theirs.components_, torch.Tensor)
    assert theirs.components_.dtype == torch.float32
    np.testing.assert_array_equal(theirs.components_.numpy(), ours.components_)
    codes = theirs.transform(torch.from_numpy(signals))
    np.testing.assert_array_equal(codes.numpy(), ours.transform(signals))
    back = theirs.inverse_transform(codes)
    np.testing.assert_allclose(back.numpy(), ours.inverse_transform(ours.transform(signals)), atol=1e-6)
    assert theirs.score(torch.from_numpy(signals)) == pytest.approx(ours.score(signals), rel=1e-5)
    half = learner().fit(torch.from_numpy(signals).half())
    assert half.components_.dtype == torch.float32


@every_learner
def test_every_output_stands_for_the_same_codes(learner):
    signals, _ = planted()
    found = learner().fit(signals)
    dense = found.transform(signals)
    np.testing.assert_array_equal(dense, sparsefast.omp(signals, found.components_, 3).to_dense())
    csr = found.set_params(output="csr").transform(signals)
    assert scipy.sparse.issparse(csr)
    np.testing.assert_array_equal(csr.toarray(), dense)
    code = found.set_params(output="code").transform(signals)
    np.testing.assert_array_equal(code.to_dense(), dense)
    for codes in (dense, csr, code):
        np.testing.assert_allclose(found.inverse_transform(codes), dense @ found.components_, atol=1e-12)
    tensors = found.set_params(output="csr").transform(torch.from_numpy(signals))
    assert tensors.is_sparse or tensors.layout == torch.sparse_csr
    with pytest.raises(ValueError, match="X has 7 columns; the codes of this dictionary have 20"):
        found.inverse_transform(np.zeros((2, 7)))
    assert list(found.get_feature_names_out())[:2] == [f"{type(found).__name__.lower()}{i}" for i in range(2)]


@every_learner
def test_warm_start_goes_on_where_it_was(learner):
    signals, _ = planted(noise=0.2)
    found = learner(max_iter=1, warm_start=True).fit(signals)
    first = found.objective_[0]
    for _ in range(5):
        found.fit(signals)
    assert found.objective_[0] < first
    with pytest.raises(ValueError, match="warm_start goes on with 20 components of 12 features"):
        found.fit(signals[:, :5])
    assert pickle.loads(pickle.dumps(found)).objective_ == found.objective_
    assert not hasattr(clone(found), "components_")


@every_learner
def test_a_callback_may_end_it_and_the_bar_tells_the_objective(learner, capsys):
    signals, _ = planted()
    told = []
    found = learner(callback=lambda owner, step: told.append((owner, step)) or step.step == 3, verbose=1).fit(signals)
    assert [step.step for _, step in told] == [1, 2, 3]
    assert all(owner is found for owner, _ in told)
    assert found.n_steps_ == 3
    error = capsys.readouterr().err
    assert type(found).__name__ in error
    assert f"objective={found.objective_[-1]:.4g}" in error


def test_mini_batches_before_the_first_iteration_lead_to_a_smaller_error():
    signals, _ = planted(n=3000, n_features=20, n_atoms=30, noise=0.1)
    without, begun = (
        KSVD(30, n_nonzero=3, max_iter=5, online_epochs=epochs, random_state=0).fit(signals) for epochs in (0, 3)
    )
    assert begun.objective_[-1] < 0.95 * without.objective_[-1]
    assert begun.n_steps_ == begun.n_iter_ == len(begun.objective_) == 5
    online = KSVD(30, n_nonzero=3, max_iter=3, batch_size=512, random_state=begun._seed, init=without.components_)
    expected = KSVD(30, n_nonzero=3, max_iter=5, online_epochs=0, init=online.fit(signals).components_)
    found = KSVD(30, n_nonzero=3, max_iter=5, online_epochs=3, init=without.components_, random_state=0)
    # The start is scaled to unit norm once more there.
    np.testing.assert_allclose(found.fit(signals).components_, expected.fit(signals).components_, atol=1e-10)


def test_dead_and_duplicate_atoms_become_the_signals_that_were_worst():
    signals, atoms = planted(n=3000, noise=0.05)
    start = atoms.copy()
    start[3] = -start[5]
    seen = []
    found = KSVD(20, n_nonzero=3, init=start, max_iter=3, online_epochs=0)
    found.set_params(callback=lambda _, told: seen.append(told) and None).fit(signals)
    assert seen[0].n_replaced >= 1
    cosines = np.abs(found.components_ @ found.components_.T) - np.eye(20)
    assert cosines.max() < 0.99
    usage = (found.transform(signals) != 0).sum(axis=0)
    assert usage.min() > 0
    for learner in (LEARNERS["online"], LEARNERS["ksvd mini-batches"]):
        online = learner(init=start, batch_size=200, max_iter=3)
        atoms = unit(online.fit(signals).components_)
        assert (np.abs(atoms @ atoms.T) - np.eye(20)).max() < 0.99


def test_few_signals_are_fine_without_a_number_of_atoms_and_an_error_with_one():
    signals, _ = planted(n=5)
    for learner in LEARNERS.values():
        assert learner(n_components=None).fit(signals).components_.shape == (12, 12)
        with pytest.raises(ValueError, match="n_components=20 is above n_samples = 5"):
            learner().fit(signals)
        zeros = learner(n_components=None, n_nonzero=1).fit(np.zeros((4, 3)))
        np.testing.assert_allclose(np.linalg.norm(zeros.components_, axis=1), 1, rtol=1e-12)
