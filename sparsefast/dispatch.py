"""Which backend runs an op: the registry of backends and kernels, the ways to ask for one, and the reasons for a
refusal.

A backend is a column: one `Backend` here and a file `sparsefast.kernels.<backend>.<family>` for each family that it
has. An op is a row: one `register_op` in `sparsefast.ops`.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from types import ModuleType
from typing import NamedTuple

VARIABLE = "SPARSEFAST_BACKEND"

COMPUTED_IN = {"float16": "float32", "bfloat16": "float32"}
"""For a dtype that is converted before a kernel sees it: the one it is computed in. A kernel that takes the second
serves the first too."""


class BackendUnavailable(RuntimeError):
    """No backend, or not the one asked for, can run the op here. The message has one line for each backend, with the
    reason."""


class Backend(NamedTuple):
    """One column of the grid."""

    name: str
    device: str
    """The device type whose arrays it takes: "cpu" or "cuda"."""
    automatic: bool
    """Whether `auto` may choose it. The reference is for reading and for tests: hundreds of times slower."""
    why_not: Callable[[], str | None]
    """None where it can run, else why it cannot."""
    public: bool = True
    """Whether users are told of it. The emulated device is for tests of the CUDA kernels."""


class Kernel(NamedTuple):
    """One cell of the grid: the module of a backend with the kernel of an op, imported when it is first chosen."""

    module: str
    dtypes: tuple[str, ...]


class Choice(NamedTuple):
    """What `resolve` hands back."""

    backend: str
    module: ModuleType
    form: str
    """Modules of one backend and of equal form read each other's layouts: "gram" with the Gram matrix, "atoms"
    without."""
    layout_key: Callable[[], object] | None
    """What else a layout depends on, as the instruction set."""


def _why_not_cuda() -> str | None:
    from sparsefast import _native

    if _native.module is None:
        return _native.why_not
    return _why_no_device(_native.module)


def _why_no_device(module: ModuleType) -> str | None:
    """Asks about one device, since the question opens a context there, which takes memory: that of this process of
    many, where PyTorch has chosen one."""
    torch = sys.modules.get("torch")
    device = torch.cuda.current_device() if torch is not None and torch.cuda.is_initialized() else 0
    status = module.cuda_status(device)
    return None if status["available"] else str(status["reason"])


def _why_not_triton() -> str | None:
    # First what costs nothing: neither triton nor torch is imported where there is no driver.
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "no NVIDIA driver was found"
    try:
        importlib.import_module("triton")
    except Exception as error:  # a broken install raises more than ImportError
        return f"triton cannot be imported ({_one_line(error)})"
    import torch

    # Triton compiles for whatever device PyTorch runs on, also where this build has no code for it.
    return None if torch.cuda.is_available() else "PyTorch finds no GPU"


def _why_not_cpu() -> str | None:
    from sparsefast import _native

    return None if _native.module is not None else _native.why_not


def _why_not_numba() -> str | None:
    try:
        importlib.import_module("numba")
    except Exception as error:
        return f"numba cannot be imported ({_one_line(error)})"
    return None


def _why_not_emulated() -> str | None:
    from sparsefast import _native

    if _native.emulated is None:
        return "this build has no emulated device (it is for tests: SPARSEFAST_CUDA_EMULATION=1)"
    return None


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


_BACKENDS: dict[str, Backend] = {}
_OPS: dict[str, dict[str, Kernel]] = {}
_chosen: dict[tuple[str, str, str, str | None], Choice] = {}
_probed: dict[str, str | None] = {}
_lock = threading.RLock()
_context: ContextVar[str | None] = ContextVar("sparsefast_backend", default=None)
_environment: str | None = None
_environment_read = False


def register_backend(backend: Backend) -> None:
    """Add a column; `auto` tries the columns in the order of registration."""
    _BACKENDS[backend.name] = backend
    clear_cache()


def register_op(op: str, family: str, backends: dict[str, tuple[str, ...]]) -> None:
    """Add a row: for each backend that has a kernel for `op`, the names of the dtypes that it takes."""
    _OPS[op] = {
        name: Kernel(f"sparsefast.kernels.{name.removesuffix('-emulated')}.{family}", dtypes)
        for name, dtypes in backends.items()
    }
    clear_cache()


for _backend in (
    Backend("cuda", "cuda", True, _why_not_cuda),
    Backend("triton", "cuda", True, _why_not_triton),
    Backend("cpu", "cpu", True, _why_not_cpu),
    Backend("numba", "cpu", True, _why_not_numba),
    Backend("reference", "cpu", False, lambda: None),
    Backend("cuda-emulated", "cpu", False, _why_not_emulated, public=False),
):
    _BACKENDS[_backend.name] = _backend


def clear_cache() -> None:
    """Forget what was resolved, what was probed and the environment variable, so that all are looked at again."""
    global _environment, _environment_read
    with _lock:
        _chosen.clear()
        _probed.clear()
        _environment, _environment_read = None, False


def backend_names() -> tuple[str, ...]:
    """All public backends, in the order in which `auto` tries them, whether or not they can run here."""
    return tuple(name for name, column in _BACKENDS.items() if column.public)


def op_names() -> tuple[str, ...]:
    """All ops of the grid."""
    importlib.import_module("sparsefast.ops")
    return tuple(_OPS)


def _kernels(op: str) -> dict[str, Kernel]:
    if op not in _OPS:
        importlib.import_module("sparsefast.ops")
    if op not in _OPS:
        raise ValueError(f"op={op!r} is not one of {', '.join(_OPS)}")
    return _OPS[op]


def check_backend(name: object, what: str) -> str:
    if isinstance(name, str) and (name == "auto" or name in _BACKENDS):
        return name
    error: type[Exception] = ValueError if isinstance(name, str) else TypeError
    raise error(f"{what}={name!r} is not a backend; it must be one of auto, {', '.join(backend_names())}")


def _from_environment() -> str | None:
    """SPARSEFAST_BACKEND, read once: looking at the environment costs as much as the rest of a resolved call."""
    global _environment, _environment_read
    if not _environment_read:
        value = os.environ.get(VARIABLE, "").strip()
        _environment = check_backend(value, VARIABLE) if value else None
        _environment_read = True
    return _environment


def use_backend(name: str) -> contextlib.AbstractContextManager[None]:
    """Run the ops inside a `with` block on one backend.

    Blocks nest, and the innermost wins; a `backend=` argument goes before it, and it goes before the environment
    variable SPARSEFAST_BACKEND. The choice belongs to the current context (`contextvars`): neither another thread nor
    another asyncio task sees it, so enter the block inside the function that a thread runs. It works as a decorator
    too. The environment variable is read once, by the first call that needs it.

    Parameters
    ----------
    name : {"auto", "cuda", "triton", "cpu", "numba", "reference"}

    Raises
    ------
    ValueError
        If there is no such backend. One that cannot run here is refused by the call that needs it, with the reason.
    """
    return _use(check_backend(name, "use_backend: name"))


@contextlib.contextmanager
def _use(name: str) -> Iterator[None]:
    token = _context.set(name)
    try:
        yield
    finally:
        _context.reset(token)


def why_not(op: str, backend: str, device: str | None = None, dtype: str | None = None) -> str | None:
    """None where `backend` can run `op` here, on arrays of `device` and `dtype` if given, else the reason in words."""
    column = _BACKENDS[check_backend(backend, "backend")]
    kernel = _kernels(op).get(backend)
    if kernel is None:
        return f"{op} is not offered yet"
    if device is not None and device != column.device:
        return f"runs on {_device_in_words(column.device)} arrays only"
    if dtype is not None and COMPUTED_IN.get(dtype, dtype) not in kernel.dtypes:
        converted = [name for name, wide in COMPUTED_IN.items() if wide in kernel.dtypes]
        return f"takes {', '.join([*kernel.dtypes, *converted])}, not {dtype}"
    with _lock:
        if backend not in _probed:
            _probed[backend] = column.why_not()
        if _probed[backend] is None:
            try:
                importlib.import_module(kernel.module)
            except Exception as error:
                return f"its kernel cannot be loaded ({_one_line(error)})"
        return _probed[backend]


def _device_in_words(device: str) -> str:
    return {"cpu": "CPU", "cuda": "CUDA"}.get(device, device)


def backends(op: str, device: str | None = None, dtype: str | None = None) -> list[str]:
    """The backends whose own kernel for `op` can run here.

    Parameters
    ----------
    op : str
        The name of a public function, such as "omp" or "topk"; "ols" and "positive" are what `omp` runs with
        selection="ols" and with positive=True.
    device : {"cpu", "cuda"}, optional
        Only those that take arrays of this device.
    dtype : str, optional
        Only those that take this dtype, such as "float32"; those that take float32 take float16 and bfloat16 too.

    Returns
    -------
    list of str
        In the order in which `auto` tries them; "reference" comes last and is never chosen by `auto`.

    Raises
    ------
    ValueError
        If there is no such op.
    """
    return [name for name, b in _BACKENDS.items() if b.public and why_not(op, name, device, dtype) is None]


def resolve(op: str, device: str, dtype: str, requested: str | None) -> Choice:
    """The kernel module that runs `op` on arrays of this device type and dtype; looked up once for each combination."""
    if requested is None:
        requested = _context.get()
        if requested is None:
            requested = _environment if _environment_read else _from_environment()
    try:
        return _chosen[op, device, dtype, requested]
    except (KeyError, TypeError):  # TypeError: something unhashable was passed, which the slow path names
        return _resolve(op, device, dtype, requested)


def _resolve(op: str, device: str, dtype: str, requested: str | None) -> Choice:
    if requested is not None:
        check_backend(requested, f"{op}: backend")
    automatic = requested is None or requested == "auto"
    candidates = [b.name for b in _BACKENDS.values() if b.automatic] if automatic else [str(requested)]
    for name in candidates:
        if why_not(op, name, device, dtype) is None:
            module = importlib.import_module(_kernels(op)[name].module)
            choice = Choice(name, module, getattr(module, "FORM", "gram"), getattr(module, "layout_key", None))
            with _lock:
                _chosen[op, device, dtype, requested] = choice
            return choice
    where = f"{dtype} arrays on {_device_in_words(device)}"
    if automatic:
        head = f"{op}: no backend can run on {where}:"
    else:
        head = f"{op}: backend {requested!r} cannot run on {where}:"
    lines = []
    for name, column in _BACKENDS.items():
        if not (column.public or name == requested):
            continue
        reason = why_not(op, name, device, dtype)
        if reason is None:
            reason = "available" if column.automatic else 'available, but only when asked for (backend="reference")'
        lines.append(f"  {name}: {reason}")
    raise BackendUnavailable("\n".join([head, *lines]))
