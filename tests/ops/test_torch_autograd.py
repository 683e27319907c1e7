"""The gradients of the sparse coders: right in float64, robust in float32, and where there are none, said so."""

import numpy as np
import pytest
import torch

import sparsefast
from sparsefast.ops.torch_decode import accumulate, correlate, decode
from tests.data import coherent_problem, non_unit_problem, random_problem, unit

N, F, K, S = 7, 9, 15, 4


def problem(n_signals=N, n_features=F, n_atoms=K, seed=0, make=random_problem, dtype=torch.float64):
    """Signals and dictionary as tensors that require grad."""
    p = make(n_signals, n_features, n_atoms, seed)
    return tuple(torch.from_numpy(a).to(dtype).requires_grad_() for a in (p.signals, p.dictionary))


def observed(shape=(N, F), seed=0):
    return torch.from_numpy(np.random.default_rng(seed).random(shape) < 0.7)


def masked(x, d):
    return sparsefast.omp_masked(x, observed(x.shape), d, 3).values


LEAST_SQUARES = {
    "omp": lambda x, d: sparsefast.omp(x, d, S).values,
    "ols": lambda x, d: sparsefast.omp(x, d, S, selection="ols").values,
    "positive": lambda x, d: sparsefast.omp(x, d, S, positive=True).values,
    "tolerance": lambda x, d: sparsefast.omp(x, d, S, tol=torch.linspace(0.5, 3, len(x), dtype=x.dtype)).values,
    "iht": lambda x, d: sparsefast.iht(x, d, 3, n_iterations=3000).values,
    "masked": masked,
}
OTHERS = {
    "topk": lambda x, d: sparsefast.topk(x, d, S).values,
    "topk positive": lambda x, d: sparsefast.topk(x, d, S + 3, positive=True).values,
    "nearest_code": lambda x, d: sparsefast.nearest_code(x, d).distances,
}
CODERS = LEAST_SQUARES | OTHERS


def per_coder(coders):
    return pytest.mark.parametrize("coder", coders.values(), ids=coders.keys())


@per_coder(CODERS)
def test_gradients_are_those_of_finite_differences(coder):
    # The batched check runs the backward pass under vmap too.
    assert torch.autograd.gradcheck(coder, problem(), check_batched_grad=True)


def fitted(x, d, code, mask=None):
    """The coefficients on the support of a code, (N, S), by differentiable dense least squares."""
    rows = []
    for n, count in enumerate(code.counts.tolist()):
        selected = d[code.indices[n, :count]]
        target = x[n]
        if mask is not None:
            selected, target = selected[:, mask[n]], target[mask[n]]
        fit = torch.linalg.solve(selected @ selected.T, selected @ target)
        rows.append(torch.cat([fit, fit.new_zeros(code.n_nonzero - count)]))
    return torch.stack(rows)


@pytest.mark.parametrize("make", [random_problem, coherent_problem, non_unit_problem], ids=lambda f: f.__name__)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_gradients_are_those_of_dense_least_squares(make, dtype):
    x, d = problem(61, 20, 33, make=make, dtype=dtype)
    code = sparsefast.omp(x, d, 5)
    weights = torch.from_numpy(np.random.default_rng(5).standard_normal(code.values.shape))
    # Divided by the coefficients, so that atoms of all norms count alike.
    weights = weights / code.values.detach().double().abs().clamp_min(1e-30)
    got = torch.autograd.grad((code.values * weights.to(dtype)).sum(), (x, d))

    wide_x, wide_d = (a.detach().double().requires_grad_() for a in (x, d))
    expected = torch.autograd.grad((fitted(wide_x, wide_d, code) * weights).sum(), (wide_x, wide_d))
    selected = [wide_d.detach()[i] for i in code.indices]
    conditions = [torch.linalg.cond(a / a.norm(dim=1, keepdim=True)).item() ** 2 for a in selected]
    ridge = 1e-6 if dtype == torch.float32 else 0
    for mine, right in zip(got, expected, strict=True):
        assert mine.dtype == dtype
        # Two solves with a matrix of this condition, in sums of 20 terms; the ridge counts as an error of the matrix.
        bound = 2 * max(conditions) * (20 * torch.finfo(dtype).eps + ridge)
        scale = right.norm(dim=1, keepdim=True).clamp_min(1e-3 * right.norm(dim=1).max())
        assert ((mine.double() - right) / scale).abs().max() < bound


