"""The arguments of a case in another form: strides, alignment, batch dimensions, 16 bits, tensors, and prepared."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

import sparsefast
from tests.properties.calls import TAKES_GRAM
from tests.properties.strategies import COMPUTED_IN, Case, Recipe, round_to


def laid_out(x: np.ndarray, layout: str) -> np.ndarray:
    """The same numbers, lying in memory in another way."""
    if layout == "Fortran":
        return np.asfortranarray(x)
    if layout == "every second":
        wide = np.ones((*x.shape[:-1], 2 * x.shape[-1]), x.dtype)
        wide[..., ::2] = x
        return wide[..., ::2]
    if layout == "backwards":
        return np.flip(np.flip(x).copy())
    if layout == "unaligned":
        odd = np.empty(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
        odd[...] = x
        return odd
    if layout == "read-only":
        frozen = x.copy()
        frozen.flags.writeable = False
        return frozen
    if layout == "repeated" and x.size:
        return np.broadcast_to(x.reshape(-1, x.shape[-1])[0], x.shape)
    return x


def batch_of(pattern: str, n_signals: int) -> tuple[tuple[int, ...], Any]:
    """A shape of the batch, and which of the signals are in it."""
    everything = slice(None)
    if pattern == "alone" and n_signals:
        return (), slice(0, 1)
    if pattern == "row":
        return (1, n_signals), everything
    if pattern == "column":
        return (n_signals, 1), everything
    if pattern == "halves":
        return (2, n_signals // 2), slice(0, n_signals // 2 * 2)
    return (n_signals,), everything


def with_gram(recipe: Recipe, case: Case) -> Case:
    """The Gram matrix as a caller would compute it, infinite where it is too large for the dtype."""
    with np.errstate(all="ignore"):
        wide = case.dictionary.astype(np.float64)
        return replace(case, gram=round_to(wide @ wide.T, recipe.dtype).astype(case.dictionary.dtype))


def formed(op: str, recipe: Recipe, case: Case, batch: tuple[int, ...]) -> tuple[Case, dict[str, Any]]:
    """The case with its signals as a batch of this shape, in the form that the recipe asks for; and the gram, where it
    is an argument of the call."""
    shape = (*batch, case.signals.shape[1])
    signals = _array(laid_out(_narrow(case.signals.reshape(shape), recipe), recipe.layout), recipe)
    dictionary = _array(laid_out(_narrow(case.dictionary, recipe), recipe.atom_layout), recipe)
    gram = None
    if case.gram is not None and op in TAKES_GRAM:
        gram = _array(laid_out(_narrow(case.gram, recipe), recipe.atom_layout), recipe)
    tol = case.tol
    if isinstance(tol, np.ndarray):
        tol = laid_out(tol.reshape(batch), recipe.layout if batch and recipe.layout != "repeated" else "C")
        tol = torch.from_numpy(tol.copy()) if recipe.in_torch else tol
    more = {} if gram is None else {"gram": gram}
    if recipe.prepared:
        dictionary, more = sparsefast.prepare(dictionary, gram), {}
    mask = _mask(recipe, case.mask, shape)
    return replace(case, signals=signals, dictionary=dictionary, tol=tol, mask=mask), more


def _narrow(x: np.ndarray, recipe: Recipe) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):
        return x.astype(np.float16) if recipe.dtype == "float16" else x


def _array(x: np.ndarray, recipe: Recipe) -> Any:
    if not recipe.in_torch:
        return x
    backwards = any(stride < 0 for stride in x.strides)  # which tensors cannot be
    tensor = torch.from_numpy(x.copy() if backwards else x)
    return tensor.to(torch.bfloat16) if recipe.dtype == "bfloat16" else tensor


def _mask(recipe: Recipe, mask: np.ndarray, shape: tuple[int, ...]) -> Any:
    """The smallest mask that broadcasts to the given one, or all of it in a layout."""
    pattern = recipe.mask
    if pattern in ("all", "nothing"):
        small = np.full(shape[-1:], pattern == "all")
    elif pattern == "of the features" and len(mask):
        small = laid_out(mask[0], recipe.atom_layout)
    elif pattern == "of the signals":
        small = mask[:, :1].reshape((*shape[:-1], 1))
    else:
        small = laid_out(mask.reshape(shape), recipe.atom_layout)
    return torch.from_numpy(small.copy()) if recipe.in_torch else small


def bits(case: Case, more: dict[str, Any]) -> list[bytes]:
    """What the arguments hold, to see that a call leaves them alone."""
    arrays = [case.signals, case.tol, case.mask, *more.values()]
    if not isinstance(case.dictionary, sparsefast.PreparedDictionary):
        arrays.append(case.dictionary)
    return [_bytes(x) for x in arrays if isinstance(x, np.ndarray | torch.Tensor)]


def _bytes(x: Any) -> bytes:
    if isinstance(x, np.ndarray):
        return x.tobytes()
    return (x.view(torch.int16) if x.dtype == torch.bfloat16 else x).numpy().tobytes()


def narrowed(x: np.ndarray, dtype: str) -> np.ndarray:
    """Float32 numbers rounded once to 16 bits, bfloat16 in float32."""
    if COMPUTED_IN[dtype] == dtype:
        return x
    if dtype == "bfloat16":
        return torch.from_numpy(x).to(torch.bfloat16).float().numpy()
    with np.errstate(over="ignore", under="ignore"):
        return x.astype(np.float16)
