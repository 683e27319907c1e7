"""SparseCoder keeps scikit-learn's conventions, and its outputs are those of the ops."""

import pickle

import numpy as np
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.utils.estimator_checks import estimator_checks_generator

import sparsefast
from sparsefast import SparseCoder
from tests.data import random_problem

# How many features the data of a check have, where that is not 3: the dictionary has to have as many.
FEATURES = {
    "check_array_api_input": 10,
    "check_dtype_object": 10,
    "check_estimators_dtypes": 5,
    "check_estimators_fit_returns_self": 2,
    "check_estimators_overwrite_params": 2,
    "check_fit2d_1feature": 1,
    "check_fit2d_1sample": 10,
    "check_fit_check_is_fitted": 2,
    "check_fit_idempotent": 2,
    "check_n_features_in": 2,
    "check_n_features_in_after_fitting": 4,
    "check_positive_only_tag_during_fit": 4,
    "check_readonly_memmap_input": 2,
    "check_transformers_unfitted_stateless": 5,
    "check_dataframe_column_names_consistency": 8,
    "check_set_output_transform": 5,
    "check_set_output_transform_pandas": 5,
    "check_global_output_transform_pandas": 5,
    "check_set_output_transform_polars": 5,
    "check_global_set_output_transform_polars": 5,
}


def dictionary(n_features: int = 3, n_atoms: int = 7) -> np.ndarray:
    return random_problem(1, n_features, n_atoms).dictionary


def checks():
    estimators = [SparseCoder(dictionary()), SparseCoder(dictionary(), algorithm="topk", n_nonzero=3, split_sign=True)]
    for estimator in estimators:
        for instance, check in estimator_checks_generator(estimator):
            name = check.func.__name__
            instance = clone(instance).set_params(dictionary=dictionary(FEATURES.get(name, 3)))
            yield pytest.param(check, instance, id=f"{name.removeprefix('check_')}-{estimator.algorithm}")


@pytest.mark.parametrize(("check", "estimator"), list(checks()))
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_scikit_learns_estimator_checks_pass(check, estimator):
    check(estimator)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("split_sign", [False, True])
@pytest.mark.parametrize(
    "parameters",
    [
        dict(),
        dict(positive=True),
        dict(algorithm="ols"),
        dict(algorithm="topk"),
        dict(algorithm="topk", positive=True),
        dict(algorithm="iht", n_iterations=7),
        dict(algorithm="iht", tol=2.0),
    ],
    ids=str,
)
def test_every_output_is_that_of_the_op(parameters, split_sign, dtype):
    p = random_problem(33, 49, 120).astype(dtype)
    coder = SparseCoder(p.dictionary, n_nonzero=5, split_sign=split_sign, **parameters)
    dense = coder.transform(p.signals)
    matrix = coder.set_params(output="csr").transform(p.signals)
    code = coder.set_params(output="code").transform(p.signals)

    keywords = dict(parameters)
    algorithm = keywords.pop("algorithm", "omp")
    if algorithm == "ols":
        keywords["selection"] = "ols"
    op = {"topk": "topk", "iht": "iht"}.get(algorithm, "omp")
    expected = getattr(sparsefast, op)(p.signals, p.dictionary, 5, **keywords)

    assert dense.dtype == matrix.dtype == code.dtype == dtype
    assert isinstance(matrix, scipy.sparse.csr_array) and matrix.has_sorted_indices
    np.testing.assert_array_equal(matrix.toarray(), dense)
    np.testing.assert_array_equal(code.to_dense(), dense)
    if split_sign:
        assert (dense >= 0).all()
        dense = dense[:, :120] - dense[:, 120:]
    np.testing.assert_array_equal(dense, expected.to_dense())

    decoded = expected.decode(p.dictionary)
    for output in (code, code.torch(), matrix, code.to_dense()):
        back = coder.inverse_transform(output)
        assert back.dtype == dtype
        # At most ten products in a sum, in any order.
        limit = 10 * np.finfo(dtype).eps * (np.abs(dense) @ np.abs(p.dictionary))
        assert (np.abs(back - decoded) <= limit).all()


def test_input_is_taken_as_scikit_learn_takes_it():
    import torch

    p = random_problem(5, 6, 9)
    coder = SparseCoder(p.dictionary, n_nonzero=2)
    expected = coder.transform(p.signals)
    for same in (p.signals.tolist(), np.asfortranarray(p.signals), torch.from_numpy(p.signals)):
        out = coder.transform(same)
        assert type(out) is np.ndarray
        np.testing.assert_array_equal(out, expected)
    integers = np.arange(30).reshape(5, 6)
    assert coder.transform(integers).dtype == np.float64
    np.testing.assert_array_equal(coder.transform(integers), coder.transform(integers.astype(np.float64)))
    for of in (p.dictionary.tolist(), torch.from_numpy(p.dictionary), sparsefast.prepare(p.dictionary)):
        np.testing.assert_array_equal(SparseCoder(of, n_nonzero=2).transform(p.signals), expected)
    narrow = p.signals.astype(np.float32)
    for of in (p.dictionary, sparsefast.prepare(p.dictionary), p.dictionary.astype(np.float32)):
        out = SparseCoder(of, n_nonzero=2).transform(narrow)
        assert out.dtype == np.float32
        np.testing.assert_array_equal(
            out, sparsefast.omp(narrow, p.dictionary.astype(np.float32), 2).to_dense()
        )  # fmt: skip


