"""The public function: what it refuses, and what it says then."""

import numpy as np
import pytest
import torch

import sparsefast
from sparsefast import dispatch

N, F, K, S = 37, 15, 41, 5
RNG = np.random.default_rng(0)
X, D = RNG.standard_normal((N, F)).astype("f"), RNG.standard_normal((K, F)).astype("f")
TX, TD = torch.from_numpy(X), torch.from_numpy(D)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"signals": X.tolist()},
            TypeError,
            "signals is a list; it must be a NumPy array, a PyTorch tensor or a CuPy array",
        ),
        ({"dictionary": None}, TypeError, "dictionary is a NoneType"),
        (
            {"signals": np.ma.masked_array(X)},
            TypeError,
            "signals is a NumPy masked array, whose mask would be ignored",
        ),
        ({"signals": X.astype(np.float16)}, TypeError, "signals has dtype float16; it must be float32 or float64"),
        ({"signals": X.astype(int)}, TypeError, "signals has dtype int64; it must be float32 or float64"),
        ({"signals": X.astype(">f4")}, TypeError, "signals has dtype >f4; it must be float32 or float64"),
        ({"signals": TX.to(torch.bfloat16)}, TypeError, "signals has dtype bfloat16; it must be float32 or float64"),
        ({"signals": TX.to_sparse()}, TypeError, "signals has dtype torch.sparse_coo torch.float32"),
        ({"dictionary": D.astype(int)}, TypeError, "dictionary has dtype int64; it must be float32 or float64"),
        ({"dictionary": D.astype(np.float64)}, TypeError, "signals is float32 and dictionary float64"),
        (
            {"dictionary": TD},
            TypeError,
            "signals is a NumPy array and dictionary a PyTorch tensor; pass both as one kind",
        ),
        ({"signals": X[:, :-1]}, ValueError, "signals has shape (37, 14) and dictionary (41, 15)"),
        ({"signals": X[0, :1].reshape(())}, ValueError, "signals has shape () and dictionary (41, 15)"),
        ({"dictionary": D[0]}, ValueError, "dictionary has shape (15,); it must be (n_atoms, n_features)"),
        ({"dictionary": D[:0]}, ValueError, "dictionary has shape (0, 15); it must be (n_atoms, n_features)"),
        ({"n_nonzero": 0}, ValueError, "n_nonzero=0; it must be 1 to n_atoms=41"),
        ({"n_nonzero": 42}, ValueError, "n_nonzero=42; it must be 1 to n_atoms=41"),
        ({"n_nonzero": 2**70}, ValueError, "it must be 1 to n_atoms=41"),
        ({"n_nonzero": 5.0}, TypeError, "n_nonzero=5.0 is a float; it must be an integer"),
        ({"n_nonzero": True}, TypeError, "n_nonzero=True is a bool; it must be an integer"),
        ({"n_nonzero": np.True_}, TypeError, "is a numpy.bool; it must be an integer"),
        ({"n_nonzero": None}, TypeError, "n_nonzero=None is a NoneType; it must be an integer"),
        ({"tol": -1}, ValueError, "tol=-1.0; it must be at least 0"),
        ({"tol": float("nan")}, ValueError, "tol=nan; it must be at least 0"),
        ({"tol": True}, TypeError, "tol=True is a bool"),
        ({"tol": "small"}, TypeError, "tol is a str"),
        ({"tol": np.ones(3)}, ValueError, "tol has shape (3,); it must be a number or have the signals' shape (37,)"),
        ({"tol": np.ones(N, complex)}, TypeError, "tol has dtype complex128; it must be a real number"),
        ({"tol": torch.ones(N)}, TypeError, "signals is a NumPy array and tol a PyTorch tensor"),
        (
            {"gram": np.eye(3, dtype="f")},
            ValueError,
            "gram has shape (3, 3); it must be (n_atoms, n_atoms) = (41, 41)",
        ),
        ({"gram": np.eye(K)}, TypeError, "dictionary is float32 and gram float64"),
        ({"dictionary": sparsefast.prepare(D), "gram": D @ D.T}, ValueError, "gram belongs to the PreparedDictionary"),
        ({"dictionary": sparsefast.prepare(D.astype(float))}, TypeError, "signals is float32 and dictionary float64"),
        (
            {"dictionary": sparsefast.prepare(D[:, :-1])},
            ValueError,
            "signals has shape (37, 15) and dictionary (41, 14)",
        ),
        ({"backend": "gpu"}, ValueError, "backend='gpu' is not a backend; it must be one of auto, cuda, triton, cpu"),
        ({"backend": 3}, TypeError, "backend=3 is not a backend"),
        ({"backend": ["cpu"]}, TypeError, "backend=['cpu'] is not a backend"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_an_error_names_the_argument_what_it_was_and_what_it_must_be(arguments, error, message):
    with pytest.raises(error) as raised:
        sparsefast.omp(**{"signals": X, "dictionary": D, "n_nonzero": S, **arguments})
    assert message in str(raised.value)
    assert str(raised.value).startswith("omp: ")


def test_numpy_integers_count_as_integers():
    assert sparsefast.omp(X, D, np.int64(S)).equals(sparsefast.omp(X, D, S))
    assert sparsefast.omp(X, D, np.uint8(S)).equals(sparsefast.omp(X, D, S))


@pytest.mark.parametrize("which", ["signals", "dictionary", "gram", "tol"])
def test_a_gradient_that_would_be_lost_is_refused(which):
    given = {"signals": TX, "dictionary": TD, "gram": TD @ TD.T, "tol": torch.ones(N)}
    given[which] = given[which].clone().requires_grad_()
    with pytest.raises(NotImplementedError, match=rf"omp: {which} requires grad.*torch.no_grad.*{which}.detach\(\)"):
        sparsefast.omp(**given, n_nonzero=S)
    expected = sparsefast.omp(TX, TD, S, gram=TD @ TD.T, tol=torch.ones(N))
    with torch.no_grad():
        assert sparsefast.omp(**given, n_nonzero=S).equals(expected)
    with torch.inference_mode():
        assert sparsefast.omp(**given, n_nonzero=S).equals(expected)


def test_a_parameter_may_be_prepared_and_is_refused_where_gradients_are_on():
    parameter = torch.nn.Parameter(TD.clone())
    with pytest.raises(NotImplementedError, match="prepare: dictionary requires grad"):
        sparsefast.prepare(parameter)
    with torch.no_grad():
        prepared = sparsefast.prepare(parameter)
        assert sparsefast.omp(TX, prepared, S).equals(sparsefast.omp(TX, TD, S))
    with pytest.raises(NotImplementedError, match="omp: dictionary requires grad"):
        sparsefast.omp(TX, prepared, S)


def test_a_tensor_on_another_device_is_refused_with_a_line_for_each_backend():
    meta = TX.to("meta")
    with pytest.raises(sparsefast.BackendUnavailable) as raised:
        sparsefast.omp(meta, TD.to("meta"), S)
    lines = str(raised.value).splitlines()
    assert [line.split(":")[0].strip() for line in lines[1:]] == list(dispatch.backend_names())
    assert "runs on CPU arrays only" in str(raised.value)
    with pytest.raises(ValueError, match="signals is on meta and dictionary on cpu"):
        sparsefast.omp(meta, TD, S)


def test_check_finite_names_the_argument_and_the_row():
    x, d = X.copy(), D.copy()
    for name, row in (("signals", 5), ("dictionary", 7)):
        broken = {"signals": x.copy(), "dictionary": d.copy()}
        broken[name][row, 1] = np.inf
        with pytest.raises(ValueError, match=f"omp: {name} holds NaN or infinity, first in row {row}"):
            sparsefast.omp(**broken, n_nonzero=S, check_finite=True)
    gram = d @ d.T
    gram[4, 4] = np.nan
    with pytest.raises(ValueError, match="omp: gram holds NaN or infinity, first in row 4"):
        sparsefast.omp(x, d, S, gram=gram, check_finite=True)
    tol = np.ones(N)
    tol[9] = -1
    with pytest.raises(ValueError, match=r"omp: tol holds -1\.0 for signal 9"):
        sparsefast.omp(x, d, S, tol=tol, check_finite=True)
    sparsefast.omp(x, d, S, tol=np.ones(N), check_finite=True)
