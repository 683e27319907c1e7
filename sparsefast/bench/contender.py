"""What takes part in a benchmark: a name, how it is called, and how its answer is read."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sparsefast.bench.case import Problem
from sparsefast.bench.checks import Code, Terms

if TYPE_CHECKING:
    from sparsefast.bench.variant import Variant

TERMS = Terms()
# (problem, threads) -> the call that is timed. Only changes of layout may happen before it.
Bind = Callable[[Problem, int], Callable[[], Any]]


@dataclass(frozen=True)
class Contender:
    """Somebody who codes signals: us with some backend, or a peer."""

    name: str
    version: str
    bind: Bind
    decode: Callable[[Any, Problem], Code]
    terms: Terms = TERMS
    """What its own definition allows it."""
    ours: bool = False
    note: str = ""
    fault: str = ""
    """What is known to be wrong with this peer. It is checked like all, and does not fail the command."""
    around: Callable[[], AbstractContextManager[Any]] = contextlib.nullcontext


class Absent(Exception):
    """A contender that cannot take part here, with the reason."""


def version_of(*distributions: str) -> str:
    """The version of the first of these distributions that is installed, or ''."""
    for name in distributions:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(name)
    return ""


def need(module: str, install: str) -> Any:
    """Import a module, or say how to get it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and error.name == module.partition(".")[0]:
            raise Absent(f"not installed (pip install {install})") from None
        raise Absent(f"cannot be imported: {error}") from None


@contextlib.contextmanager
def thread_limit(n_threads: int) -> Iterator[None]:
    """Run the body with n_threads threads in sparsefast, torch and every BLAS and OpenMP runtime that is loaded."""
    import sys

    import sparsefast

    torch: Any = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else None
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(ImportError):
            stack.enter_context(importlib.import_module("threadpoolctl").threadpool_limits(n_threads))
        if torch:
            torch.set_num_threads(n_threads)
            stack.callback(torch.set_num_threads, before)
        sparsefast.set_num_threads(n_threads)
        stack.callback(sparsefast.set_num_threads, None)
        yield


@contextlib.contextmanager
def instruction_set(name: str) -> Iterator[None]:
    """Run the body with the C++ kernels of one instruction set."""
    from sparsefast import _native

    native: Any = _native.module
    before = native.isa()
    native.set_isa(name)
    try:
        yield
    finally:
        native.set_isa(before)


def ours(variant: Variant, backends: list[str], isas: list[str]) -> tuple[list[Contender], list[tuple[str, str]]]:
    """Our contenders and those that are absent, with the reason.

    The backend that `auto` takes is called from the defaults, as `sparsefast.omp(signals, dictionary, n_nonzero)`.
    """
    from sparsefast import _native

    here = available(variant.name)
    found, absent = [], []
    for name in backends:
        if name not in here:
            absent.append((f"sparsefast {name}", _why_not(variant.name, name)))
            continue
        asked = None if name == here[0] else name
        found.append(_ours(variant, f"sparsefast {name}", asked))
        if asked is None and variant.prepared:
            found.append(_ours(variant, f"sparsefast {name} prepared", asked, prepared=True))
        if name == "cpu" and isas:
            usable = _native.module.isas() if _native.module is not None else []
            for isa in isas:
                if isa in usable:
                    found.append(_ours(variant, f"sparsefast cpu {isa}", asked, isa=isa))
                else:
                    absent.append((f"sparsefast cpu {isa}", f"this machine and build have {', '.join(usable)}"))
    return found, absent


def available(op: str) -> list[str]:
    """The backends that can run an op on CPU arrays; none where the op is not there."""
    from sparsefast import dispatch

    return dispatch.backends(op, device="cpu") if op in dispatch.op_names() else []


def _ours(
    variant: Variant, name: str, backend: str | None, prepared: bool = False, isa: str | None = None
) -> Contender:
    import sparsefast

    options = {} if backend is None else {"backend": backend}

    def bind(problem: Problem, threads: int) -> Callable[[], Any]:
        given = sparsefast.prepare(problem.dictionary) if prepared else problem.dictionary
        return lambda: variant.call(problem, given, **options)

    return Contender(
        name,
        sparsefast.__version__,
        bind,
        variant.decode,
        ours=True,
        note="prepared before the clock started" if prepared else "",
        around=(lambda: instruction_set(isa)) if isa else contextlib.nullcontext,
    )


def _why_not(op: str, backend: str) -> str:
    from sparsefast import dispatch

    try:
        return str(dispatch.why_not(op, backend))
    except ValueError as error:
        return str(error)


def theirs(variant: Variant, names: list[str]) -> tuple[list[Contender], list[tuple[str, str]]]:
    """The peers of these names that the variant has, and those that are absent, with the reason."""
    found, absent = [], []
    for name in names:
        if name not in variant.peers:
            continue
        try:
            found.append(variant.peers[name]())
        except Absent as reason:
            absent.append((name, str(reason)))
    return found, absent
