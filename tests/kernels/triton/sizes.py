"""Sizes at which the Triton kernels choose another way, and what their launchers promise.

Run by test_interpreter.py, with TRITON_INTERPRET=1.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from sparsefast.kernels.status import Status
from sparsefast.kernels.triton import nearest_code, omp, pursuit_tile, topk
from tests.data import coherent_problem, hidden, non_unit_problem, random_problem
from tests.kernels.replay import check_choices, check_least_squares, clear
from tests.kernels.triton.backend import TritonKernel, limits

paths = pytest.mark.parametrize("path", ["tile", "blocks"])
coders = pytest.mark.parametrize("name", ["omp", "ols", "masked", "topk"])
both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])


@pytest.fixture(autouse=True)
def sizes_of_the_path(request: pytest.FixtureRequest) -> Iterator[None]:
    with limits(request.node.callspec.params.get("path", "tile") if hasattr(request.node, "callspec") else "tile"):
        yield


def kernel(name: str, path: str = "tile") -> TritonKernel:
    return TritonKernel("triton", name=name, path=path)


@pytest.mark.parametrize(
    ("name", "n_features", "n_atoms", "n_nonzero", "dtype"),
    [
        ("omp", 1, 1, 1, np.float32),
        ("omp", 3, 16, 4, np.float32),
        ("omp", 8, 100, 5, np.float64),
        ("omp", 64, 100, 6, np.float32),
        ("omp", 100, 33, 3, np.float32),
        ("omp", 13, 512, 3, np.float32),
        ("omp", 5, 1030, 3, np.float32),  # more than have a Gram matrix
        ("ols", 3, 16, 4, np.float64),
        ("ols", 6, 600, 4, np.float32),
        ("ols", 5, 1030, 3, np.float64),
    ],
)
def test_every_choice_is_the_best_whatever_the_size(
    name: str, n_features: int, n_atoms: int, n_nonzero: int, dtype: type
) -> None:
    p = random_problem(5, n_features, n_atoms, 8).astype(dtype)
    code = kernel(name).code(p.signals, p.dictionary, n_nonzero)
    check_choices(p.signals, p.dictionary, code, n_nonzero, float(np.finfo(dtype).eps), name)
    check_least_squares(p.signals, p.dictionary, code, float(np.finfo(dtype).eps))


@pytest.mark.parametrize("name", ["omp", "ols"])
def test_many_atoms_are_selected_out_of_registers(name: str) -> None:
    p = random_problem(5, 18, 20, 8)
    layout = kernel(name).prepare(p.dictionary)
    assert [pursuit_tile.fits(layout, limit) for limit in (18, 32, 33)] == [True, True, False]
    with limits("blocks"):
        code = kernel(name, "blocks").code(p.signals, p.dictionary, 18, layout=layout)
    check_choices(p.signals, p.dictionary, code, 18, 2.0**-52, name)
    check_least_squares(p.signals, p.dictionary, code, 2.0**-52)


@pytest.mark.parametrize(
    ("path", "dtype"), [("tile", np.float32), ("tile", np.float64), ("blocks", np.float32)], ids=str
)
@pytest.mark.parametrize("name", ["omp", "ols"])
def test_supports_are_the_references_on_every_kind_of_problem(name: str, path: str, dtype: type) -> None:
    eps = float(np.finfo(dtype).eps)
    for problem in (coherent_problem(6, 13, 40), non_unit_problem(6, 9, 37)):
        p = problem.astype(dtype)
        code = kernel(name, path).code(p.signals, p.dictionary, 3)
        reference = kernel(name).reference().code(p.signals, p.dictionary, 3)
        check_choices(p.signals, p.dictionary, code, 3, eps, name)
        check_least_squares(p.signals, p.dictionary, code, eps)
        sure = clear(p.signals, p.dictionary, reference, eps, name)
        np.testing.assert_array_equal(code.indices[sure], reference.indices[sure])
        np.testing.assert_array_equal(code.status[sure], reference.status[sure])


def test_masked_codes_are_the_references_and_hidden_features_unused() -> None:
    p = random_problem(10, 9, 35)
    mask = hidden(p.signals, 0.3)
    mask[3], mask[4], mask[5] = False, np.arange(9) < 3, True
    signals = np.where(mask, p.signals, np.nan)
    signals[6, mask[6].argmax()] = np.inf
    ends = set()
    for path in ("tile", "blocks"):
        with limits(path):
            for tol in (None, 1.5, np.linspace(0, 3, 20)[::2]):
                code = kernel("masked", path).code(signals, p.dictionary, 5, tol, mask=mask)
                reference = kernel("masked").reference().code(signals, p.dictionary, 5, tol, mask=mask)
                np.testing.assert_array_equal(code.indices, reference.indices)
                np.testing.assert_array_equal(code.status, reference.status)
                np.testing.assert_allclose(code.values, reference.values, atol=1e-12)
                ends |= set(code.status)
    assert {Status.COMPLETE, Status.TOLERANCE, Status.EXHAUSTED, Status.NONFINITE} <= ends


@paths
@coders
def test_a_signals_code_is_its_own(name: str, path: str) -> None:
    p = random_problem(19, 6, 35).astype(np.float32)
    mask = hidden(p.signals, 0.2)
    # Among them such as need more than the others do.
    p.signals[1], p.signals[4, 2], p.signals[5] = 0, np.nan, p.dictionary[3] * 2
    p.signals[6:9] *= np.array([[1e30], [1e-30], [1e-42]], np.float32)
    coder = kernel(name, path)
    tol = None
    if name != "topk":
        tol = 0.9 * np.linalg.norm(p.signals, axis=1).astype(np.float64)
        tol[9:14] = np.nan, -1, 0, 1e-300, np.inf
    layout = coder.prepare(p.dictionary)
    whole = coder.code(p.signals, p.dictionary, 4, tol, mask=mask, layout=layout)
    reference = coder.reference().code(p.signals, p.dictionary, 4, tol, mask=mask)
    np.testing.assert_array_equal(whole.status, reference.status)
    np.testing.assert_array_equal(whole.indices, reference.indices)
    for rows in (np.arange(18, -1, -1), np.array([12, 8])):
        some = None if tol is None else tol[rows]
        part = coder.code(p.signals[rows], p.dictionary, 4, some, mask=mask[rows], layout=layout)
        assert part.same_bits(whole, rows)
    never = coder.code(p.signals[:9], p.dictionary, 2, np.nan, mask=mask[:9], layout=layout)
    assert never.same_bits(coder.code(p.signals[:9], p.dictionary, 2, mask=mask[:9], layout=layout))


@pytest.mark.parametrize("name", ["omp", "ols"])
def test_a_program_that_goes_on_to_further_tiles(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it kept of one tile must not reach into the next, nor into what another program keeps."""
    p = random_problem(11, 6, 20).astype(np.float32)
    p.signals[3], p.signals[6, 1] = 0, np.inf
    coder = kernel(name)
    whole = coder.code(p.signals, p.dictionary, 3, 0.5)
    monkeypatch.setattr(pursuit_tile, "CORRELATIONS", 64)  # two signals a tile, of six; programs are two
    assert coder.code(p.signals, p.dictionary, 3, 0.5).same_bits(whole)