def test_unobserved_features_have_no_gradient_and_may_be_nan():
    x, d = problem()
    mask = observed()
    hidden = torch.where(mask, x.detach(), torch.nan).requires_grad_()
    code = sparsefast.omp_masked(hidden, mask, d, 3)
    weights = torch.arange(1.0, 4, dtype=torch.float64)
    of_x, of_d = torch.autograd.grad((code.values * weights).sum(), (hidden, d))
    assert (of_x[~mask] == 0).all()
    expected = torch.autograd.grad((fitted(x, d, code, mask) * weights).sum(), (x, d))
    torch.testing.assert_close((of_x, of_d), expected)


@per_coder(CODERS)
def test_a_signal_with_nan_has_a_gradient_of_nan_and_leaves_the_others_alone(coder):
    x, d = problem()
    with torch.no_grad():
        x[3] = torch.nan
    of_x, of_d = torch.autograd.grad(coder(x, d).sum(), (x, d))
    others = torch.arange(N) != 3
    assert of_x[3].isnan().all()
    assert of_x[others].isfinite().all()
    assert of_d.isfinite().all()


def test_the_dictionary_gradient_is_that_of_the_finite_signals():
    x, d = problem()
    others = [0, 1, 2, 4, 5, 6]
    (expected,) = torch.autograd.grad(sparsefast.omp(x[others], d, S).values.sum(), d)
    bad = x.detach().clone()
    bad[3, 2] = torch.inf
    (got,) = torch.autograd.grad(sparsefast.omp(bad, d, S).values.sum(), d)
    assert torch.equal(got, expected)


def test_padding_has_no_gradient_even_where_atom_0_is_not_finite():
    x, d = problem()
    with torch.no_grad():
        d[0] = torch.nan
    code = sparsefast.omp(x, d, S, tol=2.0)
    assert (code.counts < S).any()
    for grad in torch.autograd.grad(code.values.sum(), (x, d)):
        assert grad.isfinite().all()
    code = sparsefast.omp(x, d, S, tol=1e3)  # nothing is selected
    for grad in torch.autograd.grad(code.values.sum(), (x, d)):
        assert (grad == 0).all()


def test_nearly_dependent_atoms_leave_gradients_finite_in_float32():
    rng = np.random.default_rng(0)
    shared = rng.standard_normal((4, 12))
    atoms = np.repeat(shared, 3, axis=0) + 3e-3 * rng.standard_normal((12, 12))
    d = torch.from_numpy(unit(atoms)).float().requires_grad_()
    x = torch.from_numpy(rng.standard_normal((200, 12))).float().requires_grad_()
    code = sparsefast.omp(x, d, 8)
    for grad in torch.autograd.grad(code.values.sum(), (x, d)):
        assert grad.isfinite().all()


@per_coder(LEAST_SQUARES)
def test_only_the_gradients_that_are_needed_are_made(coder, monkeypatch):
    from sparsefast.ops import torch_coders

    asked, operator = [], torch_coders.least_squares_gradients
    monkeypatch.setattr(
        torch_coders, "least_squares_gradients", lambda *args: asked.append(args[-2:]) or operator(*args)
    )
    x, d = problem()
    for needs in ((True, False), (False, True), (True, True)):
        a, b = x.detach().requires_grad_(needs[0]), d.detach().requires_grad_(needs[1])
        coder(a, b).sum().backward()
        assert (a.grad is not None, b.grad is not None) == needs == asked.pop()


def test_gradient_none_makes_none_and_other_words_are_refused():
    x, d = problem()
    mask = observed()
    calls = (
        lambda **how: sparsefast.omp(x, d, S, **how),
        lambda **how: sparsefast.omp_masked(x, mask, d, S, **how),
        lambda **how: sparsefast.iht(x, d, S, **how),
    )
    for call in calls:
        assert call().values.requires_grad
        assert not call(gradient="none").values.requires_grad
        with torch.no_grad():
            assert not call().values.requires_grad
            assert call().equals(call(gradient="none"))
        with pytest.raises(ValueError, match="gradient='exact'; it must be 'implicit' or 'none'"):
            call(gradient="exact")


def test_tolerances_and_gram_matrices_that_require_grad_are_refused():
    x, d = problem()
    tol = torch.ones(N, dtype=torch.float64, requires_grad=True)
    gram = d @ d.T
    with pytest.raises(ValueError, match="omp: tol requires grad, and has no gradient"):
        sparsefast.omp(x, d, S, tol=tol)
    with pytest.raises(ValueError, match="omp: gram requires grad, and has no gradient"):
        sparsefast.omp(x, d, S, gram=gram)
    with torch.no_grad():
        sparsefast.omp(x, d, S, tol=tol, gram=gram)
    sparsefast.omp(x, d, S, tol=tol, gram=gram, gradient="none")


