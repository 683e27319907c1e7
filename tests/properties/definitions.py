"""Whether a code is what the definition of its op says, to rounding.

Cases are finite and in the scaled domain that kernels compute in: the largest entry of each signal, and of the
dictionary, lies in [1/2, 1). A choice that differs from the reference's must have been as good to rounding (a near
tie), given the choices before it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sparsefast import NearestCode, SparseCode, Status
from tests.kernels.helper import Code, condition
from tests.kernels.replay import Replay, check_least_squares
from tests.kernels.test_masked import observed
from tests.kernels.test_positive import refit
from tests.properties.calls import as_code, call
from tests.properties.iteration import Iteration
from tests.properties.strategies import Case

# Rows of a case that are replayed step by step in float64.
MOST_REPLAYED = 6


def check_definition(op: str, case: Case, code: SparseCode, backend: str, *, exact: bool) -> None:
    """The code of a finite case in the scaled domain is what the definition of the op says, to rounding."""
    numbers = as_code(code)
    rows = np.arange(min(len(numbers.counts), MOST_REPLAYED))
    if op == "topk":
        check_topk(case, numbers, exact)
    elif op == "iht":
        check_iht(case.with_rows(rows), code[rows], backend)
    else:
        check_pursuit(op, case.with_rows(rows), as_code(code[rows]), backend, exact)


def check_pursuit(op: str, case: Case, code: Code, backend: str, exact: bool) -> None:
    """omp, ols, positive and omp_masked: coefficients are least squares on the support; each choice was the best to
    rounding, if it is not the reference's; and it ended where it had to."""
    eps = float(np.finfo(case.signals.dtype).eps)
    rule_eps = float(np.finfo(np.float64).eps) if backend == "reference" else eps
    rule = op if op in ("ols", "positive") else "omp"
    theirs = code if backend == "reference" else as_code(call(op, case, "reference"))
    tols = np.broadcast_to(np.asarray(-1.0 if case.tol is None else case.tol, np.float64), len(case.signals))
    for n, support in enumerate(code.supports()):
        x, atoms = case.signals[n], case.dictionary
        one = Code(*(a[n : n + 1] for a in vars(code).values()))
        if op == "omp_masked":
            seen = case.mask[n]
            check_least_squares(x[None, seen], atoms[:, seen], one, eps)
            x, atoms = observed(x, seen, atoms, rule_eps)
        else:
            check_least_squares(x[None], atoms, one, eps)
        replay = Replay(x, atoms, rule_eps, rule)
        same = np.array_equal(code.indices[n], theirs.indices[n]) and code.status[n] == theirs.status[n]
        if rule == "positive":
            assert (one.values[0, : len(support)] > 0).all()
            check_positive_path(replay, support, case.n_nonzero, tols[n])
        elif backend == "reference" or not same:
            replay.check(support)
        check_end(replay, support, int(code.status[n]), case.n_nonzero, float(tols[n]))
        seen = case.mask[n] if op == "omp_masked" else slice(None)
        check_tolerance(case.signals[n, seen], atoms_of(case, support)[:, seen], one, eps, float(tols[n]))
        check_copies(case.dictionary, support, opposite=rule != "positive")
        if exact and op == "omp" and len(support):
            assert support[0] == np.abs(atoms.astype(np.float64) @ x).argmax()


def atoms_of(case: Case, support: np.ndarray) -> np.ndarray:
    """The selected atoms in float64."""
    return case.dictionary[support].astype(np.float64)


def check_tolerance(x: np.ndarray, selected: np.ndarray, code: Code, eps: float, tol: float) -> None:
    """TOLERANCE is said where the residual of the code as it is, x - values D_S, is within tol, and nowhere else: to
    the rounding of its sums and of the values."""
    k = len(selected)
    values = code.values[0, :k].astype(np.float64)
    left = float(np.linalg.norm(x - values @ selected))
    parts = np.linalg.norm(x) + np.abs(values) @ np.linalg.norm(selected, axis=1)
    slack = 2 * eps * (x.size + k) * float(parts)
    if code.status[0] == Status.TOLERANCE:
        assert left <= tol + slack
    else:
        assert not left < tol - slack


