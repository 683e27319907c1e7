"""omp in single precision with a Gram matrix has a CUDA kernel of its own, in forms for few and many signals and for
each number of atoms. On the emulated device."""

from typing import Any

import numpy as np
import pytest

from tests.data import sparse_problem
from tests.kernels.helper import ORDERS, Kernel
from tests.kernels.replay import check_choices, check_least_squares

pytest.importorskip("sparsefast._emulated", reason="development builds alone have the emulated device")
EPS = float(np.finfo(np.float32).eps)
in_every_order = pytest.mark.parametrize("order", ORDERS)
# A team of one warp for the first two, then of two, four and eight; dictionaries that do not fill their teams.
SIZES = (90, 200, 300, 700, 1500)


@in_every_order
@pytest.mark.parametrize("n_atoms", SIZES)
def test_each_form_chooses_and_fits_as_well_as_rounding_allows(order: str, n_atoms: int) -> None:
    p = sparse_problem(23, 19, n_atoms, 5, 0.1).astype(np.float32)
    found = Kernel("cuda", order, "omp").code(p.signals, p.dictionary, 7)
    assert (found.counts == 7).all()
    check_least_squares(p.signals, p.dictionary, found, EPS)
    check_choices(p.signals, p.dictionary, found, 7, EPS, "omp")


@pytest.mark.parametrize("n_atoms", [90, 300])
def test_many_signals_have_the_codes_of_few(n_atoms: int) -> None:
    p = sparse_problem(4100, 10, n_atoms, 3, 0.1).astype(np.float32)
    p.signals[[0, 77, 4099]] = np.nan
    p.signals[78] = 0
    p.dictionary[[8, 60]] = p.dictionary[5]
    kernel = Kernel("cuda", "shuffled", "omp")
    layout = kernel.prepare(p.dictionary)
    rows = np.r_[0:9, 70:80, 4090:4100]
    limits: dict[str, Any] = {"none": None, "each": np.linspace(0.01, 2, 4100).astype(np.float32)}
    for name, tol in limits.items():
        many = kernel.code(p.signals, p.dictionary, 4, tol, layout=layout)
        few = kernel.code(p.signals[rows], p.dictionary, 4, None if tol is None else tol[rows], layout=layout)
        assert few.same_bits(many, rows), name
        assert (len(np.unique(many.counts)) > 3) == (tol is not None), name


@in_every_order
@pytest.mark.parametrize("n_atoms", [90, 700])
def test_as_many_atoms_as_a_warp_has_lanes_and_more_places(order: str, n_atoms: int) -> None:
    p = sparse_problem(5, 32, n_atoms, 20, 0.3).astype(np.float32)
    kernel = Kernel("cuda", order, "omp")
    full = kernel.code(p.signals, p.dictionary, 32)
    check_least_squares(p.signals, p.dictionary, full, EPS)
    assert (full.counts > 25).all()
    more = kernel.code(p.signals, p.dictionary, 33)  # more than there are features, and than a warp has lanes
    np.testing.assert_array_equal(more.counts, full.counts)
    check_least_squares(p.signals, p.dictionary, more, EPS)
