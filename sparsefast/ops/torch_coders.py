"""The sparse coders as operators that PyTorch differentiates, traces and batches.

Each runs the same kernels as the direct path. Their values are differentiated with the support held fixed: those of the
least squares coders by `gradients`, the correlations of top-k by the products in `torch_decode`. Tolerances and Gram
matrices are no variables.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sparsefast import arrays, prepared
from sparsefast.ops import gradients
from sparsefast.ops.iht import run_iht
from sparsefast.ops.nearest_code import run_nearest_code
from sparsefast.ops.omp import run_omp
from sparsefast.ops.omp_masked import run_omp_masked
from sparsefast.ops.topk import run_topk
from sparsefast.ops.torch_decode import accumulate, decode, without_padding
from sparsefast.ops.torch_library import define, per_signal

arrays.torch_ready()  # before anything is traced, which could not run it
_memory = arrays.torch_ready().memory
_lent = threading.local()

# What follows the arrays in the schemas of the coders.
_CODE = "(Tensor values, Tensor indices, Tensor counts, Tensor status)"


class Lent:
    """Inside the block, operators of this thread that are given `tensor` use the layouts of the PreparedDictionary,
    which no schema can name, and do not pack it anew."""

    __slots__ = ("_dictionary", "_tensor")

    def __init__(self, dictionary: prepared.PreparedDictionary, tensor: Tensor) -> None:
        self._dictionary, self._tensor = dictionary, tensor

    def __enter__(self) -> None:
        _lent.dictionary, _lent.tensor = self._dictionary, self._tensor

    def __exit__(self, *error: object) -> None:
        _lent.dictionary = _lent.tensor = None


def _packed(tensor: Tensor) -> Any:
    dictionary = getattr(_lent, "dictionary", None)
    if dictionary is None:
        return tensor
    # Transforms and autograd hand on the tensor itself or another one of the same memory.
    return dictionary if tensor is _lent.tensor or _memory(tensor) == _memory(_lent.tensor) else tensor


def _fields(code: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return code.values, code.indices, code.counts, code.status


def _code_like(signals: Tensor, n_nonzero: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    n = signals.shape[0]
    return (
        signals.new_empty((n, n_nonzero)),
        signals.new_empty((n, n_nonzero), dtype=torch.int64),
        signals.new_empty((n,), dtype=torch.int32),
        signals.new_empty((n,), dtype=torch.uint8),
    )


def _omp(
    signals: Tensor,
    dictionary: Tensor,
    n_nonzero: int,
    selection: str,
    positive: bool,
    tol: float | None,
    tols: Tensor | None,
    gram: Tensor | None,
    backend: str | None,
    check_finite: bool,
) -> Any:
    limit = tol if tols is None else tols
    atoms = _packed(dictionary)
    return _fields(run_omp(signals, atoms, n_nonzero, selection, positive, limit, gram, backend, check_finite))


def _omp_masked(
    signals: Tensor,
    mask: Tensor,
    dictionary: Tensor,
    n_nonzero: int,
    tol: float | None,
    tols: Tensor | None,
    backend: str | None,
    check_finite: bool,
) -> Any:
    limit = tol if tols is None else tols
    return _fields(run_omp_masked(signals, mask, _packed(dictionary), n_nonzero, limit, backend, check_finite))


def _iht(
    signals: Tensor,
    dictionary: Tensor,
    n_nonzero: int,
    n_iterations: int,
    step: float | None,
    tol: float | None,
    tols: Tensor | None,
    gram: Tensor | None,
    backend: str | None,
    check_finite: bool,
) -> Any:
    limit = tol if tols is None else tols
    atoms = _packed(dictionary)
    return _fields(run_iht(signals, atoms, n_nonzero, n_iterations, step, limit, gram, backend, check_finite))


def _topk(
    signals: Tensor, dictionary: Tensor, n_nonzero: int, positive: bool, backend: str | None, check_finite: bool
) -> Any:
    return _fields(run_topk(signals, _packed(dictionary), n_nonzero, positive, backend, check_finite))


def _nearest_code(signals: Tensor, codebook: Tensor, backend: str | None, check_finite: bool) -> Any:
    indices, distances = run_nearest_code(signals, _packed(codebook), backend, check_finite)
    return distances, indices


def _least_squares_fake(
    grad: Tensor,
    signals: Tensor,
    mask: Tensor | None,
    dictionary: Tensor,
    values: Tensor,
    indices: Tensor,
    counts: Tensor,
    of_signals: bool,
    of_dictionary: bool,
) -> Any:
    return _gradients_like(signals, of_signals), _gradients_like(dictionary, of_dictionary)


def _distance_fake(
    grad: Tensor,
    signals: Tensor,
    codebook: Tensor,
    indices: Tensor,
    distances: Tensor,
    of_signals: bool,
    of_codebook: bool,
) -> Any:
    return _gradients_like(signals, of_signals), _gradients_like(codebook, of_codebook)


def _gradients_like(x: Tensor, wanted: bool) -> Tensor:
    return x.new_empty(x.shape if wanted else (0,))


def _save_for_least_squares(signals: int, dictionary: int, mask: int | None = None) -> Callable[..., None]:
    """What the gradient needs, from the places of the arrays among the arguments."""

    def save(ctx: Any, inputs: Any, output: Any) -> None:
        values, indices, counts, _ = output
        ctx.places = signals, dictionary, len(inputs)
        ctx.save_for_backward(
            inputs[signals], None if mask is None else inputs[mask], inputs[dictionary], values, indices, counts
        )

    return save


def _placed(ctx: Any, of_signals: Tensor, of_dictionary: Tensor) -> tuple[Tensor | None, ...]:
    """The gradients at the places of the arguments; None for those that are not asked for."""
    at_signals, at_dictionary, n_arguments = ctx.places
    grads: list[Tensor | None] = [None] * n_arguments
    if ctx.needs_input_grad[at_signals]:
        grads[at_signals] = of_signals
    if ctx.needs_input_grad[at_dictionary]:
        grads[at_dictionary] = of_dictionary
    return tuple(grads)


def _wanted(ctx: Any) -> tuple[bool, bool]:
    return ctx.needs_input_grad[ctx.places[0]], ctx.needs_input_grad[ctx.places[1]]


def _least_squares_backward(ctx: Any, grad: Tensor, *_: Any) -> Any:
    return _placed(ctx, *least_squares_gradients(grad, *ctx.saved_tensors, *_wanted(ctx)))


def _topk_save(ctx: Any, inputs: Any, output: Any) -> None:
    values, indices, counts, _ = output
    ctx.places = 0, 1, len(inputs)
    ctx.save_for_backward(inputs[0], inputs[1], indices, counts, values[:, :1].isnan())


def _topk_backward(ctx: Any, grad: Tensor, *_: Any) -> Any:
    signals, dictionary, indices, counts, nonfinite = ctx.saved_tensors
    of_signals = of_dictionary = grad
    if ctx.needs_input_grad[0]:
        of_signals = decode(without_padding(grad, indices, counts), indices, counts, dictionary)
        of_signals = of_signals.masked_fill(nonfinite, torch.nan)
    if ctx.needs_input_grad[1]:
        of_dictionary = accumulate(grad, indices, counts, signals, dictionary.shape[0])
    return _placed(ctx, of_signals, of_dictionary)


def _nearest_save(ctx: Any, inputs: Any, output: Any) -> None:
    distances, indices = output
    ctx.places = 0, 1, len(inputs)
    ctx.save_for_backward(inputs[0], inputs[1], indices, distances)


def _nearest_backward(ctx: Any, grad: Tensor, *_: Any) -> Any:
    return _placed(ctx, *distance_gradients(grad, *ctx.saved_tensors, *_wanted(ctx)))


least_squares_gradients = define(
    "least_squares_gradients(Tensor grad, Tensor signals, Tensor? mask, Tensor dictionary, Tensor values, "
    "Tensor indices, Tensor counts, bool of_signals, bool of_dictionary) -> (Tensor, Tensor)",
    gradients.least_squares_gradients,
    _least_squares_fake,
    batch=per_signal((0, 1, 2, 4, 5, 6), unless=lambda *args: args[8]),
)
distance_gradients = define(
    "distance_gradients(Tensor grad, Tensor signals, Tensor codebook, Tensor indices, Tensor distances, "
    "bool of_signals, bool of_codebook) -> (Tensor, Tensor)",
    gradients.distance_gradients,
    _distance_fake,
    batch=per_signal((0, 1, 3, 4), unless=lambda *args: args[6]),
)
omp = define(
    "omp(Tensor signals, Tensor dictionary, SymInt n_nonzero, str selection, bool positive, float? tol, "
    f"Tensor? tols, Tensor? gram, str? backend, bool check_finite) -> {_CODE}",
    _omp,
    lambda signals, dictionary, n_nonzero, *_: _code_like(signals, n_nonzero),
    batch=per_signal((0, 6)),
    backward=_least_squares_backward,
    save=_save_for_least_squares(signals=0, dictionary=1),
)
omp_masked = define(
    "omp_masked(Tensor signals, Tensor mask, Tensor dictionary, SymInt n_nonzero, float? tol, Tensor? tols, "
    f"str? backend, bool check_finite) -> {_CODE}",
    _omp_masked,
    lambda signals, mask, dictionary, n_nonzero, *_: _code_like(signals, n_nonzero),
    batch=per_signal((0, 1, 5)),
    backward=_least_squares_backward,
    save=_save_for_least_squares(signals=0, dictionary=2, mask=1),
)
iht = define(
    "iht(Tensor signals, Tensor dictionary, SymInt n_nonzero, SymInt n_iterations, float? step, float? tol, "
    f"Tensor? tols, Tensor? gram, str? backend, bool check_finite) -> {_CODE}",
    _iht,
    lambda signals, dictionary, n_nonzero, *_: _code_like(signals, n_nonzero),
    batch=per_signal((0, 6)),
    backward=_least_squares_backward,
    save=_save_for_least_squares(signals=0, dictionary=1),
)
topk = define(
    "topk(Tensor signals, Tensor dictionary, SymInt n_nonzero, bool positive, str? backend, bool check_finite) "
    f"-> {_CODE}",
    _topk,
    lambda signals, dictionary, n_nonzero, *_: _code_like(signals, n_nonzero),
    batch=per_signal((0,)),
    backward=_topk_backward,
    save=_topk_save,
)
nearest_code = define(
    "nearest_code(Tensor signals, Tensor codebook, str? backend, bool check_finite) "
    "-> (Tensor distances, Tensor indices)",
    _nearest_code,
    lambda signals, *_: (
        signals.new_empty(signals.shape[:1]),
        signals.new_empty(signals.shape[:1], dtype=torch.int64),
    ),
    batch=per_signal((0,)),
    backward=_nearest_backward,
    save=_nearest_save,
)
