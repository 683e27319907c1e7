"""The form of the arguments changes no bit of an answer: where arrays lie, of what kind they are, how signals are
batched, whether a dictionary is prepared. And what can be made of a code is what it says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from sparsefast import NearestCode, SparseCode, Status
from tests.properties.calls import TAKES_GRAM, Result, call, numpy_parts
from tests.properties.forms import batch_of, bits, formed, narrowed, with_gram
from tests.properties.strategies import COMPUTED_IN, Case, Recipe, make, recipes
from tests.properties.tiers import MOST_SIGNALS, each_op, for_all

pytestmark = pytest.mark.filterwarnings("ignore:.*not writable.*:UserWarning", "ignore:.*Sparse.*:UserWarning")


@each_op
def test_the_form_of_the_arguments_changes_no_answer(op: str, backend: str, n_examples: int) -> None:
    def holds(recipe: Recipe) -> None:
        case = make(recipe)
        if recipe.gram and op in TAKES_GRAM:
            case = with_gram(recipe, case)
        batch, rows = batch_of(recipe.batch, len(case.signals))
        case = case.with_rows(rows)
        plain = {} if case.gram is None else {"gram": case.gram}
        expected = call(op, case, backend, **plain)

        given, more = formed(op, recipe, case, batch)
        before = bits(given, more)
        result = call(op, given, backend, **more)
        assert bits(given, more) == before
        check_same(recipe, result, expected, batch)
        if isinstance(result, SparseCode):
            check_views(recipe, result, case)

    for_all(recipes(MOST_SIGNALS[backend], forms=True), n_examples, holds)


def check_same(recipe: Recipe, result: Result, expected: Result, batch: tuple[int, ...]) -> None:
    """The bits of the plain call, rounded once where there are 16; tensors, with int64 indices, where they went in."""
    floats = result.distances if isinstance(result, NearestCode) else result.values
    assert isinstance(floats, torch.Tensor) == recipe.in_torch
    assert str(floats.dtype).removeprefix("torch.") == recipe.dtype
    assert str(result.indices.dtype).removeprefix("torch.") == ("int64" if recipe.in_torch else "int32")
    for (name, a), b in zip(numpy_parts(result).items(), numpy_parts(expected).values(), strict=True):
        assert a.shape == (*batch, *b.shape[1:]), name
        if name in ("values", "distances"):
            b = narrowed(b, recipe.dtype)
        np.testing.assert_array_equal(a.reshape(b.shape), b, err_msg=name)
        if name != "indices":
            assert a.tobytes() == b.tobytes(), f"{name} differs in the sign of a zero"


def check_views(recipe: Recipe, code: SparseCode, case: Case) -> None:
    """to_dense, to_scipy and to_torch_sparse hold the entries and nothing else, and decode is their product with the
    dictionary."""
    parts = numpy_parts(code)
    values, indices = (parts[name].reshape(-1, code.n_nonzero) for name in ("values", "indices"))
    counts, status = parts["counts"].reshape(-1), parts["status"].reshape(-1)
    dense = np.zeros((len(counts), code.n_atoms), values.dtype)
    for n, k in enumerate(counts):
        dense[n, indices[n, :k]] = values[n, :k]
    dense[status == Status.NONFINITE, 0] = np.nan

    mine = code.to_dense()
    assert tuple(mine.shape) == (*code.shape, code.n_atoms)
    np.testing.assert_array_equal(_numpy(mine).reshape(dense.shape), dense)
    np.testing.assert_array_equal(code.to_scipy().toarray(), dense)
    sparse = code.to_torch_sparse()
    assert len(sparse.values()) == np.where(status == Status.NONFINITE, 1, counts).sum()
    np.testing.assert_array_equal(_numpy(sparse.to_dense()), dense)
    check_decode(recipe, code, case, dense)


def check_decode(recipe: Recipe, code: SparseCode, case: Case, dense: np.ndarray) -> None:
    """Each sum of n_nonzero products is off by eps of all their sizes at most, and rounded to 16 bits once."""
    usable = np.isfinite(case.dictionary).all(axis=1, keepdims=True)
    atoms = np.where(usable, case.dictionary, 0).astype(case.dictionary.dtype)
    (given, _) = formed(
        "topk", replace(recipe, prepared=False, layout="C"), replace(case, dictionary=atoms), code.shape
    )
    out = code.decode(given.dictionary)
    assert tuple(out.shape) == (*code.shape, atoms.shape[1])
    assert out.dtype == code.dtype
    decoded = _numpy(out).reshape(len(dense), atoms.shape[1]).astype(np.float64)
    assert np.isnan(decoded[np.isnan(dense[:, 0])]).all()

    wide, eps, least, most = np.finfo(COMPUTED_IN[recipe.dtype]), *_limits(recipe.dtype)
    finite = np.isfinite(dense).all(axis=1)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        expected = dense[finite].astype(np.float64) @ atoms.astype(np.float64)
        sizes = np.abs(dense[finite].astype(np.float64)) @ np.abs(atoms.astype(np.float64))
        bound = (code.n_nonzero + 1) * (float(wide.eps) * sizes + float(wide.smallest_subnormal))
        bound += eps * np.abs(expected) + least
        fits = sizes + bound < most
        assert (np.abs(decoded[finite] - expected) <= bound)[fits].all()


def _limits(dtype: str) -> tuple[float, float, float]:
    """eps, the smallest number and the largest."""
    limits = torch.finfo(getattr(torch, dtype))
    return limits.eps, limits.smallest_normal * limits.eps, limits.max


def _numpy(x: Any) -> np.ndarray:
    if not isinstance(x, torch.Tensor):
        return x
    return (x.float() if x.dtype == torch.bfloat16 else x).numpy()
