"""One way to call any kernel of any backend, with outputs poisoned first, and what is asked of its results."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from sparsefast.kernels.status import Status

BACKENDS = ("reference", "numba", "cpu")
# Of the threads of an emulated device. A barrier that is missing may be seen in one of them only.
ORDERS = ("forward", "reversed", "shuffled")
DEVICE = "device"
CODERS = ("omp", "ols", "positive", "masked", "topk", "iht")


class Outputs:
    """What a kernel wrote, array by array."""

    def same_bits(self, other: Outputs, rows: Any = slice(None)) -> bool:
        """Whether the rows of this, taken as given, are those of `other` that `rows` names."""
        return all(a.tobytes() == getattr(other, name)[rows].tobytes() for name, a in vars(self).items())


@dataclass
class Code(Outputs):
    """The outputs of one call that codes signals."""

    values: np.ndarray
    indices: np.ndarray
    counts: np.ndarray
    status: np.ndarray

    def supports(self) -> list[np.ndarray]:
        return [row[:k] for row, k in zip(self.indices, self.counts, strict=True)]

    def coefficients(self) -> list[np.ndarray]:
        return [row[:k] for row, k in zip(self.values, self.counts, strict=True)]

    def dense(self, n_atoms: int) -> np.ndarray:
        """(N, n_atoms) in float64."""
        out = np.zeros((len(self.values), n_atoms))
        for row, support, coefficients in zip(out, self.supports(), self.coefficients(), strict=True):
            row[support] = coefficients
        return out


@dataclass
class Nearest(Outputs):
    """The outputs of one call of nearest_code."""

    indices: np.ndarray
    distances: np.ndarray


@dataclass(frozen=True)
class Kernel:
    """One function of a backend, omp unless named; for the C++ backend, on one instruction set, and for CUDA on the
    emulated device, with its threads in one order, or on a real one."""

    backend: str
    variant: str = ""
    name: str = "omp"

    def __str__(self) -> str:
        return f"{self.backend}-{self.variant}" if self.variant else self.backend

    def named(self, name: str) -> Kernel:
        """Another function of the same backend."""
        return Kernel(self.backend, self.variant, name)

    def reference(self) -> Kernel:
        """The definition of this function."""
        return Kernel("reference", "", self.name)

    def eps(self, dtype: type) -> float:
        """The eps in which the rules for stopping are."""
        return float(np.finfo(np.float64 if self.backend == "reference" else dtype).eps)

    @property
    def module(self) -> Any:
        return importlib.import_module(f"sparsefast.kernels.{self.backend}.{self.name}")

    def choose(self) -> None:
        """From here on this backend runs as this variant of it."""
        if self.backend == "cpu":
            from sparsefast import _C

            _C.set_isa(self.variant)
        elif self.variant in ORDERS:
            from sparsefast import _emulated

            _emulated.set_order(self.variant)

    def prepare(self, dictionary: np.ndarray, gram: np.ndarray | None = None, n_threads: int = 1) -> Any:
        self.choose()
        return self.module.prepare(self.placed(dictionary), self.placed(gram), n_threads)

    def placed(self, x: Any) -> Any:
        """An array where the kernel wants it."""
        return on_device(x) if self.variant == DEVICE and isinstance(x, np.ndarray) else x

    def run(self, *arguments: Any, outputs: Outputs, n_threads: int) -> None:
        """Call the function with outputs as they are."""
        there = [self.placed(x) for x in vars(outputs).values()]
        getattr(self.module, self.name)(*map(self.placed, arguments), *there, n_threads)
        if self.variant == DEVICE:
            for here, x in zip(vars(outputs).values(), there, strict=True):
                here[...] = x.cpu().numpy()

    def code(
        self,
        signals: np.ndarray,
        dictionary: np.ndarray,
        n_nonzero: int,
        tol: Any = None,
        *,
        gram: np.ndarray | None = None,
        n_threads: int = 1,
        index_dtype: type = np.int32,
        layout: Any = None,
        mask: np.ndarray | None = None,
        positive: bool = False,
        n_iterations: int = 100,
        step: float = 0.0,
    ) -> Code:
        """Code signals; every element of the outputs must be written, and the padding be zero.

        Each function takes what it knows of the last four: masked a mask, topk positive, iht n_iterations and step.
        """
        if layout is None:
            layout = self.prepare(dictionary, gram, n_threads)
        n_signals = len(signals)
        code = Code(
            np.full((n_signals, n_nonzero), -7e7, signals.dtype),
            np.full((n_signals, n_nonzero), -7, index_dtype),
            np.full(n_signals, -7, np.int32),
            np.full(n_signals, 77, np.uint8),
        )
        arguments: dict[str, tuple[Any, ...]] = {
            "masked": (signals, mask, layout, n_nonzero, tol),
            "topk": (signals, layout, n_nonzero, positive),
            "iht": (signals, layout, n_nonzero, n_iterations, step, tol),
        }
        self.run(
            *arguments.get(self.name, (signals, layout, n_nonzero, tol)),
            outputs=code,
            n_threads=n_threads,
        )
        check_padding(code, len(dictionary))
        return code

    def nearest(
        self,
        signals: np.ndarray,
        codebook: np.ndarray,
        *,
        n_threads: int = 1,
        index_dtype: type = np.int32,
        layout: Any = None,
    ) -> Nearest:
        """Find the atom nearest to each signal; every element of the outputs must be written."""
        if layout is None:
            layout = self.prepare(codebook, None, n_threads)
        out = Nearest(np.full(len(signals), -7, index_dtype), np.full(len(signals), -7e7, signals.dtype))
        self.run(signals, layout, outputs=out, n_threads=n_threads)
        assert ((out.indices >= 0) & (out.indices < len(codebook))).all()
        assert ((out.distances >= 0) | np.isnan(out.distances)).all()
        assert (out.indices[np.isnan(out.distances)] == 0).all()
        return out


def kernels(name: str = "omp") -> list[Kernel]:
    """Every backend that must run here. Where the extension was built, its kernels run or fail: no skip."""
    found = [Kernel(backend, "", name) for backend in ("reference", "numba") if exists(backend, name)]
    if importlib.util.find_spec("sparsefast._C") is not None and exists("cpu", name):
        from sparsefast import _C

        found += [Kernel("cpu", isa, name) for isa in _C.isas()]
    if importlib.util.find_spec("sparsefast._emulated") is not None and exists("cuda", name):
        found += [Kernel("cuda", order, name) for order in ORDERS]
    if has_gpu():
        found += [Kernel(backend, DEVICE, name) for backend in ("cuda", "triton") if exists(backend, name)]
    return found


def has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def on_device(x: np.ndarray, device: str = "cuda") -> Any:
    """An array as a tensor of a device that has its strides, where a tensor can: none are negative."""
    import torch

    steps = [stride // x.itemsize for stride in x.strides]
    if x.size == 0 or min(steps, default=0) < 0 or any(stride % x.itemsize for stride in x.strides):
        return torch.tensor(x.copy(), device=device)
    extent = 1 + sum((n - 1) * step for n, step in zip(x.shape, steps, strict=True))
    memory = torch.tensor(as_strided(x, (extent,), (x.itemsize,)), device=device)
    return memory.as_strided(x.shape, steps)


def exists(backend: str, name: str) -> bool:
    return importlib.util.find_spec(f"sparsefast.kernels.{backend}.{name}") is not None


def check_padding(code: Code, n_atoms: int) -> None:
    n_nonzero = code.values.shape[1]
    assert ((code.counts >= 0) & (code.counts <= n_nonzero)).all()
    assert np.isin(code.status, list(Status)).all()
    padded = np.arange(n_nonzero) >= code.counts[:, None]
    nonfinite = code.status == Status.NONFINITE
    assert (code.counts[nonfinite] == 0).all()
    assert np.isnan(code.values[nonfinite]).all()
    assert (code.values[~nonfinite][padded[~nonfinite]] == 0).all()
    assert (code.indices[padded] == 0).all()
    assert ((code.indices >= 0) & (code.indices < n_atoms)).all()
    for support in code.supports():
        assert len(set(support)) == len(support)


def residuals(signals: np.ndarray, dictionary: np.ndarray, code: Code) -> np.ndarray:
    """x - a D in float64, (N, F)."""
    wide = dictionary.astype(np.float64)
    out = signals.astype(np.float64)
    for row, support, coefficients in zip(out, code.supports(), code.coefficients(), strict=True):
        row -= coefficients.astype(np.float64) @ wide[support]
    return out


def residual_norms(signals: np.ndarray, dictionary: np.ndarray, code: Code) -> np.ndarray:
    return np.linalg.norm(residuals(signals, dictionary, code), axis=1)


def lstsq(x: np.ndarray, selected: np.ndarray) -> np.ndarray:
    """argmin_a ||x - a selected|| in float64, by QR of unit columns; where they are dependent, one of several."""
    norms = np.linalg.norm(selected, axis=1)
    columns = (selected / norms[:, None]).T
    q, r = np.linalg.qr(columns)
    if (np.diag(r) == 0).any():
        return np.linalg.lstsq(columns, x, rcond=None)[0] / norms
    return np.linalg.solve(r, q.T @ x) / norms


def condition(selected: np.ndarray) -> float:
    """Condition number of the selected atoms, their norms apart; 1 for none, and never infinite."""
    if len(selected) == 0:
        return 1.0
    return min(float(np.linalg.cond(selected / np.linalg.norm(selected, axis=1, keepdims=True))), 1e30)
