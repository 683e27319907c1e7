"""vmap, the transforms of torch.func, forward mode, and autocast."""

import numpy as np
import pytest
import torch
from torch.func import grad, jacrev, vmap

import sparsefast
from tests.data import random_problem

B, N, F, K, S = 3, 7, 9, 15, 4


def problem(dtype=torch.float64):
    """Signals (B, N, F), dictionaries (B, K, F) and masks (B, N, F)."""
    p = random_problem(B * N, F, B * K)
    mask = torch.from_numpy(np.random.default_rng(0).random((B, N, F)) < 0.7)
    x, d = (torch.from_numpy(a).to(dtype).reshape(B, -1, F) for a in (p.signals, p.dictionary))
    return x, d, mask


def gram(d):
    return (d[:, None] * d).sum(-1).detach()  # not as a product of matrices, which autocast would round


CODERS = {
    "omp": lambda x, d, mask: sparsefast.omp(x, d, S),
    "ols": lambda x, d, mask: sparsefast.omp(x, d, S, selection="ols", tol=x[..., 0].abs().detach(), gram=gram(d)),
    "masked": lambda x, d, mask: sparsefast.omp_masked(x, mask, d, S, tol=0.5),
    "iht": lambda x, d, mask: sparsefast.iht(x, d, S, tol=x[..., 1].abs().detach()),
    "topk": lambda x, d, mask: sparsefast.topk(x, d, S),
}
FUNCTIONS = {
    **{name: lambda x, d, mask, f=f: f(x, d, mask).decode(d) for name, f in CODERS.items()},
    "values": lambda x, d, mask: CODERS["omp"](x, d, mask).values,
    "indices": lambda x, d, mask: CODERS["omp"](x, d, mask).indices,
    "nearest_code": lambda x, d, mask: sparsefast.nearest_code(x, d).distances,
    "straight through": lambda x, d, mask: sparsefast.omp(x, d, S).decode(d, straight_through=x),
}


def per_function(names):
    return pytest.mark.parametrize("function", [FUNCTIONS[name] for name in names], ids=names)


@per_function(FUNCTIONS)
@pytest.mark.parametrize("batched", [(True, False, True), (False, True, False), (True, True, False)], ids=str)
def test_vmap_is_a_loop(function, batched):
    arguments = [a if over else a[0] for a, over in zip(problem(), batched, strict=True)]
    got = vmap(function, in_dims=tuple(0 if over else None for over in batched))(*arguments)
    loop = [function(*(a[b] if over else a for a, over in zip(arguments, batched, strict=True))) for b in range(B)]
    torch.testing.assert_close(got, torch.stack(loop))


def test_vmap_over_another_dimension_and_over_single_signals():
    x, d, _ = problem()
    expected = sparsefast.omp(x, d[0], S).values
    assert torch.equal(vmap(lambda x: sparsefast.omp(x, d[0], S).values, in_dims=1, out_dims=1)(x), expected)
    assert torch.equal(vmap(vmap(lambda x: sparsefast.omp(x, d[0], S).values))(x), expected)


@per_function(["omp", "masked", "iht", "topk", "nearest_code", "straight through"])
def test_torch_func_grad_is_that_of_autograd(function):
    x, d, mask = (a[0] for a in problem())

    def loss(x, d):
        return function(x, d, mask).square().sum()

    got = grad(loss, argnums=(0, 1))(x, d)
    leaves = x.clone().requires_grad_(), d.clone().requires_grad_()
    expected = torch.autograd.grad(loss(*leaves), leaves, materialize_grads=True)
    torch.testing.assert_close(got, expected)


@per_function(["omp", "masked", "topk", "nearest_code"])
def test_gradients_for_each_signal_add_up(function):
    x, d, mask = (a[0] for a in problem())

    def loss(d, x, mask):
        return function(x, d, mask).square().sum()

    of_d, of_x = vmap(grad(loss, argnums=(0, 1)), in_dims=(None, 0, 0))(d, x, mask)
    expected = grad(loss, argnums=(0, 1))(d, x, mask)
    torch.testing.assert_close((of_d.sum(0), of_x), expected)


def test_jacobians_are_those_of_each_element():
    x, d, _ = (a[0] for a in problem())
    jacobian = jacrev(lambda x: sparsefast.omp(x, d, S).decode(d))(x)
    # The projector on the span of the selected atoms, for each signal alone.
    indices = sparsefast.omp(x, d, S).indices
    for n in range(N):
        projector = torch.linalg.pinv(d[indices[n]]) @ d[indices[n]]
        torch.testing.assert_close(jacobian[n, :, n], projector)
        jacobian[n, :, n] = 0
    assert (jacobian == 0).all()


def test_second_derivatives_and_forward_mode_raise():
    x, d, mask = (a[0] for a in problem())
    for function in (FUNCTIONS["omp"], FUNCTIONS["masked"], FUNCTIONS["nearest_code"]):
        with pytest.raises(NotImplementedError, match="first derivatives only"):
            jacrev(grad(lambda x, f=function: f(x, d, mask).square().sum()))(x)
        with pytest.raises(NotImplementedError, match="no forward-mode derivative"):
            torch.func.jvp(lambda x, f=function: f(x, d, mask), (x,), (x,))


def test_autocast_runs_in_float32():
    x, d, mask = (a[0] for a in problem(torch.float32))
    expected = [f(x, d, mask) for f in FUNCTIONS.values()]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for function, right in zip(FUNCTIONS.values(), expected, strict=True):
            assert torch.equal(function(x, d, mask), right)
            narrow = function(x.bfloat16(), d, mask)  # as an encoder hands it over
            assert torch.equal(narrow, function(x.bfloat16().float(), d, mask))
        assert sparsefast.omp(x.double(), d.double(), S).values.dtype == torch.float64


def test_a_model_trains_under_autocast():
    x, d, _ = problem(torch.float32)
    torch.manual_seed(0)
    encoder, dictionary = torch.nn.Linear(F, F), torch.nn.Parameter(d[0])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        encoded = encoder(x)
        code = sparsefast.omp(encoded, dictionary, S)
        loss = (code.decode(dictionary) - x).square().mean()
        assert encoded.dtype == torch.bfloat16
        assert code.values.dtype == loss.dtype == torch.float32
        # Even where the backward pass runs under autocast, which PyTorch advises against.
        inside = torch.autograd.grad(loss, [*encoder.parameters(), dictionary], retain_graph=True)
    outside = torch.autograd.grad(loss, [*encoder.parameters(), dictionary])
    assert torch.equal(inside[-1], outside[-1])
    assert all(g.isfinite().all() and (g != 0).any() for g in outside)
