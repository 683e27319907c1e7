"""What all public ops refuse alike, and what they say then. The arguments of one op alone are in its own file."""

import numpy as np
import pytest
import torch

import sparsefast
from sparsefast import dispatch
from tests.ops.helper import NAMED, OPS, K, N, assert_same, in_torch, problem

X, D = problem("float32")
TX, TD = in_torch(X, D)


def test_the_rows_that_are_tested_are_those_of_the_grid():
    of_images, of_dictionaries = ("unfold", "fold"), ("ksvd_update", "dictionary_stats", "online_update")
    assert (*NAMED, *of_images, *of_dictionaries) == dispatch.op_names()  # the others have tests of their own


def refusals(name):
    return [
        (X.tolist(), D, TypeError, "signals is a list; it must be a NumPy array, a PyTorch tensor or a CuPy array"),
        (X, None, TypeError, f"{name} is a NoneType"),
        (np.ma.masked_array(X), D, TypeError, "signals is a NumPy masked array, whose mask would be ignored"),
        (X.astype(int), D, TypeError, "signals has dtype int64; it must be float32, float64 or float16"),
        (X.astype(">f4"), D, TypeError, "signals has dtype >f4; it must be float32, float64 or float16"),
        (X.astype(">f2"), D, TypeError, "signals has dtype >f2; it must be float32, float64 or float16"),
        (TX.int(), TD, TypeError, "signals has dtype int32; it must be float32, float64, float16 or bfloat16"),
        (TX.to_sparse(), TD, TypeError, "signals has dtype torch.sparse_coo torch.float32"),
        (X, D.astype(int), TypeError, f"{name} has dtype int64; it must be float32, float64 or float16"),
        (X, D.astype(float), TypeError, f"signals is float32 and {name} float64; convert one of them"),
        (X.astype("e"), D, TypeError, f"signals is float16 and {name} float32; convert one of them"),
        (TX.bfloat16(), TD.half(), TypeError, f"signals is bfloat16 and {name} float16; convert one of them"),
        (X, TD, TypeError, f"signals is a NumPy array and {name} a PyTorch tensor; pass both as one kind"),
        (X[:, :-1], D, ValueError, f"signals has shape (37, 14) and {name} (41, 15); signals must be (..., n_signals,"),
        (X[0, :1].reshape(()), D, ValueError, f"signals has shape () and {name} (41, 15)"),
        (X, D[0], ValueError, f"{name} has shape (15,); it must be (n_atoms, n_features), with at least one of each"),
        (X, D[:0], ValueError, f"{name} has shape (0, 15); it must be (n_atoms, n_features)"),
        (X, sparsefast.prepare(D.astype(float)), TypeError, f"signals is float32 and {name} float64"),
        (X, sparsefast.prepare(D.astype("e")), TypeError, f"signals is float32 and {name} float16"),
        (X, sparsefast.prepare(D[:, :-1]), ValueError, f"signals has shape (37, 15) and {name} (41, 14)"),
    ]


@pytest.mark.parametrize("op", OPS, ids=str)
def test_an_error_names_the_argument_what_it_was_and_what_it_must_be(op):
    for signals, dictionary, error, message in refusals("codebook" if op.row == "nearest_code" else "dictionary"):
        with pytest.raises(error) as raised:
            op.call(signals, dictionary)
        assert str(raised.value).startswith(f"{op.public}: {message}"), str(raised.value)


@pytest.mark.parametrize("op", OPS, ids=str)
def test_a_backend_that_is_none_is_refused(op):
    with pytest.raises(ValueError, match="backend='gpu' is not a backend; it must be one of auto, cuda, triton, cpu"):
        op.call(X, D, backend="gpu")
    for backend in (3, ["cpu"]):
        with pytest.raises(TypeError, match=r"backend=.* is not a backend"):
            op.call(X, D, backend=backend)
    with pytest.raises(sparsefast.BackendUnavailable) as raised:
        op.call(X.astype("e"), D.astype("e"), backend="triton")
    assert str(raised.value).startswith(f"{op.row}: backend 'triton' cannot run on float16 arrays on CPU:\n")
    with pytest.raises(sparsefast.BackendUnavailable, match="no backend can run on bfloat16 arrays on meta"):
        op.call(TX.bfloat16().to("meta"), TD.bfloat16().to("meta"))


CODERS = {
    "omp": sparsefast.omp,
    "topk": sparsefast.topk,
    "iht": sparsefast.iht,
    "omp_masked": lambda x, d, n_nonzero: sparsefast.omp_masked(x, x > 0, d, n_nonzero),
}


