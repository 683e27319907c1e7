"""Who takes part: a name, how it is called, and how its answer is read."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

from sparsefast.bench.contender import instruction_set
from sparsefast.bench.patches.given import Given
from sparsefast.bench.patches.variant import Variant


def unchanged(result: Any, given: Given) -> Any:
    return result


@dataclass(frozen=True)
class Contender:
    """Somebody who unfolds or folds: us with some backend, or a peer."""

    name: str
    version: str
    bind: Callable[[Given], Callable[[], Any]]
    """The call that is timed. Only changes of layout, and what depends on sizes alone, may happen before it."""
    decode: Callable[[Any, Given], Any] = unchanged
    """The result as a sequence over images, each as ours is."""
    ours: bool = False
    note: str = ""
    sums: bool = False
    """It sums where a mean was asked for, and is held to that."""
    uncovered: bool = True
    """Whether it writes 0 where no patch reaches."""
    most: int | None = None
    """Of how many images it is called at most, where it takes long."""
    around: Callable[[], AbstractContextManager[Any]] = contextlib.nullcontext
    before: Callable[[], Any] = lambda: None
    """Called before each call, before the clock starts."""


def ours(
    variant: Variant, backends: Sequence[str], isas: Sequence[str] = (), device: str = "cpu", dtype: str = "float32"
) -> tuple[list[Contender], list[tuple[str, str]]]:
    """Our contenders on that type of device, and those that are absent, with the reason.

    On the CPU the backend that `auto` takes is called from the defaults, as `sparsefast.unfold(images, 8)`.
    """
    from sparsefast import _native, dispatch

    found, absent = [], []
    known = variant.op in dispatch.op_names()
    here = dispatch.backends(variant.op, device=device, dtype=dtype) if known else []
    for name in backends:
        if name not in here:
            reason = dispatch.why_not(variant.op, name, device, dtype) if known else "the op is not there"
            absent.append((f"sparsefast {name}", str(reason)))
            continue
        asked = None if device == "cpu" and name == here[0] else name
        who = _ours(variant, f"sparsefast {name}", asked)
        found.append(who)
        if device != "cpu":
            continue
        if name == here[0] and not variant.out:
            found.append(_with_nothing_kept(who))
        if name == "cpu" and isas:
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

    bind = functools.partial(bound, variant, backend)
    return Contender(name, sparsefast.__version__, bind, ours=True, around=around)


def _with_nothing_kept(who: Contender) -> Contender:
    """The same without what earlier calls have left, blocks of memory above all: as a first call finds it."""
    import sparsefast

    name, note = f"{who.name} nothing kept", "release_memory() before the clock started"
    return replace(who, name=name, note=note, before=sparsefast.release_memory)


def bound(variant: Variant, backend: str | None, given: Given) -> Callable[[], Any]:
    """Our function on a batch."""
    import sparsefast

    api: Any = sparsefast
    case = given.case
    options: dict[str, Any] = {"layout": given.layout}
    options |= {"backend": backend} if backend is not None else {}
    if case.scattered:
        options["centers"] = given.centers
    else:
        options |= {"stride": case.stride, "border": case.border}
    if variant.op == "unfold":
        options |= {"out": given.out} if variant.out else {}
        return functools.partial(api.unfold, given.images, case.patch, **options)
    if variant.weights != "uniform":
        options["weights"] = variant.weights
    if not variant.normalize:
        options["normalize"] = False
    return functools.partial(api.fold, given.patches, case.size, case.patch, **options)