@pytest.mark.parametrize("method", ["fit", "transform"])
@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        ([[1.0, np.nan, 0.0]], ValueError, "Input X contains NaN"),
        ([[1.0, np.inf, 0.0]], ValueError, "Input X contains infinity"),
        (scipy.sparse.eye_array(3, format="csr"), TypeError, "Sparse data was passed for X"),
        ([1.0, 2.0, 3.0], ValueError, "Expected 2D array, got 1D array"),
        (np.ones((2, 4)), ValueError, "X has 4 features, and the atoms of the dictionary 3"),
        (np.ones((0, 3)), ValueError, "0 sample"),
        (np.ones((2, 3), complex), ValueError, "Complex data not supported"),
    ],
)
def test_bad_input_is_refused(method, x, error, message):
    with pytest.raises(error, match=message):
        getattr(SparseCoder(dictionary()), method)(x)


@pytest.mark.parametrize("method", ["fit", "transform"])
@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        (dict(algorithm="lasso"), ValueError, "algorithm='lasso'; it must be one of omp, ols, topk, iht"),
        (dict(output="sparse"), ValueError, "output='sparse'; it must be one of dense, csr, code"),
        (dict(n_nonzero=0), ValueError, "n_nonzero=0; it must be at least 1"),
        (dict(n_nonzero=8), ValueError, "n_nonzero=8; it must be 1 to n_components=7"),
        (dict(n_nonzero=2.0), TypeError, "n_nonzero=2.0 is a float"),
        (dict(n_iterations=0, algorithm="iht"), ValueError, "n_iterations=0; it must be at least 1"),
        (dict(tol=-1.0), ValueError, "tol=-1.0; it must be at least 0"),
        (dict(tol=float("nan")), ValueError, "tol=nan; it must be at least 0"),
        (dict(tol="small"), TypeError, "tol='small'; it must be a number or None"),
        (dict(tol=1.0, algorithm="topk"), ValueError, 'tol=1.0 with algorithm="topk"'),
        (dict(positive=1), TypeError, "positive=1; it must be True or False"),
        (dict(positive=True, algorithm="ols"), ValueError, "positive=True with algorithm='ols'"),
        (dict(dictionary=np.full((7, 3), np.nan)), ValueError, "Input dictionary contains NaN"),
        (dict(dictionary=np.ones(3)), ValueError, "Expected 2D array, got 1D array"),
    ],
    ids=str,
)
def test_bad_parameters_are_refused_by_fit_and_transform_and_not_before(method, parameters, error, message):
    coder = SparseCoder(**({"dictionary": dictionary()} | parameters))
    with pytest.raises(error, match=message):
        getattr(coder, method)(np.ones((2, 3)))


def test_inverse_transform_refuses_other_codes():
    coder = SparseCoder(dictionary(), n_nonzero=2, split_sign=True, output="code")
    code = coder.transform(np.ones((2, 3)))
    coder.inverse_transform(code)
    with pytest.raises(ValueError, match="X has 7 columns; the codes of this dictionary have 14"):
        coder.inverse_transform(np.ones((2, 7)))
    with pytest.raises(ValueError, match="X has 14 columns; the codes of this dictionary have 7"):
        coder.set_params(split_sign=False).inverse_transform(code)
    with pytest.raises(ValueError, match="Input X contains NaN"):
        coder.inverse_transform(np.full((2, 7), np.nan))
    unusable = sparsefast.omp(np.full((1, 3), np.nan), dictionary(), 2)
    with pytest.raises(ValueError, match="Input X contains NaN"):
        coder.inverse_transform(unusable)


def test_parameters_are_stored_as_given_and_survive_copies():
    d = dictionary()
    coder = SparseCoder(d, n_nonzero=2, tol=0.5, output="csr")
    assert coder.get_params()["dictionary"] is d
    x = np.random.default_rng(0).standard_normal((4, 3))
    expected = coder.transform(x).toarray()
    for copy in (clone(coder), pickle.loads(pickle.dumps(coder.fit(x))), clone(SparseCoder(sparsefast.prepare(d)))):
        copy.set_params(n_nonzero=2, tol=0.5, output="csr")
        np.testing.assert_array_equal(copy.transform(x).toarray(), expected)
    d[:] = d[::-1].copy()
    assert (coder.transform(x).toarray() != expected).any()


def test_columns_have_names():
    x = np.ones((2, 3))
    coder = SparseCoder(dictionary(n_atoms=2))
    assert coder.get_feature_names_out().tolist() == ["sparsecoder0", "sparsecoder1"]
    coder.set_params(split_sign=True)
    assert len(coder.get_feature_names_out()) == coder.transform(x).shape[1] == 4
    assert (coder.fit(x).n_features_in_, coder.n_components_) == (3, 2)


def test_only_dense_output_goes_into_a_data_frame():
    pandas = pytest.importorskip("pandas")
    x = pandas.DataFrame(np.ones((2, 3)), columns=["a", "b", "c"], index=["r", "s"])
    coder = SparseCoder(dictionary()).set_output(transform="pandas")
    frame = coder.fit(x).transform(x)
    assert list(frame.columns) == list(coder.get_feature_names_out()) and list(frame.index) == ["r", "s"]
    with pytest.raises(ValueError, match="sparse matrix"):
        coder.set_params(output="csr").transform(x)
    with pytest.raises(ValueError, match='output="code" cannot be put into a container of pandas'):
        coder.set_params(output="code").transform(x)
