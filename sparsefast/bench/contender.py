"""What takes part in a benchmark: a name, how it is called, and how its answer is read."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import operator
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from sparsefast.bench.checks import Code

Array = NDArray[Any]
# (signals, dictionary, n_nonzero, threads) -> the call that is timed. Only changes of layout may happen before it.
Bind = Callable[[Array, Array, int, int], Callable[[], Any]]


@dataclass(frozen=True)
class Contender:
    """Somebody who sparse-codes: us with some backend, or a peer."""

    name: str
    version: str
    bind: Bind
    decode: Callable[[Any, int], Code]
    selection: str = "omp"
    """Which algorithm it is, for the check: "omp", or "ols" for order-recursive selection."""
    stops_below: float = 0.0
    """It stops where all scores are at most this, by its own definition."""
    stops_relative: float = 0.0
    """The same, as a fraction of ||x||."""
    eps: float = 0.0
    """Its own relative accuracy, where that is worse than the dtype's."""
    ours: bool = False
    note: str = ""
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


def ours(backends: list[str], isas: list[str]) -> tuple[list[Contender], list[tuple[str, str]]]:
    """Our contenders and those that are absent, with the reason.

    The backend that `auto` takes is called from the defaults, `sparsefast.omp(signals, dictionary, n_nonzero)`.
    """
    import sparsefast
    from sparsefast import _native

    here = sparsefast.backends("omp", device="cpu")
    found, absent = [], []
    for name in backends:
        if name not in here:
            absent.append((f"sparsefast {name}", _why_not(name)))
            continue
        asked = None if name == here[0] else name
        found.append(_ours(f"sparsefast {name}", asked, prepared=False))
        if asked is None:
            found.append(_ours(f"sparsefast {name} prepared", asked, prepared=True))
        if name == "cpu" and isas:
            usable = _native.module.isas() if _native.module is not None else []
            for isa in isas:
                if isa in usable:
                    found.append(_ours(f"sparsefast cpu {isa}", asked, prepared=False, isa=isa))
                else:
                    absent.append((f"sparsefast cpu {isa}", f"this machine and build have {', '.join(usable)}"))
    return found, absent


def _ours(name: str, backend: str | None, prepared: bool, isa: str | None = None) -> Contender:
    import sparsefast

    def bind(signals: Array, dictionary: Array, n_nonzero: int, threads: int) -> Callable[[], Any]:
        given = sparsefast.prepare(dictionary) if prepared else dictionary
        if backend is None:
            return lambda: sparsefast.omp(signals, given, n_nonzero)
        return lambda: sparsefast.omp(signals, given, n_nonzero, backend=backend)

    return Contender(
        name,
        sparsefast.__version__,
        bind,
        lambda code, n_nonzero: Code(*operator.attrgetter("indices", "values", "counts")(code)),
        ours=True,
        note="prepared before the clock started" if prepared else "",
        around=(lambda: instruction_set(isa)) if isa else contextlib.nullcontext,
    )


def _why_not(backend: str) -> str:
    from sparsefast import dispatch

    try:
        return str(dispatch.why_not("omp", backend))
    except ValueError as error:
        return str(error)