def test_a_gram_that_is_given_changes_no_gradient():
    x, d = problem()
    gram = (d @ d.T).detach()
    expected = torch.autograd.grad(sparsefast.omp(x, d, S).values.sum(), (x, d))
    got = torch.autograd.grad(sparsefast.omp(x, d, S, gram=gram).values.sum(), (x, d))
    torch.testing.assert_close(got, expected)


@per_coder(
    {
        "omp": lambda x, d: sparsefast.omp(x, d, S).values,
        "masked": lambda x, d: sparsefast.omp_masked(x, observed(), d, S).values,
        "iht": lambda x, d: sparsefast.iht(x, d, S).values,
        "topk": lambda x, d: sparsefast.topk(x, d, S).values,
        "nearest_code": lambda x, d: sparsefast.nearest_code(x, d).distances,
    }
)
def test_the_gradient_of_a_prepared_dictionary_goes_to_its_tensor(coder):
    x, d = problem()
    prepared = sparsefast.prepare(d)
    expected = torch.autograd.grad(coder(x, d).sum(), (x, d))
    torch.testing.assert_close(torch.autograd.grad(coder(x, prepared).sum(), (x, d)), expected, rtol=0, atol=0)
    # Without a tensor behind it, the signals alone have a gradient.
    for fixed in (sparsefast.prepare(d.detach().numpy()), sparsefast.prepare(d, watch=False)):
        (got,) = torch.autograd.grad(coder(x, fixed).sum(), x)
        assert torch.equal(got, expected[0])


def test_a_prepared_dictionary_is_not_packed_again(monkeypatch):
    from sparsefast import dispatch

    module = dispatch.resolve("omp", "cpu", "float64", None).module
    packed, prepare = [], module.prepare
    monkeypatch.setattr(module, "prepare", lambda *args: packed.append(args) or prepare(*args))
    x, d = problem()
    for dictionary in (sparsefast.prepare(d), sparsefast.prepare(d.detach().numpy())):
        for _ in range(3):
            sparsefast.omp(x, dictionary, S).values.sum().backward()
        assert len(packed) == 1
        packed.clear()


@per_coder({"omp": LEAST_SQUARES["omp"], "masked": masked, "nearest_code": OTHERS["nearest_code"]})
def test_a_second_derivative_raises(coder):
    x, d = problem()
    (of_x,) = torch.autograd.grad(coder(x, d).square().sum(), x, create_graph=True)
    with pytest.raises(NotImplementedError, match="first derivatives only"):
        of_x.sum().backward()


def test_topk_and_decode_have_second_derivatives():
    x, d = problem()
    assert torch.autograd.gradgradcheck(OTHERS["topk"], (x, d))
    code = sparsefast.topk(x, d, S)
    assert torch.autograd.gradgradcheck(
        lambda v, d: with_values(code, v).decode(d), (code.values.detach().requires_grad_(), d)
    )


def with_values(code, values):
    return sparsefast.SparseCode(code.indices, values, code.counts, code.status, code.n_atoms)


def test_products_of_codes_and_dictionaries_are_the_dense_ones_and_so_are_their_gradients():
    x, d = problem()
    with torch.no_grad():
        code = sparsefast.omp(x, d, S, tol=1.5)
    assert set(code.counts.tolist()) > {S}
    v, i, c = code.values.requires_grad_(), code.indices, code.counts
    used = torch.arange(S) < c[:, None]
    dense = code.to_dense()
    torch.testing.assert_close(decode(v, i, c, d), dense @ d)
    torch.testing.assert_close(correlate(x, i, c, d), torch.where(used, (x @ d.T).gather(1, i), 0))
    torch.testing.assert_close(accumulate(v, i, c, x, K), dense.T @ x)

    def used_values(free):  # the padding holds zeros and is no variable
        return torch.where(used, free, 0)

    for product, arguments in (
        (lambda v, d: decode(used_values(v), i, c, d), (v, d)),
        (lambda x, d: correlate(x, i, c, d), (x, d)),
        (lambda v, x: accumulate(used_values(v), i, c, x, K), (v, x)),
    ):
        assert torch.autograd.gradcheck(product, arguments)
        assert torch.autograd.gradgradcheck(product, arguments)


