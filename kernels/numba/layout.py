"""What the Numba kernels share outside compiled code: the packed dictionary, workspaces, and the split over threads."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sparsefast.kernels.numba.common_serial import LANES, PANEL, gram_rows
from sparsefast.kernels.numba.compiler import WORD, compile_range, real_type
from sparsefast.kernels.numba.pool import run_ranges

BLOCK_BYTES = 256 * 1024
MAX_BLOCK = 64
# Multiply-adds that the slowest machine does in about a tenth of a second: how often Ctrl-C is looked for.
CHUNK_WORK = 200_000_000
# Below this many multiply-adds a second thread costs more than it brings (about 100 microseconds).
MIN_WORK_PER_THREAD = 2_000_000

# A function that does items start..stop, with a workspace of its own.
Worker = Callable[[int, int], None]


class Layout(NamedTuple):
    """A dictionary (K, F) packed for these kernels, divided by 2**exponent. Atoms that were not finite are zero."""

    panels: np.ndarray  # (n_panels * padded_features * PANEL,), 64-byte aligned
    atoms: np.ndarray  # (K * padded_features,), 64-byte aligned
    gram: np.ndarray  # (K * n_lanes,), 64-byte aligned; empty in the form "atoms"
    norms: NDArray[np.float64]  # (K,)
    finite: NDArray[np.bool_]  # (K,)
    exponent: int
    n_atoms: int
    n_features: int


class Sizes(NamedTuple):
    """How a layout is padded, and how many signals are correlated at once."""

    n_lanes: int
    n_panels: int
    padded_features: int
    block: int


class Precision(NamedTuple):
    """The numbers that kernels need of the signals' dtype."""

    eps: float
    bits: np.dtype
    inf_bits: Any


def prepare(dictionary: np.ndarray, gram: np.ndarray | None, n_threads: int) -> Layout:
    """Pack dictionary (K, F) and gram (K, K), or compute the latter. Float32 or float64, any strides."""
    layout = prepare_atoms(dictionary, gram, n_threads)
    n_atoms, n_features = dictionary.shape
    dtype = dictionary.dtype
    n_lanes, n_panels, padded_features, block = sizes(layout)
    packed = aligned((n_atoms, n_lanes), dtype)
    if gram is None:
        kernel = _gram_kernel(dtype)
        atoms = layout.atoms.reshape(n_atoms, padded_features)

        def make_worker() -> Worker:
            x = aligned((block, padded_features), dtype)
            x[:] = 0
            c = aligned((n_panels * block * PANEL,), dtype)
            return lambda start, stop: kernel(start, stop, atoms, layout.panels, n_lanes, x, c, packed.reshape(-1))

        run(make_worker, n_atoms, n_atoms * n_features, n_threads, block)
    else:
        packed[:, n_atoms:] = 0
        with np.errstate(under="ignore", over="ignore"):
            packed[:, :n_atoms] = np.ldexp(gram, -2 * layout.exponent)
        packed[~np.isfinite(packed)] = 0
    return layout._replace(gram=packed.reshape(-1))


def prepare_atoms(dictionary: np.ndarray, gram: np.ndarray | None, n_threads: int) -> Layout:
    """Pack dictionary (K, F) alone: float32 or float64, any strides. `gram` and `n_threads` are not needed here."""
    n_atoms, n_features = dictionary.shape
    dtype = dictionary.dtype
    _, n_panels, padded_features = _padded(n_atoms, n_features)
    finite = np.isfinite(dictionary).all(axis=1)
    atoms = aligned((n_atoms, padded_features), dtype)
    atoms[:, n_features:] = 0
    atoms[:, :n_features] = dictionary
    atoms[~finite] = 0  # never selected, no scale and no taint for the others
    exponent = int(np.frexp(np.abs(atoms).max())[1])
    with np.errstate(under="ignore"):
        np.ldexp(atoms, -exponent, out=atoms)

    panels = aligned((n_panels, padded_features, PANEL), dtype)
    panels[:] = 0
    for panel in range(n_panels):
        rows = atoms[panel * PANEL : (panel + 1) * PANEL]
        panels[panel, :, : len(rows)] = rows.T
    norms = np.sqrt(np.einsum("kf,kf->k", atoms, atoms, dtype=np.float64))
    return Layout(
        panels.reshape(-1), atoms.reshape(-1), np.empty(0, dtype), norms, finite, exponent, n_atoms, n_features
    )  # fmt: skip


def sizes(layout: Layout) -> Sizes:
    """The padded sizes of a layout."""
    padded = _padded(layout.n_atoms, layout.n_features)
    # A multiple of the tile's 4.
    block = max(4, min(MAX_BLOCK, BLOCK_BYTES // (padded[0] * layout.panels.itemsize) // 4 * 4))
    return Sizes(*padded, block)


def _padded(n_atoms: int, n_features: int) -> tuple[int, int, int]:
    """Lanes (atoms padded), panels, and features padded to the tile's 4."""
    n_lanes = -(-n_atoms // LANES) * LANES
    return n_lanes, -(-n_lanes // PANEL), -(-n_features // 4) * 4


def reciprocal_norms(layout: Layout) -> np.ndarray:
    """1 / ||d|| for each lane, of the dictionary's dtype; zero for zero atoms and lanes that are none."""
    out = aligned((sizes(layout).n_lanes,), layout.panels.dtype)
    out[:] = 0
    largest = np.finfo(out.dtype).max
    some = layout.norms > 1 / largest
    out[: layout.n_atoms][some] = 1 / layout.norms[some]
    return out


@functools.cache
def precision(dtype: np.dtype) -> Precision:
    """The numbers that kernels need of float32 or float64."""
    bits = np.dtype(f"i{dtype.itemsize}")
    return Precision(float(np.finfo(dtype).eps), bits, np.array(np.inf, dtype).view(bits)[()])


def tolerances(tol: np.ndarray | float | None) -> tuple[NDArray[np.float64], int]:
    """The tolerances in float64, and how far the next signal's is from the last one's; none is -1, never met."""
    out = np.array(-1.0 if tol is None else tol, dtype=np.float64, ndmin=1)
    return out, int(isinstance(tol, np.ndarray) and tol.ndim == 1)


def run(make_worker: Callable[[], Worker], n_items: int, work: int, n_threads: int, block: int) -> None:
    """Split n_items of `work` multiply-adds each over as many threads as that is worth."""
    n_threads = max(1, min(n_threads, n_items * work // MIN_WORK_PER_THREAD))
    # At least four chunks a thread, so that none waits long for another.
    chunk = min(CHUNK_WORK // work, -(-n_items // (4 * n_threads)) if n_threads > 1 else n_items)
    # Whole blocks, unless a block would be too long: few signals, or long ones.
    run_ranges(make_worker, n_items, chunk // block * block or max(1, chunk), n_threads)


def aligned(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An uninitialised array that starts on a cache line: a vector that straddles two costs twice."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    raw = np.empty(size + 64, np.uint8)
    offset = -raw.ctypes.data % 64
    return raw[offset : offset + size].view(dtype).reshape(shape)


@functools.cache
def _gram_kernel(dtype: np.dtype) -> Callable[..., None]:
    real = real_type(dtype)
    work, work2 = real[::1], real[:, ::1]
    return compile_range(gram_rows, [WORD, WORD, work2, work, WORD, work2, work, work])