def residual_and_slack(replay: Replay, support: np.ndarray) -> tuple[float, float]:
    """The norm of the residual of a support, and by how much a kernel's may differ: see tests/kernels/replay.py."""
    if len(support) == 0:
        norm = float(np.linalg.norm(replay.x))
        return norm, 2 * replay.eps * replay.x.size * norm
    selected = replay.atoms[support]
    basis = np.linalg.qr((selected / replay.norms[support, None]).T)[0]
    residual = replay.x - basis @ (basis.T @ replay.x)
    coefficients = np.linalg.lstsq((selected / replay.norms[support, None]).T, replay.x, rcond=None)[0]
    parts = np.linalg.norm(replay.x) + np.abs(coefficients).sum()
    return float(np.linalg.norm(residual)), float(
        2 * replay.eps * (replay.x.size + len(support)) * condition(selected) * parts
    )


def check_end(replay: Replay, support: np.ndarray, status: int, n_nonzero: int, tol: float) -> None:
    """It ended where the rule says, and no earlier step left a residual within tol."""
    many_additions = replay.rule == "positive" and status == Status.EXHAUSTED
    if status != Status.TOLERANCE and not many_additions:
        replay.check_end(support, status, n_nonzero)
    if tol >= 0 and replay.rule != "positive":
        for k in range(len(support)):
            left, slack = residual_and_slack(replay, support[:k])
            assert left > tol - slack, f"the residual was within tol after {k} atoms"


def check_copies(atoms: np.ndarray, support: np.ndarray, *, opposite: bool) -> None:
    """Of atoms that are equal, or opposite where the sign does not matter, only the first can have been selected."""
    for i in support:
        equal = (atoms[:i] == atoms[i]).all(axis=1)
        if opposite:
            equal |= (atoms[:i] == -atoms[i]).all(axis=1)
        assert not equal.any(), f"atom {i} was selected, and atom {equal.argmax()} is the same"


def check_positive_path(replay: Replay, support: np.ndarray, n_nonzero: int, tol: float) -> None:
    """The support is the one that the definition leads to, if rounding decides nowhere on that way."""
    mine: list[int] = []
    gamma = np.empty(0)
    limit = min(n_nonzero, *replay.atoms.shape)
    for _ in range(4 * limit + 1):
        left, slack = residual_and_slack(replay, np.array(mine, int))
        if tol >= 0 and abs(left - tol) <= slack:
            return
        if len(mine) == limit or left <= tol:
            assert support.tolist() == mine
            return
        step = replay.step(np.array(mine, int))
        best = int(step.scores.argmax())
        others = np.delete(step.scores + step.errors, best)
        if not step.surely[best] or step.scores[best] - step.errors[best] <= others.max(initial=-np.inf):
            return
        after = refit(replay, [*mine, best], np.append(gamma, 0.0))
        if after is None or best not in after[0]:
            return
        mine, gamma = after


def check_topk(case: Case, code: Code, exact: bool) -> None:
    """The values are the correlations; no atom left out is larger than rounding, and none at all where sums are
    exact."""
    eps = float(np.finfo(case.signals.dtype).eps)
    atoms, signals = case.dictionary.astype(np.float64), case.signals.astype(np.float64)
    correlations = signals @ atoms.T
    scores = np.maximum(correlations, 0) if case.positive else np.abs(correlations)
    errors = 2 * eps * signals.shape[1] * np.linalg.norm(signals, axis=1)[:, None] * np.linalg.norm(atoms, axis=1)
    for n, (support, values) in enumerate(zip(code.supports(), code.coefficients(), strict=True)):
        if exact:
            order = np.argsort(-scores[n], kind="stable")[: case.n_nonzero]
            np.testing.assert_array_equal(support, order[scores[n, order] > 0])
            np.testing.assert_array_equal(values, correlations[n, support])
        assert (np.abs(values - correlations[n, support]) <= errors[n, support]).all()
        left_out = np.delete(scores[n] - errors[n], support)
        least = (scores[n] + errors[n])[support].min() if len(support) == case.n_nonzero else 0.0
        assert (left_out <= least).all()
    complete = code.counts == case.n_nonzero
    np.testing.assert_array_equal(code.status, np.where(complete, Status.COMPLETE, Status.ORTHOGONAL))


