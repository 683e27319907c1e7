"""PreparedDictionary: the same answers as the dictionary, packed once, and packed anew when the dictionary changed."""

import copy
import pickle
import threading
import warnings

import numpy as np
import pytest
import torch

import sparsefast
from sparsefast import dispatch
from sparsefast.prepared import PreparedDictionary

BACKENDS = sparsefast.backends("omp", device="cpu")
# Those of images have no dictionary, and those that change one keep no layout of it.
OTHERS = ("unfold", "fold", "ksvd_update", "dictionary_stats", "online_update")
OPS = tuple(op for op in dispatch.op_names() if op not in OTHERS)
RNG = np.random.default_rng(0)
X, D = RNG.standard_normal((20, 9)).astype("f"), RNG.standard_normal((17, 9)).astype("f")


@pytest.fixture(params=BACKENDS)
def backend(request):
    with sparsefast.use_backend(request.param):
        yield request.param


@pytest.fixture
def packed(monkeypatch):
    """The backends that packed a dictionary, in order."""
    return _counted(monkeypatch, ["omp"], lambda name, module, gram: name)


def _counted(monkeypatch, rows, note):
    calls = []
    for row in rows:
        for name in sparsefast.backends(row, device="cpu"):
            module = dispatch.resolve(row, "cpu", "float32", name).module

            def counted(dictionary, gram, n_threads, name=name, module=module, prepare=module.prepare):
                calls.append(note(name, module, gram))
                return prepare(dictionary, gram, n_threads)

            monkeypatch.setattr(module, "prepare", counted)
    return calls


def test_it_gives_the_answers_of_the_dictionary_and_is_packed_once(backend, packed):
    expected = sparsefast.omp(X, D, 4)
    packed.clear()
    prepared = sparsefast.prepare(D)
    assert isinstance(prepared, PreparedDictionary)
    assert packed == []
    for _ in range(3):
        assert sparsefast.omp(X, prepared, 4).equals(expected)
        assert sparsefast.omp(torch.from_numpy(X), prepared, 4).equals(expected)
    assert packed == [backend]


FORMS = {
    "gram": [
        lambda d: sparsefast.omp(X, d, 4),
        lambda d: sparsefast.omp(X, d, 4, selection="ols"),
        lambda d: sparsefast.omp(X, d, 4, positive=True),
        lambda d: sparsefast.iht(X, d, 4),
    ],
    "atoms": [
        lambda d: sparsefast.omp_masked(X, X > -1, d, 4),
        lambda d: sparsefast.topk(X, d, 4),
        lambda d: sparsefast.nearest_code(X, d),
    ],
}


@pytest.mark.parametrize("name", [name for name in BACKENDS if all(name in sparsefast.backends(op) for op in OPS)])
def test_ops_of_one_form_share_a_layout_and_only_those_that_need_it_have_a_gram(name, monkeypatch):
    made = _counted(monkeypatch, OPS, lambda name, module, gram: (module.FORM, gram is not None))
    prepared = sparsefast.prepare(D, D @ D.T)
    with sparsefast.use_backend(name):
        for form in ("atoms", "gram") * 2:
            for call in FORMS[form]:
                call(prepared)
    # The reference has one form, which needs no Gram matrix.
    assert made == ([("atoms", False)] if name == "reference" else [("atoms", False), ("gram", True)])


def test_each_backend_packs_its_own(packed):
    prepared = sparsefast.prepare(D)
    for name in BACKENDS * 2:
        sparsefast.omp(X, prepared, 4, backend=name)
    assert packed == BACKENDS
    assert (
        repr(prepared)
        == f"PreparedDictionary(17 atoms of 9 features, float32, packed for: {', '.join(sorted(BACKENDS))})"
    )


@pytest.mark.parametrize(
    "layout", [lambda d: d.copy(), lambda d: np.asfortranarray(d), lambda d: np.repeat(d, 2, axis=1)[:, ::2]]
)
def test_a_change_in_place_is_seen(backend, packed, layout):
    dictionary = layout(D)
    prepared = sparsefast.prepare(dictionary)
    sparsefast.omp(X, prepared, 4)
    for change in (
        lambda: dictionary.__setitem__((16, 8), 3),
        lambda: np.negative(dictionary[3:5], out=dictionary[3:5]),
    ):
        change()
        packed.clear()
        code = sparsefast.omp(X, prepared, 4)
        assert packed == [backend]
        assert code.equals(sparsefast.omp(X, dictionary.copy(), 4))
        np.testing.assert_array_equal(prepared.numpy(), dictionary)


def test_it_remembers_the_array_it_was_made_from_unless_it_is_not_watched():
    parameter = torch.nn.Parameter(torch.from_numpy(D.copy()))
    assert sparsefast.prepare(parameter).source is parameter
    assert sparsefast.prepare(D).source is D
    assert sparsefast.prepare(parameter, watch=False).source is None
    assert pickle.loads(pickle.dumps(sparsefast.prepare(parameter))).source is None


