"""The operators that PyTorch knows, `torch.ops.sparsefast`: how one is defined, and how it is batched by vmap.

They are defined from Python (torch.library), so that the compiled modules know no PyTorch. An operator works on
signals (N, F) and returns new tensors; it computes below autograd, and what its gradient is it says in a formula.
Those without a formula raise when they are differentiated: see `define`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

LIBRARY = torch.library.Library("sparsefast", "DEF")


def define(
    schema: str,
    implementation: Callable[..., Any],
    fake: Callable[..., Any],
    *,
    batch: Callable[..., Any],
    backward: Callable[..., Any] | None = None,
    save: Callable[..., None] | None = None,
) -> Any:
    """Define an operator for all devices.

    Parameters
    ----------
    schema : str
        As in native_functions.yaml. Floating outputs first: with an integer output first, AOTAutograd finds nothing
        to differentiate.
    implementation, fake : callable
        The computation, and the same on tensors that have shapes but no memory.
    batch : callable
        The rule for vmap: see `per_signal` and `loop`.
    backward, save : callable, optional
        The gradient: `backward` and `setup_context` of torch.library.register_autograd. Without them differentiating
        the outputs raises.

    Returns
    -------
    callable
        Calls the operator, with positional arguments only. Inside the transforms of torch.func it goes through an
        autograd.Function with the same formulas, because operators defined from Python know nothing of them.
    """
    name = schema.partition("(")[0]
    qualified = f"sparsefast::{name}"

    def refuse(ctx: Any, *grads: Any) -> Any:
        raise NotImplementedError(
            f"sparsefast: {name} cannot be differentiated: the sparse coders have first derivatives only. "
            "Leave out create_graph=True, or detach what is differentiated twice"
        )

    formula = backward or refuse
    LIBRARY.define(schema, tags=(torch.Tag.pt2_compliant_tag,))
    LIBRARY.impl(name, implementation, "CompositeExplicitAutograd")
    operator = getattr(torch.ops.sparsefast, name).default

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(*args: Any) -> Any:
            return operator(*args)

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            if save is not None:
                save(ctx, inputs, output)

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            return formula(ctx, *grads)

        @staticmethod
        def jvp(ctx: Any, *tangents: Any) -> Any:
            raise NotImplementedError(
                f"sparsefast: {name} has no forward-mode derivative; use torch.func.grad or jacrev"
            )

        @staticmethod
        def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
            return batch(call, info, in_dims, args)

    class Direct(torch.autograd.Function):
        """The same formulas around the computation itself. The operator takes several times as long to enter, which
        only those need who look at operators."""

        @staticmethod
        def forward(ctx: Any, *args: Any) -> Any:
            output = implementation(*args)
            if save is not None:
                save(ctx, args, output)
            return output

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            return formula(ctx, *grads)

    def call(*args: Any) -> Any:
        if torch.compiler.is_compiling():
            return operator(*args)
        if _is_transformed():
            return Function.apply(*args)
        tracked = _tracked(args)
        if tracked is None:
            return operator(*args)
        return Direct.apply(*args) if tracked else implementation(*args)

    torch.library.register_fake(qualified, fake, lib=LIBRARY)
    torch.library.register_autograd(qualified, formula, setup_context=save, lib=LIBRARY)
    torch.library.register_vmap(qualified, Function.vmap, lib=LIBRARY)
    return call


def _is_transformed() -> bool:
    """Whether the call stands inside grad, vmap or their like, or in forward mode, which a Function refuses."""
    return torch._C._functorch.peek_interpreter_stack() is not None or forward_ad._current_level >= 0


def _tracked(args: tuple[Any, ...]) -> bool | None:
    """Whether autograd has to record a call with these arguments; None where others have to see the operator: modes,
    the profiler, and tensors that are more, or less, than memory of a CPU or a GPU."""
    if _observed():
        return None
    recorded, enabled = False, torch.is_grad_enabled()
    for x in args:
        if type(x) in _TYPES:
            if torch._C._dispatch_keys(x).raw_repr() not in _KEYS:
                return None
            recorded |= enabled and x.requires_grad
        elif type(x) not in _OTHERS and isinstance(x, Tensor):
            return None
    return recorded


def _keys_of_plain_tensors() -> set[int]:
    """What the dispatcher goes by, of tensors on a CPU and on a GPU, outside of inference mode and inside."""
    names = torch._C.DispatchKey
    keys = set()
    for backend in ("CPU", "CUDA"):
        inference = torch._C.DispatchKeySet(getattr(names, backend)).add(getattr(names, "Autocast" + backend))
        usual = inference.add(getattr(names, "Autograd" + backend)).add(names.ADInplaceOrView)
        keys |= {inference.raw_repr(), usual.raw_repr()}
    return keys


_TYPES = frozenset((Tensor, torch.nn.Parameter))
_OTHERS = frozenset((type(None), bool, int, float, str))
_KEYS = _keys_of_plain_tensors()


def _observed() -> bool:
    """Whether anything looks at operators as they are called."""
    native = torch._C
    return bool(
        native._len_torch_dispatch_stack()
        or native._is_torch_function_mode_enabled()
        or native._get_tracing_state() is not None
        or native._autograd._profiler_enabled()
    )


def flatten(x: Tensor, dim: int | None, batch_size: int) -> Tensor:
    """x with the batch dimension `dim`, or without one, as one tensor of batch_size times its rows."""
    x = x.expand(batch_size, *x.shape) if dim is None else x.movedim(dim, 0)
    return x.reshape(-1, *x.shape[2:])


def unflatten(x: Tensor, batch_size: int) -> Tensor:
    """The other way round, with the batch dimension first."""
    return x.reshape(batch_size, x.shape[0] // batch_size, *x.shape[1:])


def per_signal(
    positions: Sequence[int], unless: Callable[..., bool] | None = None
) -> Callable[[Any, Any, Any, Any], Any]:
    """The rule for an operator that treats each signal alone: the batch becomes more signals.

    Parameters
    ----------
    positions : sequence of int
        The arguments, and all outputs, whose rows are signals. Where another argument is batched, the operator is
        called once for each element instead.
    unless : callable, optional
        Whether a call with these arguments has outputs that are sums over signals, so that it must be looped too.
    """

    def rule(op: Any, info: Any, in_dims: Any, args: Any) -> Any:
        others = any(dim is not None for i, dim in enumerate(in_dims) if i not in positions)
        if others or (unless is not None and unless(*args)):
            return loop(op, info, in_dims, args)
        size = info.batch_size
        flat = (flatten(x, in_dims[i], size) if i in positions and x is not None else x for i, x in enumerate(args))
        out = op(*flat)
        if isinstance(out, Tensor):
            return unflatten(out, size), 0
        return tuple(unflatten(x, size) for x in out), (0,) * len(out)

    return rule


def loop(op: Any, info: Any, in_dims: Any, args: Any) -> Any:
    """The rule that always holds: one call for each element of the batch."""
    calls = [
        # The dimensions of a list of numbers are a list of None.
        op(*(x.select(dim, b) if isinstance(dim, int) else x for x, dim in zip(args, in_dims, strict=True)))
        for b in range(info.batch_size)
    ]
    if isinstance(calls[0], Tensor):
        return torch.stack(calls), 0
    return tuple(torch.stack(outs) for outs in zip(*calls, strict=True)), (0,) * len(calls[0])
