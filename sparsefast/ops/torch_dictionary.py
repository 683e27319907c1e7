"""Dictionary learning as operators that PyTorch traces and batches. None has a gradient: results are detached.

`hook.needs_torch` sends calls here; the arguments are checked where the operators run, and where they are traced.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sparsefast import arrays
from sparsefast.ops.ksvd_update import METHODS, DictionaryUpdate, run_ksvd_update
from sparsefast.ops.mod_update import run_mod_update
from sparsefast.ops.torch_library import define, loop
from sparsefast.prepared import PreparedDictionary
from sparsefast.sparse_code import SparseCode

arrays.torch_ready()  # before anything is traced, which could not run it

_MOD = "mod"


def _updated(
    signals: Tensor,
    dictionary: Tensor,
    values: Tensor,
    indices: Tensor,
    counts: Tensor,
    method: str,
    parallel: bool,
    backend: str | None,
    check_finite: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    code = SparseCode._make(indices, values, counts, counts, dictionary.shape[0])
    if method == _MOD:
        update = run_mod_update(signals, dictionary, code, backend, check_finite)
    else:
        update = run_ksvd_update(signals, dictionary, code, method, parallel, backend, check_finite)
    return update.dictionary, update.code.values, update.errors, update.usage


def _updated_like(signals: Tensor, dictionary: Tensor, values: Tensor, *_: Any) -> tuple[Tensor, ...]:
    return (
        dictionary.new_empty(dictionary.shape),
        values.new_empty(values.shape),
        signals.new_empty(signals.shape[:-1]),
        signals.new_empty((dictionary.shape[0],), dtype=torch.int64),
    )


_update = define(
    "dictionary_update(Tensor signals, Tensor dictionary, Tensor values, Tensor indices, Tensor counts, str method, "
    "bool parallel, str? backend, bool check_finite) -> (Tensor, Tensor, Tensor, Tensor)",
    _updated,
    _updated_like,
    batch=loop,
)


def dictionary_update(
    op: str,
    signals: Any,
    dictionary: Any,
    code: SparseCode,
    method: str,
    parallel: bool,
    backend: str | None,
    check_finite: bool,
) -> DictionaryUpdate:
    """`ksvd_update`, or with method "mod" `mod_update`, on tensors."""
    if method not in (*METHODS, _MOD):
        raise ValueError(f"{op}: method={method!r}; it must be one of {', '.join(METHODS)}")
    if isinstance(dictionary, PreparedDictionary):
        source = dictionary.source
        dictionary = source if isinstance(source, Tensor) else dictionary.current()
    if not isinstance(code, SparseCode):
        raise TypeError(f"{op}: code is a {type(code).__name__}; it must be a SparseCode, as omp returns")
    for name, x in (("signals", signals), ("dictionary", dictionary), ("code.values", code.values)):
        if not isinstance(x, Tensor):
            raise TypeError(f"{op}: {name} must be a PyTorch tensor here, as signals, dictionary and code all must be")
    x, d, values = signals.detach(), dictionary.detach(), code.values.detach()
    if torch.is_autocast_enabled(x.device.type):
        x, d, values = (t.float() if t.dtype in (torch.float16, torch.bfloat16) else t for t in (x, d, values))
    if code.n_atoms != d.shape[0]:
        raise ValueError(
            f"{op}: code is of {code.n_atoms} atoms and dictionary has {d.shape[0]}; they must be the same"
        )
    atoms, new, errors, usage = _update(
        x, d, values, code.indices, code.counts, method, parallel, backend, check_finite
    )
    return DictionaryUpdate(
        atoms, SparseCode._make(code.indices, new, code.counts, code.status, code.n_atoms), errors, usage
    )


def _online(a: Tensor, b: Tensor, dictionary: Tensor, n_iterations: int, sphere: bool, backend: str | None) -> Tensor:
    from sparsefast.ops.online_update import run_online_update

    return run_online_update(a, b, dictionary, n_iterations, sphere, backend)


online_update = define(
    "online_update(Tensor a, Tensor b, Tensor dictionary, SymInt n_iterations, bool sphere, str? backend) -> Tensor",
    _online,
    lambda a, b, dictionary, *_: dictionary.new_empty(dictionary.shape),
    batch=loop,
)
