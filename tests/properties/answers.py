"""What is asked of every answer, whatever the op computes: its form, rows apart, and exact scaling."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sparsefast import NearestCode, SparseCode, Status
from tests.kernels.helper import check_padding
from tests.properties.calls import Result, as_code, assert_same_bits, call
from tests.properties.strategies import Case


def check_form(op: str, case: Case, result: Result) -> None:
    """Shapes, dtypes, padding and ranges; rows of NaN where the signal is not finite, and nowhere else."""
    n_signals, n_atoms = len(case.signals), len(case.dictionary)
    finite = np.isfinite(case.seen(op)).all(axis=1)
    assert result.indices.dtype == np.int32
    if op == "nearest_code":
        assert isinstance(result, NearestCode)
        assert result.indices.shape == result.distances.shape == (n_signals,)
        assert result.distances.dtype == case.signals.dtype
        assert ((result.indices >= 0) & (result.indices < n_atoms)).all()
        usable = np.isfinite(case.dictionary).all(axis=1)
        np.testing.assert_array_equal(np.isnan(result.distances), ~(finite & usable.any()))
        assert (result.indices[np.isnan(result.distances)] == 0).all()
        assert not (result.distances < 0).any()
        assert usable[result.indices][~np.isnan(result.distances)].all()
        return
    assert isinstance(result, SparseCode)
    assert (result.shape, result.n_atoms, result.n_nonzero) == ((n_signals,), n_atoms, case.n_nonzero)
    assert result.values.dtype == case.signals.dtype
    assert (result.counts.dtype, result.status.dtype) == (np.int32, np.uint8)
    code = as_code(result)
    check_padding(code, n_atoms)
    np.testing.assert_array_equal(code.status == Status.NONFINITE, ~finite)
    assert not np.isnan(code.values[finite]).any()
    selected = np.concatenate([*code.supports(), np.empty(0, int)]).astype(int)
    assert np.isfinite(case.dictionary[selected]).all()
    assert (np.abs(case.dictionary[selected]).max(axis=1, initial=0) > 0).all(), "an atom that is zero was selected"
    if op != "topk":
        most = case.mask.sum(axis=1) if op == "omp_masked" else case.signals.shape[1]
        assert (code.counts <= np.minimum(most, n_atoms)).all()
    if op == "positive" or (op == "topk" and case.positive):
        assert not (code.values < 0).any()
    if op in ("topk", "iht"):
        sizes = np.abs(code.values[finite])
        assert (sizes[:, 1:] <= sizes[:, :-1]).all()
    full = code.counts == case.n_nonzero
    assert np.isin(code.status[full], [Status.COMPLETE, Status.TOLERANCE]).all()
    assert (code.status[~full] != Status.COMPLETE).all()


def clean(op: str, case: Case) -> tuple[Case, np.ndarray, np.ndarray]:
    """The case without what is not finite; which signals are left, and which atoms: all are, but those of a codebook,
    since elsewhere such an atom counts as zero."""
    rows = np.flatnonzero(np.isfinite(case.seen(op)).all(axis=1))
    good = np.isfinite(case.dictionary).all(axis=1)
    atoms = np.flatnonzero(good) if op == "nearest_code" else np.arange(len(good))
    dictionary = np.where(good[:, None], case.dictionary, 0).astype(case.dictionary.dtype)[atoms]
    left = replace(case.with_rows(rows), dictionary=dictionary)
    return replace(left, signals=left.seen(op)), rows, atoms


def check_rows_apart(op: str, case: Case, result: Result, backend: str) -> tuple[Case, Result]:
    """What is not finite changes no bit of other rows, whether it is there, zero, or missing; the case without it, and
    the result of that."""
    left, rows, atoms = clean(op, case)
    if len(atoms) == 0:
        return left.with_rows(slice(0)), result
    alone = call(op, left, backend)
    if op == "nearest_code":
        assert isinstance(result, NearestCode)
        assert isinstance(alone, NearestCode)
        np.testing.assert_array_equal(atoms[alone.indices], result.indices[rows])
        np.testing.assert_array_equal(alone.distances, result.distances[rows])
    else:
        assert_same_bits(alone, result, rows)
    zeroed = case.signals.copy()
    zeroed[~np.isfinite(case.seen(op)).all(axis=1)] = 0
    again = call(op, replace(case, signals=zeroed), backend)
    for name in ("indices", "distances" if op == "nearest_code" else "values"):
        assert getattr(again, name)[rows].tobytes() == getattr(result, name)[rows].tobytes()
    return left, alone


def unit_case(op: str, case: Case) -> tuple[Case, np.ndarray] | None:
    """A finite case in the scaled domain, and the exponents (N, 1) that lead from its values to those of the case; None
    where the scaled arguments cannot be written in its dtype."""
    dtype = case.signals.dtype
    rows = np.frexp(np.abs(case.signals).max(axis=1, initial=0))[1].astype(int)
    atoms = int(np.frexp(np.abs(case.dictionary).max(initial=0))[1])
    tol, step = case.tol, case.step
    with np.errstate(over="ignore", under="ignore"):
        if tol is not None:
            tol = np.ldexp(np.broadcast_to(np.asarray(tol, dtype), rows.shape), -rows)
        if op != "iht":
            step = None
        elif step is not None:
            step = float(np.ldexp(step, 2 * atoms))
    if step is not None and not 1e-30 < step < 1e30:
        return None
    unit = replace(
        case,
        signals=np.ldexp(case.signals, -rows[:, None]),
        dictionary=np.ldexp(case.dictionary, -atoms),
        tol=tol,
        step=step,
    )
    return unit, (rows + (atoms if op == "topk" else -atoms))[:, None]


def check_scale(backend: str, result: SparseCode, unit: SparseCode, exponents: np.ndarray) -> None:
    """Answers are those of the scaled domain, to the bit, times powers of two: rounded where they are subnormal, and
    infinite only where they are too large for the dtype."""
    np.testing.assert_array_equal(result.indices, unit.indices)
    np.testing.assert_array_equal(result.counts, unit.counts)
    np.testing.assert_array_equal(result.status, unit.status)
    with np.errstate(over="ignore", under="ignore"):
        expected = np.ldexp(unit.values, exponents)
    # The others than C++ hold values in float64 and round them once; what is expected was rounded twice if subnormal.
    last = 0 if backend == "cpu" else np.finfo(unit.dtype).smallest_subnormal
    np.testing.assert_allclose(result.values, expected, rtol=0, atol=last)
