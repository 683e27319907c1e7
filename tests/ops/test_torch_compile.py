"""The operators as PyTorch's own checks see them, and torch.compile without a graph break."""

import numpy as np
import pytest
import torch

import sparsefast
from sparsefast.ops import torch_bottleneck, torch_ops  # noqa: F401  (define the operators)
from tests.data import random_problem

N, F, K, S = 7, 9, 15, 4
OPS = torch.ops.sparsefast


def problem(n_signals=N, seed=0):
    p = random_problem(n_signals, F, K, seed)
    return tuple(torch.from_numpy(a).requires_grad_() for a in (p.signals, p.dictionary))


def arguments(name):
    """Positional arguments for an operator, with those that are differentiable requiring grad."""
    x, d = problem()
    code = sparsefast.topk(x.detach(), d.detach(), S)
    i, c, v = code.indices, code.counts, code.values.clone().requires_grad_()
    mask = torch.from_numpy(np.random.default_rng(0).random((N, F)) < 0.7)
    tols = torch.full((N,), 0.5, dtype=torch.float64)
    gram = (d @ d.T).detach()
    nearest = sparsefast.nearest_code(x.detach(), d.detach())
    # The gradients have no derivatives of their own.
    fixed = (v.detach(), x.detach(), mask, d.detach(), v.detach(), i, c)
    distances = (nearest.distances, x.detach(), d.detach(), nearest.indices, nearest.distances)
    return {
        "omp": [
            (x, d, S, "omp", False, None, None, None, None, False),
            (x, d, S, "ols", False, 0.5, None, gram, "reference", True),
            (x, d.detach(), S, "omp", True, None, tols, None, "auto", False),
        ],
        "omp_masked": [(x, mask, d, S, None, tols, None, False)],
        "iht": [(x, d, S, 10, None, 0.5, None, gram, None, False), (x, d, S, 10, 0.1, None, tols, None, None, False)],
        "topk": [(x, d, S, False, None, False)],
        "nearest_code": [(x, d, None, False)],
        "decode": [(v, i, c, d)],
        "correlate": [(x, i, c, d)],
        "accumulate": [(v, i, c, x, K)],
        "least_squares_gradients": [(*fixed, True, True), (*fixed[:2], None, *fixed[3:], False, True)],
        "distance_gradients": [(*distances, True, True), (*distances, True, False)],
    }[name]


NAMES = [
    "omp", "omp_masked", "iht", "topk", "nearest_code", "decode", "correlate", "accumulate",
    "least_squares_gradients", "distance_gradients",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_pytorch_finds_the_operator_sound(name):
    for args in arguments(name):
        torch.library.opcheck(getattr(OPS, name).default, args)


def test_every_operator_is_checked():
    everything = torch._C._dispatch_get_all_op_names()
    defined = {name.removeprefix("sparsefast::") for name in everything if name.startswith("sparsefast::")}
    # Which have their own.
    elsewhere = {
        "unfold", "fold", "unfold_out", "fold_out", "dictionary_update", "online_update", "bottleneck",
        "bottleneck_gradients",
    }  # fmt: skip
    assert defined - elsewhere == set(NAMES)


def coded(x, d):
    # Nothing around the operators, for which code would have to be compiled.
    code = sparsefast.omp(x, d, S)
    return code.decode(d), code


def test_a_function_with_omp_and_decode_compiles_to_one_graph_forward_and_backward():
    compiled = torch.compile(coded, fullgraph=True)
    for n_signals in (7, 12, 31):  # the second size makes the graph dynamic
        x, d = problem(n_signals)
        (out, code), (expected, eager) = compiled(x, d), coded(x, d)
        assert isinstance(code, sparsefast.SparseCode)
        assert code.equals(eager)
        assert torch.equal(out, expected)
        for mine, right in zip(*(torch.autograd.grad(y.square().sum(), (x, d)) for y in (out, expected)), strict=True):
            torch.testing.assert_close(mine, right)


CALLS = {
    "positive": lambda x, d: sparsefast.omp(x, d, S, positive=True, tol=0.1, backend="auto").decode(d),
    "batch": lambda x, d: sparsefast.omp(x[None, :, None], d, S, tol=x.detach()[None, :, None, 0] ** 2).decode(d),
    "masked": lambda x, d: sparsefast.omp_masked(x, x.detach() > -1, d, S).decode(d),
    "iht": lambda x, d: sparsefast.iht(x, d, S, tol=0.1, gradient="none").decode(d),
    "topk": lambda x, d: sparsefast.topk(x, d, S).decode(d),
    "topk bfloat16": lambda x, d: sparsefast.topk(x.bfloat16(), d.bfloat16(), S).decode(d.bfloat16()),
    "nearest_code": lambda x, d: sparsefast.nearest_code(x, d).distances,
    "straight through": lambda x, d: sparsefast.omp(x, d, S).decode(d, straight_through=x),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_every_coder_compiles_with_dynamic_shapes(call):
    # The graph that autograd traces, without generating code for it, which has nothing to do with us.
    compiled = torch.compile(call, fullgraph=True, dynamic=True, backend="aot_eager")
    for n_signals in (7, 12):
        x, d = problem(n_signals)
        out, expected = compiled(x, d), call(x, d)
        torch.testing.assert_close(out, expected)
        grads, right = (torch.autograd.grad(y.sum(), (x, d), allow_unused=True) for y in (out, expected))
        for mine, theirs in zip(grads, right, strict=True):
            assert (mine is None) == (theirs is None)
            if mine is not None:
                torch.testing.assert_close(mine, theirs)


def test_a_prepared_dictionary_compiles_as_its_tensor():
    x, d = problem()
    prepared = sparsefast.prepare(d)
    compiled = torch.compile(lambda x: sparsefast.omp(x, prepared, S).values, fullgraph=True, backend="aot_eager")
    expected = torch.autograd.grad(sparsefast.omp(x, d, S).values.sum(), (x, d))
    torch.testing.assert_close(torch.autograd.grad(compiled(x).sum(), (x, d)), expected)


def test_fake_tensors_have_the_shapes_and_dtypes_of_real_ones():
    from torch._subclasses import FakeTensorMode

    with FakeTensorMode():
        x, d = torch.empty(2, 5, 9), torch.empty(15, 9)
        code = sparsefast.omp(x, d, 3)
        assert [(tuple(a.shape), a.dtype) for a in (code.values, code.indices, code.counts, code.status)] == [
            ((2, 5, 3), torch.float32), ((2, 5, 3), torch.int64), ((2, 5), torch.int32), ((2, 5), torch.uint8),
        ]  # fmt: skip
        assert code.decode(d).shape == (2, 5, 9)
        nearest = sparsefast.nearest_code(x, d)
        assert nearest.indices.shape == nearest.distances.shape == (2, 5)