@pytest.mark.parametrize("name", CODERS)
@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (0, ValueError, "n_nonzero=0; it must be 1 to n_atoms=41"),
        (K + 1, ValueError, "n_nonzero=42; it must be 1 to n_atoms=41"),
        (2**70, ValueError, "it must be 1 to n_atoms=41"),
        (5.0, TypeError, "n_nonzero=5.0 is a float; it must be an integer"),
        (True, TypeError, "n_nonzero=True is a bool; it must be an integer"),
        (np.True_, TypeError, "is a numpy.bool; it must be an integer"),
        (None, TypeError, "n_nonzero=None is a NoneType; it must be an integer"),
    ],
    ids=str,
)
def test_n_nonzero_is_an_integer_from_1_to_n_atoms(name, value, error, message):
    coder = CODERS[name]
    with pytest.raises(error) as raised:
        coder(X, D, value)
    assert str(raised.value).startswith(f"{name}: n_nonzero=") and message in str(raised.value)
    assert_same(coder(X, D, np.uint8(3)), coder(X, D, 3))


@pytest.mark.parametrize("op", [op for op in OPS if op.takes_tol], ids=str)
@pytest.mark.parametrize(
    ("tol", "error", "message"),
    [
        (-1, ValueError, "tol=-1.0; it must be at least 0 (the norm of the residual, not its square)"),
        (float("nan"), ValueError, "tol=nan; it must be at least 0"),
        (True, TypeError, "tol=True is a bool"),
        ("small", TypeError, "tol is a str"),
        (np.ones(3), ValueError, "tol has shape (3,); it must be a number or have the signals' shape (37,)"),
        (np.ones(N, complex), TypeError, "tol has dtype complex128; it must be a real number"),
        (torch.ones(N), TypeError, "signals is a NumPy array and tol a PyTorch tensor"),
    ],
    ids=lambda value: "",
)
def test_tol_is_a_norm_or_one_for_each_signal(op, tol, error, message):
    with pytest.raises(error) as raised:
        op.call(X, D, tol=tol)
    assert str(raised.value).startswith(f"{op.public}: {message}")
    with pytest.raises(ValueError, match=f"{op.public}: tol holds -1.0 for signal 2; it must be at least 0"):
        op.call(X, D, tol=np.where(np.arange(N) == 2, -1, 1.0), check_finite=True)


@pytest.mark.parametrize("op", [NAMED[row] for row in ("omp", "ols", "positive", "iht")], ids=str)
def test_a_gram_belongs_to_its_dictionary(op):
    for dictionary, gram, error, message in (
        (D, np.eye(3, dtype="f"), ValueError, "gram has shape (3, 3); it must be (n_atoms, n_atoms) = (41, 41)"),
        (D, np.eye(K), TypeError, "dictionary is float32 and gram float64"),
        (sparsefast.prepare(D), D @ D.T, ValueError, "gram belongs to the PreparedDictionary"),
    ):
        with pytest.raises(error) as raised:
            op.call(X, dictionary, gram=gram)
        assert str(raised.value).startswith(f"{op.public}: {message}")
    with pytest.raises(ValueError, match=f"{op.public}: gram holds NaN or infinity, first in row 0"):
        op.call(X, D, gram=np.full((K, K), np.nan, "f"), check_finite=True)


@pytest.mark.parametrize("op", [op for op in OPS if op.row not in ("topk", "nearest_code")], ids=str)
def test_a_gradient_is_implicit_or_none(op):
    for signals, dictionary in ((X, D), (TX, TD), (TX.clone().requires_grad_(), TD)):
        with pytest.raises(ValueError, match=f"{op.public}: gradient='exact'; it must be 'implicit' or 'none'"):
            op.call(signals, dictionary, gradient="exact")


@pytest.mark.parametrize("op", OPS, ids=str)
def test_a_tensor_on_another_device_is_refused_with_a_line_for_each_backend(op):
    with pytest.raises(sparsefast.BackendUnavailable) as raised:
        op.call(TX.to("meta"), TD.to("meta"))
    lines = str(raised.value).splitlines()
    assert [line.split(":")[0].strip() for line in lines[1:]] == list(dispatch.backend_names())
    assert "runs on CPU arrays only" in str(raised.value)
    with pytest.raises(ValueError, match=rf"{op.public}: signals is on meta and (dictionary|codebook) on cpu"):
        op.call(TX.to("meta"), TD)
