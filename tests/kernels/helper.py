"""One way to call the OMP kernel of any backend, with outputs poisoned first, and what is asked of its results."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsefast.kernels.status import Status


@dataclass
class Code:
    """The outputs of one call."""

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

    def same_bits(self, other: Code) -> bool:
        return all(getattr(self, name).tobytes() == getattr(other, name).tobytes() for name in vars(self))


@dataclass(frozen=True)
class Kernel:
    """A backend's OMP; for the C++ one, on one instruction set."""

    backend: str
    isa: str = ""

    def __str__(self) -> str:
        return f"{self.backend}-{self.isa}" if self.isa else self.backend

    def prepare(self, dictionary: np.ndarray, gram: np.ndarray | None = None, n_threads: int = 1) -> Any:
        if self.isa:
            from sparsefast import _C

            _C.set_isa(self.isa)
        return self._module.prepare(dictionary, gram, n_threads)

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
    ) -> Code:
        """Code signals; every element of the outputs must be written, and the padding be zero."""
        if layout is None:
            layout = self.prepare(dictionary, gram, n_threads)
        n_signals = len(signals)
        code = Code(
            np.full((n_signals, n_nonzero), -7e7, signals.dtype),
            np.full((n_signals, n_nonzero), -7, index_dtype),
            np.full(n_signals, -7, np.int32),
            np.full(n_signals, 77, np.uint8),
        )
        self._module.omp(
            signals, layout, n_nonzero, tol, code.values, code.indices, code.counts, code.status, n_threads
        )  # fmt: skip
        check_padding(code, len(dictionary))
        return code

    @property
    def _module(self) -> Any:
        return importlib.import_module(f"sparsefast.kernels.{self.backend}.omp")


def kernels() -> list[Kernel]:
    """Every backend that must run here. Where the extension was built, its kernels run or fail: no skip."""
    found = [Kernel("reference"), Kernel("numba")]
    if importlib.util.find_spec("sparsefast._C") is not None:
        from sparsefast import _C

        found += [Kernel("cpu", isa) for isa in _C.isas()]
    return found


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


def margins(signals: np.ndarray, dictionary: np.ndarray, code: Code) -> np.ndarray:
    """How near each signal came to another support, (N,): over its steps, the least gap between the best correlation
    and the next, relative to ||x|| times the largest norm of an atom."""
    atoms = dictionary.astype(np.float64)
    scale = np.linalg.norm(atoms, axis=1).max()
    out = np.full(len(signals), np.inf)
    for n, support in enumerate(code.supports()):
        x = signals[n].astype(np.float64)
        residual = x
        for k in range(len(support)):
            correlations = np.abs(atoms @ residual)
            correlations[support[:k]] = 0
            best = correlations[support[k]]
            correlations[support[k]] = 0
            out[n] = min(out[n], (best - correlations.max()) / (np.linalg.norm(x) * scale))
            residual = x - lstsq(x, atoms[support[: k + 1]]) @ atoms[support[: k + 1]]
    return out


def lstsq(x: np.ndarray, selected: np.ndarray) -> np.ndarray:
    """argmin_a ||x - a selected|| in float64, by QR of unit columns."""
    norms = np.linalg.norm(selected, axis=1)
    q, r = np.linalg.qr((selected / norms[:, None]).T)
    return np.linalg.solve(r, q.T @ x) / norms


def condition(selected: np.ndarray) -> float:
    """Condition number of the selected atoms, their norms apart; 1 for none."""
    if len(selected) == 0:
        return 1.0
    return float(np.linalg.cond(selected / np.linalg.norm(selected, axis=1, keepdims=True)))
