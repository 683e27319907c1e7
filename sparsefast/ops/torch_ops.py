"""The public ops for calls that PyTorch has to see: to differentiate, trace, batch or autocast them.

`hook.needs_torch` sends them here. The arguments are checked as on the direct path; what remains is to bring tensors
into the form of the operators in `torch_coders`: signals (N, F), float32 or float64. 16-bit tensors are converted, so
that coefficients are rounded once, after the backward pass has what it needs; under autocast all are float32, and the
codes too.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from sparsefast import arrays
from sparsefast.dispatch import COMPUTED_IN
from sparsefast.ops import signals as given
from sparsefast.ops import torch_coders, torch_decode
from sparsefast.ops.hook import needs_torch
from sparsefast.ops.iht import check_n_iterations, check_step
from sparsefast.ops.omp import row_of
from sparsefast.prepared import PreparedDictionary
from sparsefast.sparse_code import SparseCode


class _Call(NamedTuple):
    """The arrays of a call in the form of the operators, and what its result must look like."""

    op: str
    signals: Tensor  # (N, F)
    dictionary: Tensor  # (K, F)
    gram: Tensor | None
    prepared: PreparedDictionary | None
    batch: tuple[int, ...]
    narrow: torch.dtype | None  # the 16-bit dtype of the result
    n_atoms: int

    def run(self, operator: Any, *arguments: Any) -> Any:
        if self.prepared is None or torch.compiler.is_compiling():
            return operator(*arguments)
        with torch_coders.Lent(self.prepared, self.dictionary):
            return operator(*arguments)

    def shaped(self, x: Tensor, *more: int) -> Tensor:
        return x if len(self.batch) == 1 else x.reshape((*self.batch, *more))

    def narrowed(self, x: Tensor) -> Tensor:
        return x if self.narrow is None else x.to(self.narrow)

    def code(self, fields: tuple[Tensor, Tensor, Tensor, Tensor], n_nonzero: int) -> SparseCode:
        values, indices, counts, status = fields
        return SparseCode._make(
            self.shaped(indices, n_nonzero),
            self.shaped(self.narrowed(values), n_nonzero),
            self.shaped(counts),
            self.shaped(status),
            self.n_atoms,
        )


def _call(
    op: str,
    signals: Any,
    dictionary: Any,
    *,
    gram: Any = None,
    gradient: str = "implicit",
    name: str = "dictionary",
) -> _Call:
    given.check_gradient(op, gradient)
    prepared = None
    if isinstance(dictionary, PreparedDictionary):
        prepared = dictionary
        if gram is not None:
            given.check_signals(op, signals, dictionary, gram, name)  # refuses it
        dictionary = _tensor_of(prepared, op, name)
    if isinstance(signals, Tensor) and torch.is_autocast_enabled(signals.device.type):
        signals, dictionary, gram = _float32(signals), _float32(dictionary), _float32(gram)
    kind, _, dtype, n_atoms = given.check_signals(op, signals, dictionary, gram, name)
    if not isinstance(signals, Tensor):
        raise TypeError(f"{op}: signals is {kind.words}; under torch.compile and autocast it must be a PyTorch tensor")
    if gradient == "none":
        signals, dictionary = signals.detach(), dictionary.detach()
        gram = None if gram is None else gram.detach()
    _refuse_gradient(op, "gram", gram, "the gradient of the dictionary holds its part")
    narrow = signals.dtype if dtype in COMPUTED_IN else None
    if narrow is not None:
        signals, dictionary, gram = _float32(signals), _float32(dictionary), _float32(gram)
    batch = tuple(signals.shape[:-1])
    if len(batch) != 1:
        signals = signals.reshape(-1, signals.shape[-1])
    return _Call(op, signals, dictionary, gram, prepared, batch, narrow, n_atoms)


def _tensor_of(prepared: PreparedDictionary, op: str, name: str) -> Tensor:
    """The tensor that a dictionary was prepared from, or its copy as a tensor where it was an array or is not
    watched."""
    if isinstance(prepared.source, Tensor):
        return prepared.source
    if torch.compiler.is_compiling():
        raise TypeError(
            f"{op}: {name} is a PreparedDictionary with no PyTorch tensor behind it; under torch.compile pass a tensor"
        )
    # float32 holds 16-bit numbers exactly.
    return torch.from_numpy(prepared.current()).to(getattr(torch, prepared.dtype))


def _float32(x: Any) -> Any:
    """float16 and bfloat16 tensors in float32; anything else as it is."""
    narrow = isinstance(x, Tensor) and x.dtype in (torch.float16, torch.bfloat16)
    return x.to(torch.float32) if narrow else x


def _refuse_gradient(op: str, name: str, x: Tensor | None, why: str) -> None:
    if x is not None and x.requires_grad and torch.is_grad_enabled():
        raise ValueError(f"{op}: {name} requires grad, and has no gradient: {why}; pass {name}.detach()")


def _tolerance(call: _Call, tol: Any, gradient: str) -> tuple[float | None, Tensor | None]:
    """A tolerance as the operators take it: one for all signals, or a tensor (N,)."""
    if tol is None:
        return None, None
    if not isinstance(tol, Tensor):
        kind, dtype = arrays.kind_of(call.signals, call.op), str(call.signals.dtype)[6:]
        return float(given.check_tol(call.op, tol, call.signals, kind, dtype)), None
    if gradient != "none":
        _refuse_gradient(call.op, "tol", tol, "coefficients are differentiated with the support held fixed")
    if tol.device != call.signals.device:
        raise ValueError(f"{call.op}: signals is on {call.signals.device} and tol on {tol.device}; move one of them")
    if tol.dtype == torch.bool or tol.is_complex():
        raise TypeError(f"{call.op}: tol has dtype {tol.dtype}; it must be a real number for each signal")
    if tol.ndim and tuple(tol.shape) != call.batch:
        raise ValueError(
            f"{call.op}: tol has shape {tuple(tol.shape)}; it must be a number or have the signals' shape {call.batch}"
        )
    return None, tol.detach().to(call.signals.dtype).expand(call.batch).reshape(-1)


def omp(
    signals: Tensor,
    dictionary: Tensor | PreparedDictionary,
    n_nonzero: int,
    selection: str,
    positive: bool,
    tol: float | Tensor | None,
    gram: Tensor | None,
    gradient: str,
    backend: str | None,
    check_finite: bool,
) -> SparseCode:
    """`sparsefast.omp` on tensors."""
    row_of(selection, positive)
    call = _call("omp", signals, dictionary, gram=gram, gradient=gradient)
    n_nonzero = given.check_n_nonzero("omp", n_nonzero, call.n_atoms)
    tolerance = _tolerance(call, tol, gradient)
    out = call.run(
        torch_coders.omp, call.signals, call.dictionary, n_nonzero,
        selection, positive, *tolerance, call.gram, backend, check_finite,
    )  # fmt: skip
    return call.code(out, n_nonzero)


def omp_masked(
    signals: Tensor,
    mask: Tensor,
    dictionary: Tensor | PreparedDictionary,
    n_nonzero: int,
    tol: float | Tensor | None,
    gradient: str,
    backend: str | None,
    check_finite: bool,
) -> SparseCode:
    """`sparsefast.omp_masked` on tensors."""
    call = _call("omp_masked", signals, dictionary, gradient=gradient)
    n_nonzero = given.check_n_nonzero("omp_masked", n_nonzero, call.n_atoms)
    tolerance = _tolerance(call, tol, gradient)
    out = call.run(
        torch_coders.omp_masked, call.signals, _mask(call, mask), call.dictionary, n_nonzero,
        *tolerance, backend, check_finite,
    )  # fmt: skip
    return call.code(out, n_nonzero)


def _mask(call: _Call, mask: Any) -> Tensor:
    shape = (*call.batch, call.signals.shape[-1])
    if not isinstance(mask, Tensor):
        words = arrays.kind_of(mask, f"{call.op}: mask").words
        raise TypeError(f"{call.op}: signals is a PyTorch tensor and mask {words}; pass both as one kind")
    if mask.dtype != torch.bool:
        raise TypeError(f"{call.op}: mask has dtype {str(mask.dtype)[6:]}; it must be bool, True where it is known")
    if mask.device != call.signals.device:
        raise ValueError(f"{call.op}: signals is on {call.signals.device} and mask on {mask.device}; move one of them")
    try:
        return mask.expand(shape).reshape(-1, shape[-1])
    except RuntimeError:
        raise ValueError(
            f"{call.op}: mask has shape {tuple(mask.shape)}; it must broadcast to the signals' shape {shape}"
        ) from None


def iht(
    signals: Tensor,
    dictionary: Tensor | PreparedDictionary,
    n_nonzero: int,
    n_iterations: int,
    step: float | None,
    tol: float | Tensor | None,
    gram: Tensor | None,
    gradient: str,
    backend: str | None,
    check_finite: bool,
) -> SparseCode:
    """`sparsefast.iht` on tensors.

    gradient="implicit" is that of the least squares coefficients on the support that was found: exact where the
    iteration has converged, which makes its coefficients those of least squares.
    """
    call = _call("iht", signals, dictionary, gram=gram, gradient=gradient)
    n_nonzero = given.check_n_nonzero("iht", n_nonzero, call.n_atoms)
    n_iterations = check_n_iterations(n_iterations)
    check_step(step)
    tolerance = _tolerance(call, tol, gradient)
    out = call.run(
        torch_coders.iht, call.signals, call.dictionary, n_nonzero,
        n_iterations, step, *tolerance, call.gram, backend, check_finite,
    )  # fmt: skip
    return call.code(out, n_nonzero)


def topk(
    signals: Tensor,
    dictionary: Tensor | PreparedDictionary,
    n_nonzero: int,
    positive: bool,
    backend: str | None,
    check_finite: bool,
) -> SparseCode:
    """`sparsefast.topk` on tensors."""
    call = _call("topk", signals, dictionary)
    n_nonzero = given.check_n_nonzero("topk", n_nonzero, call.n_atoms)
    given.check_flag("topk", "positive", positive)
    out = call.run(torch_coders.topk, call.signals, call.dictionary, n_nonzero, positive, backend, check_finite)
    return call.code(out, n_nonzero)


def nearest_code(
    signals: Tensor, codebook: Tensor | PreparedDictionary, backend: str | None, check_finite: bool
) -> tuple[Tensor, Tensor]:
    """The (indices, distances) of `sparsefast.nearest_code` on tensors."""
    call = _call("nearest_code", signals, codebook, name="codebook")
    distances, indices = call.run(torch_coders.nearest_code, call.signals, call.dictionary, backend, check_finite)
    return call.shaped(indices), call.shaped(call.narrowed(distances))


def decode(code: SparseCode, dictionary: Tensor) -> Tensor:
    """`SparseCode.decode` on tensors, which have been checked: signals (..., n_features)."""
    values, dtype = code.values, code.values.dtype
    if dtype in (torch.float16, torch.bfloat16):
        values, dictionary = values.to(torch.float32), dictionary.to(torch.float32)
    n_nonzero, n_features = values.shape[-1], dictionary.shape[1]
    run = torch_decode.decode if needs_torch(values, dictionary) else torch_decode.run_decode
    out = run(values.reshape(-1, n_nonzero), code.indices.reshape(-1, n_nonzero), code.counts.reshape(-1), dictionary)
    return out.reshape((*code.shape, n_features)).to(dtype)