def check_iht(case: Case, code: SparseCode, backend: str) -> None:
    """The last iteration led from the code of one iteration less to this one."""
    eps = float(np.finfo(case.signals.dtype).eps)
    atoms = case.dictionary.astype(np.float64)
    s = min(case.n_nonzero, *atoms.shape)
    free = replace(case, tol=None)
    after = code if case.tol is None else call("iht", free, backend)
    dense = as_code(after).dense(len(atoms))
    before = np.zeros_like(dense)
    if case.n_iterations > 1:
        before = as_code(call("iht", replace(free, n_iterations=case.n_iterations - 1), backend)).dense(len(atoms))
    tols = np.broadcast_to(np.asarray(-1.0 if case.tol is None else case.tol, np.float64), len(case.signals))
    ends = as_code(code).dense(len(atoms))
    for n, x in enumerate(case.signals.astype(np.float64)):
        check_iht_end(Iteration(x, atoms, ends[n], s, eps), int(code.status[n]), float(tols[n]))
        if after.counts[n] < case.n_nonzero:
            assert after.status[n] == (Status.EXHAUSTED if after.counts[n] == s else Status.ORTHOGONAL)
        iteration = Iteration(x, atoms, before[n], s, eps)
        if case.step is not None:
            assert iteration.leads_to(dense[n], case.step, 0.0)
        elif before[n].any():
            iteration.check_normalised(dense[n])
        elif dense[n].any():
            iteration.check_first(dense[n])


def check_iht_end(end: Iteration, status: int, tol: float) -> None:
    """TOLERANCE is said where the residual is within tol."""
    left = float(np.linalg.norm(end.residual))
    slack = end.of_c / end.longest if end.longest else 0.0
    if status == Status.TOLERANCE:
        assert left <= tol + slack
    else:
        assert not left < tol - slack


def check_nearest(case: Case, result: NearestCode, *, exact: bool) -> None:
    """No atom is nearer than rounding, and the distance is exact to rounding; at any scale."""
    eps = float(np.finfo(case.signals.dtype).eps)
    atoms = case.dictionary.astype(np.float64)
    largest_atom = np.abs(atoms).max()
    limits = np.finfo(case.signals.dtype)
    for x, i, distance in zip(case.signals.astype(np.float64), result.indices, result.distances, strict=True):
        # Divided by the same power of two, so that no difference overflows.
        e = int(np.frexp(max(np.abs(x).max(), largest_atom))[1])
        largest = np.ldexp(float(limits.max), min(-e, 0))
        distances = norms(np.ldexp(x, -e) - np.ldexp(atoms, -e))
        parts = np.linalg.norm(np.ldexp(x, -e)) + np.linalg.norm(np.ldexp(atoms, -e), axis=1).max()
        # Differences are exact in float64 where both are of about one size.
        alike = abs(e - int(np.frexp(largest_atom)[1])) < 20
        if exact and alike and distances.min() > 0:
            assert i == distances.argmin()
        assert distances[i] ** 2 <= distances.min() ** 2 + 2 * eps * (x.size + 2) * parts**2
        assert not (atoms[:i] == atoms[i]).all(axis=1).any(), "an equal code comes before it"
        # Subnormal distances are rounded to the smallest number there is.
        rounding = (x.size / 2 + 4) * eps
        if np.isinf(distance):
            assert distances[i] * (1 + rounding) >= largest
        else:
            own = norms(x[None] - atoms[i])[0]
            assert abs(float(distance) - own) <= rounding * own + float(limits.smallest_subnormal)


def norms(rows: np.ndarray) -> np.ndarray:
    """The norm of each row (K, F), whose squares may be too small for float64."""
    exponents = np.frexp(np.abs(rows).max(axis=1))[1]
    return np.ldexp(np.linalg.norm(np.ldexp(rows, -exponents[:, None]), axis=1), exponents)
