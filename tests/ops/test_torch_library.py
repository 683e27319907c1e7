"""How an operator is entered: as one that PyTorch sees where anything looks at operators, else without it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.profiler import profile
from torch.utils._python_dispatch import TorchDispatchMode

import sparsefast
from sparsefast.ops import torch_coders, torch_library


def problem() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(7, 9), torch.randn(15, 9).requires_grad_()


class Named(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))


class NamedFunctions(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))


def test_modes_see_the_operators() -> None:
    signals, dictionary = problem()
    with Named() as seen:
        sparsefast.omp(signals, dictionary, 3).values.sum().backward()
    assert {"sparsefast.omp.default", "sparsefast.least_squares_gradients.default"} <= set(seen.names)
    with NamedFunctions() as functions:
        sparsefast.omp(signals, dictionary, 3)
    assert "sparsefast.omp.default" in functions.names


def test_the_profiler_sees_the_operator() -> None:
    signals, dictionary = problem()
    with profile() as profiled:
        sparsefast.omp(signals, dictionary, 3)
    assert "sparsefast::omp" in {event.name for event in profiled.events()}


def test_without_them_it_is_not_entered_and_the_results_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def run() -> tuple[Any, torch.Tensor]:
        signals, dictionary = problem()
        code = sparsefast.omp(signals, dictionary, 3)
        code.values.square().sum().backward()
        assert dictionary.grad is not None
        return code, dictionary.grad

    code, gradient = run()
    assert "sparsefast" not in code.values.grad_fn.name()
    monkeypatch.setattr(torch_library, "_observed", lambda: True)
    seen, its_gradient = run()
    assert "sparsefast" in seen.values.grad_fn.name()
    for a, b in zip(torch_coders._fields(code), torch_coders._fields(seen), strict=True):
        assert torch.equal(a, b)
        assert a.requires_grad == b.requires_grad
    assert torch.equal(gradient, its_gradient)


def test_only_tensors_with_memory_of_their_own_go_without() -> None:
    x = torch.zeros(2, 3)

    class Sub(torch.Tensor):
        pass

    assert torch_library._tracked((x, None, 3)) is False
    assert torch_library._tracked((x.clone().requires_grad_(), "implicit")) is True
    assert torch_library._tracked((torch.nn.Parameter(x),)) is True
    with torch.no_grad():
        assert torch_library._tracked((torch.nn.Parameter(x),)) is False
    with torch.inference_mode():
        assert torch_library._tracked((torch.zeros(2), copy.copy(x))) is False
    for other in (x.to("meta"), x.as_subclass(Sub), torch._neg_view(x), x.to_sparse()):
        assert torch_library._tracked((x, other)) is None
