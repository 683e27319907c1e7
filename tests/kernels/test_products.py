"""The products of sparse codes in C++ and the gradients of their coefficients: against NumPy and against what PyTorch
composes, whatever the number of threads."""

import numpy as np
import pytest
import torch

import sparsefast
from sparsefast.ops import gradients, torch_decode, torch_native

products = pytest.importorskip("sparsefast.kernels.cpu.products", reason="nothing is compiled")
SIZES = [(3, 16, 3, 5003), (64, 70, 5, 1500), (7, 5, 1, 17), (33, 9, 8, 1), (4, 4, 2, 0)]
sizes = pytest.mark.parametrize("size", SIZES, ids=str)
dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)


def problem(size, dtype):
    n_features, n_atoms, n_nonzero, n = size
    generator = torch.Generator().manual_seed(0)
    atoms = torch.randn(n_atoms, n_features, generator=generator, dtype=dtype)
    signals = torch.randn(n, n_features, generator=generator, dtype=dtype)
    code = sparsefast.omp(signals, atoms, n_nonzero)
    # Some codes are shorter, as after a tolerance.
    counts = torch.minimum(code.counts, torch.randint(0, n_nonzero + 1, (n,), generator=generator, dtype=torch.int32))
    unused = torch.arange(n_nonzero) >= counts[:, None]
    return signals, atoms, code.values.masked_fill(unused, 0), code.indices.masked_fill(unused, 0), counts


@pytest.fixture
def composed(monkeypatch):
    """Calls a function without the C++ kernels."""

    def call(function, *arguments):
        with monkeypatch.context() as patch:
            patch.setattr(torch_native, "_module", lambda: None)
            return function(*arguments)

    return call


def close(found, wanted, terms):
    eps = torch.finfo(found.dtype).eps
    scale = max(1.0, float(wanted.abs().max())) if wanted.numel() else 1.0
    torch.testing.assert_close(found, wanted, rtol=0, atol=8 * eps * terms * scale)


@sizes
@dtypes
def test_products_are_those_that_pytorch_composes(size, dtype, composed):
    signals, atoms, values, indices, counts = problem(size, dtype)
    for function, arguments in (
        (torch_decode.run_decode, (values, indices, counts, atoms)),
        (torch_decode._correlate, (signals, indices, counts, atoms)),
        (torch_decode._accumulate, (values, indices, counts, signals, len(atoms))),
    ):
        close(function(*arguments), composed(function, *arguments), max(size))


@sizes
@dtypes
def test_gradients_are_those_that_pytorch_composes(size, dtype, composed):
    signals, atoms, values, indices, counts = problem(size, dtype)
    grad = torch.randn(values.shape, generator=torch.Generator().manual_seed(1), dtype=dtype)
    arguments = (grad, signals, None, atoms, values, indices, counts, True, True)
    assert torch_native._kernels(grad) is not None
    found, wanted = (f(gradients.least_squares_gradients, *arguments) for f in (lambda g, *a: g(*a), composed))
    for a, b in zip(found, wanted, strict=True):
        # The systems have condition numbers up to some hundreds.
        close(a, b, 300 * max(size))
    for of_signals, of_dictionary in ((True, False), (False, True)):
        alone = gradients.least_squares_gradients(*arguments[:-2], of_signals, of_dictionary)
        for wanted, one, both in zip((of_signals, of_dictionary), alone, found, strict=True):
            assert torch.equal(one, both) if wanted else not one.numel()


def test_sums_have_the_same_bits_for_any_number_of_threads():
    signals, atoms, values, indices, counts = problem((5, 40, 3, 90_000), torch.float32)

    def run(n_threads):
        x, d, v, i, c = (a.numpy() for a in (signals, atoms, values, indices, counts))
        sums, of_x, of_d = np.full_like(d, np.nan), np.full_like(x, np.nan), np.full_like(d, np.nan)
        products.accumulate(v, i, c, x, sums, n_threads)
        unit, inverse_norms = (a.numpy() for a in gradients._unit_atoms(atoms))
        products.support_gradients(v, x, d, unit @ unit.T, inverse_norms, v, i, c, 1e-6, 1e-6, of_x, of_d, n_threads)
        return sums, of_x, of_d

    for one, three in zip(run(1), run(3), strict=True):
        assert np.array_equal(one, three) and np.isfinite(one).all()


def test_a_gradient_does_not_depend_on_the_signals_beside_it():
    signals, atoms, values, indices, counts = problem((64, 70, 5, 50), torch.float32)
    whole = gradients.least_squares_gradients(values, signals, None, atoms, values, indices, counts, True, False)[0]
    for n in range(len(signals)):
        part = (x[n : n + 1] for x in (values, signals, values, indices, counts))
        grad, x, v, i, c = part
        alone = gradients.least_squares_gradients(grad, x, None, atoms, v, i, c, True, False)[0]
        assert torch.equal(alone[0], whole[n])


def test_a_signal_that_is_not_finite_stays_alone():
    signals, atoms, values, indices, counts = problem((3, 16, 3, 40), torch.float32)
    clean = gradients.least_squares_gradients(values, signals, None, atoms, values, indices, counts, True, True)
    keep = torch.arange(40) != 7
    signals[7], values[7], indices[7], counts[7] = torch.nan, torch.nan, 0, 0
    of_x, of_d = gradients.least_squares_gradients(values, signals, None, atoms, values, indices, counts, True, True)
    assert of_x[7].isnan().all() and torch.equal(of_x[keep], clean[0][keep]) and of_d.isfinite().all()
    assert torch_decode.run_decode(values, indices, counts, atoms)[7].isnan().all()


@pytest.mark.parametrize("bad", [-1, 16])
def test_atoms_that_are_not_there_are_refused(bad):
    signals, atoms, values, indices, counts = problem((3, 16, 3, 40), torch.float32)
    indices[3, 2] = bad
    with pytest.raises(IndexError, match="indices must be 0 to 15"):
        torch_decode.run_decode(values, indices, counts, atoms)
    with pytest.raises(IndexError, match="indices must be 0 to 15"):
        torch_decode._accumulate(values, indices, counts, signals, len(atoms))