@coders
def test_any_strides_and_both_index_widths(name: str) -> None:
    p = random_problem(6, 5, 18).astype(np.float32)
    mask = hidden(p.signals, 0.2)
    coder = kernel(name)
    code = coder.code(p.signals, p.dictionary, 3, 0.5, mask=mask)
    apart = np.full((12, 15), np.nan, np.float32)
    apart[::2, ::3] = p.signals
    wide = np.zeros((12, 15), bool)
    wide[::2, ::3] = mask
    for signals, seen in ((np.asfortranarray(p.signals), np.asfortranarray(mask)), (apart[::2, ::3], wide[::2, ::3])):
        assert code.same_bits(coder.code(signals, np.asfortranarray(p.dictionary), 3, 0.5, mask=seen))
    longer = coder.code(p.signals, p.dictionary, 3, 0.5, mask=mask, index_dtype=np.int64)
    np.testing.assert_array_equal(longer.indices, code.indices)
    assert longer.values.tobytes() == code.values.tobytes()
    same = coder.code(
        np.broadcast_to(p.signals[:1], (4, 5)), p.dictionary, 3, 0.5, mask=np.broadcast_to(mask[:1], (4, 5))
    )
    assert (same.values == code.values[0]).all()
    assert coder.code(p.signals[:0], p.dictionary, 3, mask=mask[:0]).values.shape == (0, 3)


def test_outputs_of_any_strides() -> None:
    p = random_problem(5, 6, 20)
    signals, layout = torch.from_numpy(p.signals), omp.prepare(torch.from_numpy(p.dictionary), None, 1)
    plain = kernel("omp").code(p.signals, p.dictionary, 3)
    values, indices = torch.full((3, 10), -7.0, dtype=torch.float64).T[::2], torch.full((3, 10), -7).T[::2]
    counts, status = torch.zeros(5, dtype=torch.int32), torch.zeros(5, dtype=torch.uint8)
    omp.omp(signals, layout, 3, torch.tensor(-1.0), values, indices, counts, status, 1)
    np.testing.assert_array_equal(values.numpy(), plain.values)
    np.testing.assert_array_equal(indices.numpy(), plain.indices)
    values.T[:] = 5
    layout = topk.prepare(torch.from_numpy(p.dictionary), None, 1)
    topk.topk(signals, layout, 3, True, values, indices, counts, status, 1)
    positive = kernel("topk").code(p.signals, p.dictionary, 3, positive=True)
    np.testing.assert_array_equal(values.numpy(), positive.values)