def test_every_way_in_which_a_tensor_changes_is_seen():
    parameter = torch.nn.Parameter(torch.from_numpy(D.copy()))
    other = torch.from_numpy(RNG.standard_normal(D.shape).astype("f"))
    with torch.no_grad():
        prepared = sparsefast.prepare(parameter)

        def check():
            expected = sparsefast.omp(X, parameter.detach().numpy().copy(), 4)
            assert sparsefast.omp(torch.from_numpy(X), prepared, 4).equals(expected)

        check()
        parameter.add_(other)
        check()
        parameter.data.mul_(-2)  # leaves the version counter as it was
        check()
        parameter.detach().numpy()[0] = 1
        check()
        parameter.data = other.clone()  # other memory
        check()
        parameter.mul_(3)
        check()
        parameter.data = other[:-1].clone()
        with pytest.raises(ValueError, match=r"prepared as \(17, 9\) float32 on cpu, and its array is now \(16, 9\)"):
            sparsefast.omp(torch.from_numpy(X), prepared, 4)


def test_assigning_to_the_shape_of_the_array_is_no_change():
    dictionary = D.copy()
    prepared = sparsefast.prepare(dictionary)
    expected = sparsefast.omp(X, prepared, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        dictionary.shape = (9, 17)
    assert sparsefast.omp(X, prepared, 4).equals(expected)


def test_nan_in_the_dictionary_is_no_change(packed):
    dictionary = D.copy()
    dictionary[2, 2] = np.nan
    prepared = sparsefast.prepare(dictionary)
    first = sparsefast.omp(X, prepared, 4)
    assert sparsefast.omp(X, prepared, 4).equals(first)
    assert len(packed) == 1


def test_without_watching_the_dictionary_of_then_is_used():
    dictionary = D.copy()
    prepared = sparsefast.prepare(dictionary, watch=False)
    dictionary[:] = 0
    assert sparsefast.omp(X, prepared, 4).equals(sparsefast.omp(X, D, 4))


def test_a_gram_is_watched_too_and_dropped_when_it_no_longer_belongs(backend):
    dictionary = D.copy()
    gram = dictionary @ dictionary.T
    prepared = sparsefast.prepare(dictionary, gram)
    sparsefast.omp(X, prepared, 4)
    dictionary *= -1.5
    gram[:] = dictionary @ dictionary.T
    np.testing.assert_allclose(
        sparsefast.omp(X, prepared, 4).decode(dictionary),
        sparsefast.omp(X, dictionary, 4).decode(dictionary),
        atol=1e-4,
    )
    dictionary[4:] = RNG.standard_normal((13, 9))
    assert sparsefast.omp(X, prepared, 4).equals(sparsefast.omp(X, dictionary, 4))


def test_the_array_that_is_handed_out_cannot_be_written_to():
    prepared = sparsefast.prepare(D)
    with pytest.raises(ValueError, match="read-only"):
        prepared.numpy()[0] = 0
    assert not np.shares_memory(prepared.numpy(), D)
    assert (prepared.shape, prepared.n_atoms, prepared.n_features, prepared.dtype, prepared.device) == (
        (17, 9),
        17,
        9,
        "float32",
        "cpu",
    )


def test_it_survives_pickle_and_copy_without_its_layouts(packed):
    prepared = sparsefast.prepare(D, D @ D.T)
    expected = sparsefast.omp(X, prepared, 4)
    assert len(pickle.dumps(prepared)) < D.nbytes + 17 * 17 * 4 + 1000
    for again in (pickle.loads(pickle.dumps(prepared)), copy.deepcopy(prepared)):
        assert again.shape == (17, 9)
        assert "none yet" in repr(again)
        assert sparsefast.omp(X, again, 4).equals(expected)


def test_threads_that_meet_pack_once(packed):
    prepared = sparsefast.prepare(D)
    start = threading.Barrier(8)

    def call():
        start.wait()
        sparsefast.omp(X, prepared, 4)

    workers = [threading.Thread(target=call) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(packed) == 1


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((D.tolist(),), TypeError, "prepare: dictionary is a list"),
        ((D[0],), ValueError, r"prepare: dictionary has shape \(9,\); it must be \(n_atoms, n_features\)"),
        ((D.astype(int),), TypeError, "prepare: dictionary has dtype int64; it must be float32, float64 or float16"),
        ((D, np.eye(17)), TypeError, "prepare: dictionary is float32 and gram float64"),
        ((D, torch.eye(17)), TypeError, "prepare: dictionary is a NumPy array and gram a PyTorch tensor"),
        (
            (torch.from_numpy(D).to("meta"),),
            sparsefast.BackendUnavailable,
            "no backend can run on float32 arrays on meta",
        ),
    ],
)
def test_an_error_names_the_argument_what_it_was_and_what_it_must_be(arguments, error, message):
    with pytest.raises(error, match=message):
        sparsefast.prepare(*arguments)


@pytest.mark.skipif("cpu" not in BACKENDS, reason="the native module is not built")
def test_each_instruction_set_packs_its_own(packed):
    from sparsefast import _native

    in_use = _native.module.isa()
    prepared = sparsefast.prepare(D)
    try:
        for isa in _native.module.isas() * 2:
            _native.module.set_isa(isa)
            expected = sparsefast.omp(X, D, 4, backend="cpu")
            assert sparsefast.omp(X, prepared, 4, backend="cpu").equals(expected)
    finally:
        _native.module.set_isa(in_use)
