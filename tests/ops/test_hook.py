"""Which calls PyTorch has to see, and that all others take the direct path."""

import numpy as np
import pytest
import torch

import sparsefast
from sparsefast.ops import torch_ops
from sparsefast.ops.hook import needs_torch
from tests.ops.helper import OPS, assert_same, in_torch, problem

X, D = in_torch(*problem("float32"))


class Wrapper(torch.Tensor):
    pass


def test_plain_tensors_take_the_direct_path():
    assert not needs_torch(X, D, None, 3)
    assert not needs_torch(X, sparsefast.prepare(D), None)
    assert not needs_torch([1.0], D.numpy())
    assert not needs_torch(X.clone().requires_grad_(), D, gradient="none")
    with torch.no_grad():
        assert not needs_torch(X, torch.nn.Parameter(D.clone()), None)
        assert not needs_torch(X, sparsefast.prepare(torch.nn.Parameter(D.clone())))


def test_a_gradient_mode_or_wrapper_goes_through_torch():
    parameter = torch.nn.Parameter(D.clone())
    assert needs_torch(X, parameter)
    assert needs_torch(X, sparsefast.prepare(parameter))
    assert not needs_torch(X, sparsefast.prepare(parameter, watch=False))
    assert needs_torch(X.clone().requires_grad_(), D)
    assert needs_torch(X.as_subclass(Wrapper), D)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert needs_torch(X, D)
    with torch._subclasses.FakeTensorMode() as mode:
        assert needs_torch(mode.from_tensor(X), mode.from_tensor(D), gradient="none")
    seen = []
    torch.vmap(lambda x: seen.append(needs_torch(x, D)) or x)(X)
    torch.func.grad(lambda d: seen.append(needs_torch(X, d)) or d.sum())(D)
    torch.vmap(lambda x: seen.append(needs_torch(X, D)) or x)(X)  # not those of the transform
    assert seen == [True, True, False]
    with torch.autograd.forward_ad.dual_level():
        assert needs_torch(X, D)


def test_it_is_traced_as_true():
    @torch.compile(backend="eager", fullgraph=True)
    def double_if_traced(x):
        return 2 * x if needs_torch(x, None) else x

    assert torch.equal(double_if_traced(X), 2 * X)


@pytest.mark.parametrize("op", OPS, ids=str)
def test_each_op_asks(op, monkeypatch):
    called = []
    monkeypatch.setattr(torch_ops, op.public, lambda *args: called.append(args) or (1, 2))
    expected = op.call(X.numpy(), D.numpy())
    assert_same(op.call(X, D), expected)
    with torch.no_grad():
        assert_same(op.call(X.clone().requires_grad_(), D), expected)
    assert called == []
    op.call(X.clone().requires_grad_(), D)
    op.call(X, torch.nn.Parameter(D.clone()))
    op.call(X, sparsefast.prepare(torch.nn.Parameter(D.clone())))
    assert len(called) == 3
    # Signals in NumPy have no gradient, whatever the dictionary was prepared from.
    assert_same(op.call(X.numpy(), sparsefast.prepare(torch.nn.Parameter(D.clone()))), expected)
    assert len(called) == 3
    assert isinstance(expected.indices, np.ndarray)