@pytest.mark.parametrize("n_signals", [0, 1, 127, 128, 129, 1500])
def test_sums_over_atoms_are_right_for_any_number_of_segments(n_signals):
    rng = np.random.default_rng(n_signals)
    n_nonzero = 8
    counts = torch.from_numpy(rng.integers(0, n_nonzero + 1, n_signals))
    # Atom 3 in every code, the others rarely, and one never: segments of all lengths.
    indices = torch.from_numpy(np.argsort(rng.random((n_signals, 40)), axis=1)[:, :n_nonzero] % 39)
    indices[:, 0] = 3
    values, x = (torch.from_numpy(rng.standard_normal((n_signals, n))) for n in (n_nonzero, 5))
    values[:, 1:][indices[:, 1:] == 3] = 0
    got = accumulate(values, indices, counts, x, 40)
    used = torch.where(torch.arange(n_nonzero) < counts[:, None], values, 0)
    expected = torch.zeros(40, n_signals, dtype=torch.float64)
    expected.index_put_((indices, torch.arange(n_signals)[:, None].expand_as(indices)), used, accumulate=True)
    torch.testing.assert_close(got, expected @ x, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_the_gradient_of_16_bit_tensors_is_computed_in_float32(dtype):
    x, d = (a.detach().to(dtype).requires_grad_() for a in problem(31, 20, 33))
    wide = [a.detach().float().requires_grad_() for a in (x, d)]
    code, exact = sparsefast.omp(x, d, S), sparsefast.omp(*wide, S)
    assert code.values.dtype == dtype
    got = torch.autograd.grad(code.values.sum(), (x, d))
    for mine, right in zip(got, torch.autograd.grad(exact.values.sum(), wide), strict=True):
        assert torch.equal(mine, right.to(dtype))


def test_gradients_depend_neither_on_threads_nor_those_of_signals_on_the_batch():
    x, d = problem(2000, 24, 70, dtype=torch.float32)
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            code = sparsefast.omp(x, d, 6)
            results.append(torch.autograd.grad(code.values.square().sum(), (x, d)))
    finally:
        torch.set_num_threads(threads)
    for one, two in zip(*results, strict=True):
        assert torch.equal(one, two)
    for part in (slice(0, 1), slice(3, 40), slice(701, 2000)):
        (of_part,) = torch.autograd.grad(sparsefast.omp(x[part], d, 6).values.square().sum(), x)
        assert torch.equal(of_part[part], results[0][0][part])


@pytest.mark.parametrize("batch", [(), (2, 3), (0,), (3, 0)], ids=str)
def test_batch_dimensions_are_kept(batch):
    _, d = problem()
    x = torch.randn(*batch, F, dtype=torch.float64, requires_grad=True)
    calls = (
        sparsefast.omp(x, d, S, tol=torch.zeros(batch)),
        sparsefast.omp_masked(x, torch.ones(F, dtype=torch.bool), d, S),
        sparsefast.iht(x, d, S),
        sparsefast.topk(x, d, S),
    )
    for code in calls:
        assert code.shape == batch
        assert code.values.requires_grad
        grads = torch.autograd.grad(code.decode(d).sum(), (x, d))
        assert [g.shape for g in grads] == [x.shape, d.shape]
    nearest = sparsefast.nearest_code(x, d)
    assert nearest.indices.shape == nearest.distances.shape == batch
    nearest.distances.sum().backward()


def test_arguments_are_checked_as_without_gradients():
    x, d = problem()
    with pytest.raises(TypeError, match="signals is a PyTorch tensor and dictionary a NumPy array"):
        sparsefast.omp(x, d.detach().numpy(), S)
    with pytest.raises(ValueError, match=r"signals has shape \(7, 8\) and dictionary \(15, 9\)"):
        sparsefast.omp(x[:, 1:], d, S)
    with pytest.raises(TypeError, match="signals is float64 and dictionary float32"):
        sparsefast.omp(x, d.float(), S)
    with pytest.raises(ValueError, match="n_nonzero=16; it must be 1 to n_atoms=15"):
        sparsefast.topk(x, d, 16)
    with pytest.raises(ValueError, match=r"tol has shape \(6,\)"):
        sparsefast.omp(x, d, S, tol=torch.ones(6))
    with pytest.raises(TypeError, match=r"mask has dtype float32; it must be bool"):
        sparsefast.omp_masked(x, torch.ones(N, F), d, S)
    with pytest.raises(ValueError, match=r"mask has shape \(6, 9\); it must broadcast"):
        sparsefast.omp_masked(x, observed((6, F)), d, S)
    with pytest.raises(ValueError, match="signals holds NaN or infinity, first in row 2"):
        sparsefast.omp(torch.where(torch.arange(N)[:, None] == 2, torch.nan, x), d, S, check_finite=True)


def test_an_autoencoder_with_a_sparse_bottleneck_learns():
    x, d = problem(200, 12, 24, dtype=torch.float32)
    torch.manual_seed(0)
    encoder, dictionary = torch.nn.Linear(12, 12), torch.nn.Parameter(d.detach())
    optimiser = torch.optim.Adam([*encoder.parameters(), dictionary], lr=1e-2)
    losses = []
    for _ in range(60):
        code = sparsefast.omp(encoder(x.detach()), dictionary, 3)
        loss = (code.decode(dictionary) - x.detach()).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