@pytest.mark.parametrize(
    ("scale", "dtype"),
    [(2.0**100, np.float32), (2.0**-140, np.float32), (2.0**700, np.float64), (2.0**-1060, np.float64)],
    ids=["huge float32", "subnormal float32", "huge float64", "subnormal float64"],
)
@pytest.mark.parametrize("name", ["omp", "topk"])
def test_dictionaries_at_the_ends_of_their_range(name: str, scale: float, dtype: type) -> None:
    factor = dtype(scale)
    p = random_problem(6, 9, 20).astype(dtype)
    scaled = np.rint(p.dictionary * 64).astype(dtype)  # with digits to lose
    code = kernel(name).code(p.signals, scaled, 3)
    other = kernel(name).code(p.signals, scaled * factor, 3)
    np.testing.assert_array_equal(other.indices, code.indices)
    with np.errstate(over="ignore"):
        expected = code.values * factor if name == "topk" else code.values / factor
    np.testing.assert_array_equal(other.values, expected)


@paths
@pytest.mark.parametrize("positive", [False, True], ids=["magnitude", "positive"])
def test_topk_sorts_as_the_reference_ties_and_all(path: str, positive: bool) -> None:
    # Small integers: every sum is exact, and many correlations are equal or zero.
    rng = np.random.default_rng(0)
    signals = rng.integers(-2, 3, (7, 5)).astype(np.float32)
    dictionary = rng.integers(-1, 2, (39, 5)).astype(np.float32)
    dictionary[[3, 38]], signals[2, 2] = np.nan, np.inf
    for n_nonzero in (6, 39) if path == "tile" else (1, 9):
        code = kernel("topk", path).code(signals, dictionary, n_nonzero, positive=positive)
        assert code.same_bits(kernel("topk").reference().code(signals, dictionary, n_nonzero, positive=positive))


@paths
@both_dtypes
def test_nearest_code_is_the_references(path: str, dtype: type) -> None:
    rng = np.random.default_rng(0)
    signals, codebook = rng.integers(-2, 3, (9, 4)).astype(dtype), rng.integers(-1, 2, (70, 4)).astype(dtype)
    codebook[[0, 64], 1], signals[2, 2] = np.nan, np.inf
    for factor in (1, 2.0**-140 if dtype == np.float32 else 2.0**-1060):
        x, atoms = signals * dtype(factor), codebook * dtype(factor)
        out = kernel("nearest_code", path).nearest(x, atoms)
        expected = kernel("nearest_code").reference().nearest(x, atoms)
        np.testing.assert_array_equal(out.indices, expected.indices)
        np.testing.assert_allclose(out.distances, expected.distances, rtol=2 * np.finfo(dtype).eps)
        some = kernel("nearest_code", path).nearest(x[[5, 2]], atoms, index_dtype=np.int64)
        np.testing.assert_array_equal(some.indices, out.indices[[5, 2]])
        np.testing.assert_array_equal(some.distances, out.distances[[5, 2]])
    none = kernel("nearest_code", path).nearest(signals, np.full((3, 4), np.inf, dtype))
    assert np.isnan(none.distances).all()


@both_dtypes
def test_near_codes_are_told_apart_beside_a_far_one(dtype: type) -> None:
    # At the scale of the far atom, all squares of the others vanish.
    far = dtype(2.0**90 if dtype == np.float32 else 2.0**700)
    codebook = np.array([[far, 0], [3, 0], [0, 1], [1, 2]], dtype)
    signals = np.array([[2.5, 0.5], [0.5, 1.9], [0.1, 0.9], [3, 0], [far, 1]], dtype)
    out = kernel("nearest_code").nearest(signals, codebook)
    assert out.indices.tolist() == [1, 3, 2, 1, 0]
    expected = np.linalg.norm(signals.astype(np.float64) - codebook[out.indices].astype(np.float64), axis=1)
    np.testing.assert_allclose(out.distances, expected, rtol=4 * np.finfo(dtype).eps)


def test_modules_of_one_form_read_each_others_layouts() -> None:
    assert nearest_code.FORM == topk.FORM
    p = random_problem(5, 6, 20)
    nearest = kernel("nearest_code").nearest(p.signals, p.dictionary)
    layout = kernel("topk").prepare(p.dictionary)
    assert nearest.same_bits(kernel("nearest_code").nearest(p.signals, p.dictionary, layout=layout))
