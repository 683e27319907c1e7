"""Who takes part: a name, how it is called, and how its result is read."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from sparsefast.bench.contender import instruction_set
from sparsefast.bench.ksvd.case import Given
from sparsefast.bench.ksvd.variant import Variant


@dataclass(frozen=True)
class Bound:
    """A contender with what it is given."""

    call: Callable[[], Any]
    ready: Callable[[], Any] = lambda: None
    """Called before each call, before the clock starts: fresh copies for whoever works in place."""


@dataclass(frozen=True)
class Contender:
    """Somebody who updates dictionaries: us with some backend, or a peer."""

    name: str
    version: str
    bind: Callable[[Given], Bound]
    """Only changes of layout and of dtype may happen in it."""
    decode: Callable[[Any, Given], Any]
    ours: bool = False
    note: str = ""
    fault: str = ""
    """What is known to be wrong with this peer. It is checked like all, and does not fail the command."""
    around: Callable[[], AbstractContextManager[Any]] = contextlib.nullcontext


def ours(
    variant: Variant, backends: Sequence[str], isas: Sequence[str] = (), dtype: str = "float32"
) -> tuple[list[Contender], list[tuple[str, str]]]:
    """Our contenders and those that are absent, with the reason. The backend that `auto` takes is called from the
    defaults."""
    from sparsefast import _native, dispatch

    found, absent = [], []
    known = variant.op in dispatch.op_names()
    here = dispatch.backends(variant.op, device="cpu", dtype=dtype) if known else []
    for name in backends:
        if name not in here:
            reason = dispatch.why_not(variant.op, name, "cpu", dtype) if known else "the op is not there"
            absent.append((f"sparsefast {name}", str(reason)))
            continue
        asked = None if name == here[0] else name
        found.append(_ours(variant, f"sparsefast {name}", asked))
        if name == "cpu":
            usable = _native.module.isas() if _native.module is not None else []
            for isa in isas:
                if isa in usable:
                    around = functools.partial(instruction_set, isa)
                    found.append(_ours(variant, f"sparsefast cpu {isa}", asked, around))
                else:
                    absent.append((f"sparsefast cpu {isa}", f"this machine and build have {', '.join(usable)}"))
    return found, absent


def _ours(
    variant: Variant,
    name: str,
    backend: str | None,
    around: Callable[[], AbstractContextManager[Any]] = contextlib.nullcontext,
) -> Contender:
    import sparsefast

    def bind(given: Given) -> Bound:
        return Bound(functools.partial(variant.call, given, backend))

    return Contender(name, sparsefast.__version__, bind, variant.decode, ours=True, around=around)
