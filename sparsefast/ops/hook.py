"""Whether a call must go through the ops that PyTorch knows (`torch_ops`), or may take the direct path."""

from __future__ import annotations

import sys
from typing import Any

from sparsefast.prepared import PreparedDictionary


def needs_torch(*arrays: Any, gradient: str = "implicit") -> bool:
    """Whether PyTorch has to see the op: to differentiate it, trace it, batch it or record it.

    An op calls this first, unless its signals are a NumPy array. torch.compile traces it.

    Parameters
    ----------
    *arrays : object
        All arguments of the op that may be tensors; a PreparedDictionary stands for the tensor that it was made from.
    gradient : {"implicit", "none"}
        "none": tensors that require grad are no reason.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        return False
    if torch.compiler.is_compiling() or torch._C._is_any_autocast_enabled() or torch._C._len_torch_dispatch_stack():
        return True
    if torch.autograd.forward_ad._current_level >= 0:
        return True
    recorded = gradient != "none" and torch.is_grad_enabled()
    transformed = torch._C._functorch.peek_interpreter_stack() is not None
    tensor, parameter = torch.Tensor, torch.nn.Parameter
    for x in arrays:
        if x is None:
            continue
        if type(x) is PreparedDictionary:
            x = x.source
        if type(x) is tensor or type(x) is parameter:
            if (recorded and x.requires_grad) or (transformed and torch._C._functorch.is_functorch_wrapped_tensor(x)):
                return True
        elif isinstance(x, tensor):
            return True
    return False
