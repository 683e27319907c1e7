"""PreparedDictionary: a dictionary with its packed layouts, kept from call to call."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from sparsefast import _native, arrays, dispatch
from sparsefast.arrays import Array, Kind
from sparsefast.dispatch import COMPUTED_IN, Choice
from sparsefast.kinds import widen

_INTEGERS = {2: np.dtype(np.int16), 4: np.dtype(np.int32), 8: np.dtype(np.int64)}
_same_bytes = getattr(_native.module, "same_bytes", None)


def _same(a: Any, b: Any) -> bool:
    """Whether two arrays of one shape and dtype hold the same bits; `b` is C-contiguous. NaN is the same as itself, and
    -0.0 is not 0.0."""
    if _same_bytes is not None and a.flags.c_contiguous:
        return bool(_same_bytes(a, b))
    integers = _INTEGERS[a.itemsize]
    return bool((a.view(integers) == b.view(integers)).all())


def _same_gram(a: Any, b: Any) -> bool:
    # Unlike that of the dictionary, its view is taken anew each time, and may have another shape by now.
    return a.shape == b.shape and a.dtype == b.dtype and _same(a, b)


class _Packed:
    """One state of the dictionary: private copies, and the layouts that backends made of them."""

    __slots__ = ("dictionary", "gram", "layouts", "raw", "raw_gram")

    def __init__(self, raw: Array, raw_gram: Array | None, dtype: str, kind: Any) -> None:
        self.raw = kind.copied(raw)
        self.raw_gram = None if raw_gram is None else kind.copied(raw_gram)
        # What kernels read: of 16-bit numbers a copy in float32, otherwise the same arrays.
        wide = widen if kind.library is np else kind.view
        self.dictionary = wide(self.raw, dtype)
        self.gram = None if self.raw_gram is None else wide(self.raw_gram, dtype)
        self.layouts: dict[tuple[str, str, object], Any] = {}


def check_dictionary(
    op: str, dictionary: Array, gram: Array | None = None, name: str = "dictionary"
) -> tuple[Kind, str, str]:
    """Check a dictionary, which the op calls `name`, and its Gram matrix; return the kind, device and dtype.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what it was and what it must be.
    """
    kind = arrays.kind_of(dictionary, f"{op}: {name}")
    device, dtype = arrays.describe(dictionary, kind, f"{op}: {name}")
    shape = tuple(dictionary.shape)
    if len(shape) != 2 or not shape[0] or not shape[1]:
        raise ValueError(f"{op}: {name} has shape {shape}; it must be (n_atoms, n_features), with at least one of each")
    if gram is not None:
        other = arrays.kind_of(gram, f"{op}: gram")
        described = arrays.describe(gram, other, f"{op}: gram")
        arrays.require_same(op, name, (kind, device, dtype), "gram", (other, *described))
        if tuple(gram.shape) != (shape[0], shape[0]):
            raise ValueError(
                f"{op}: gram has shape {tuple(gram.shape)}; it must be (n_atoms, n_atoms) = ({shape[0]}, {shape[0]})"
            )
    return kind, device, dtype


class PreparedDictionary:
    """A dictionary prepared for many calls: pass it to the sparse coders in place of the dictionary.

    It keeps a private copy and, for each backend that has used it, the packed layouts, made by the first call that
    needs them: one with the Gram matrix for `omp` and `iht`, one without for `omp_masked`, `topk` and `nearest_code`.
    Before each call it compares the caller's array with the copy, bit for bit (2 microseconds for 256 atoms of 64
    features), and packs anew when it changed, so that results are those of the dictionary as it is now. On a GPU a
    comparison would wait for the device: there it packs anew when the array moved, or PyTorch has counted a change in
    place, and does not see what others write into its memory. Threads may share one.
    Pickling keeps the copy, and neither the layouts nor the tie to the caller's array.

    Parameters
    ----------
    dictionary : array of shape (n_atoms, n_features), float16, bfloat16 (PyTorch), float32 or float64
        Atoms are rows, of any norm. NumPy, PyTorch or CuPy. Of 16-bit numbers a float32 copy is kept too, which
        kernels read; `dtype` stays that of the array, and so must the signals' be. A tensor that requires grad gets
        its gradient from the calls that are made with this.
    gram : array of shape (n_atoms, n_atoms), optional
        `dictionary @ dictionary.T`, if it is known already. Should the dictionary change later and this array not, it
        is out of date and is computed from then on.
    watch : bool
        False promises that the array will not change, or that changes do not matter, and saves the comparison. The
        array is then forgotten, and gets no gradient.

    Raises
    ------
    TypeError, ValueError
        If an argument is not an array, or of the wrong dtype or shape.
    BackendUnavailable
        If no backend can run where it lies: with the reason for each.
    """

    __slots__ = (
        "_gram",
        "_here",
        "_kind",
        "_lock",
        "_source_key",
        "_source_view",
        "_state",
        "device",
        "dtype",
        "n_atoms",
        "n_features",
        "source",
    )

    def __init__(self, dictionary: Array, gram: Array | None = None, *, watch: bool = True) -> None:
        kind, device, dtype = check_dictionary("prepare", dictionary, gram)
        if device != "cpu":
            dispatch.resolve("omp", device.partition(":")[0], dtype, None)
        self.device = device
        self._kind, self._here = kind, kind.on(dictionary)
        self._lock = threading.RLock()
        self.source: Any = dictionary if watch else None
        self._gram: Any = gram if watch else None
        # A view of its own, because assigning to `array.shape` must not reach it.
        self._source_view: Any = self._here.raw_view(dictionary) if watch else None
        self._source_key = kind.memory(dictionary) if watch else None
        raw_gram = None if gram is None else self._here.raw_view(gram)
        self._state = _Packed(self._here.raw_view(dictionary), raw_gram, dtype, self._here)
        self.dtype: str = dtype
        self.n_atoms, self.n_features = (int(n) for n in self._state.raw.shape)

    @property
    def shape(self) -> tuple[int, int]:
        """(n_atoms, n_features)."""
        return self.n_atoms, self.n_features

    def numpy(self) -> np.ndarray:
        """The dictionary as it is now: a read-only NumPy array of the private copy, float32 for 16-bit numbers."""
        copy = self.current()[...] if self.device == "cpu" else self._here.to_numpy(self.current())
        copy.flags.writeable = False
        return copy

    def current(self) -> np.ndarray:
        """The private copy that kernels read, brought up to date. Not to be written to: `numpy()` hands out what the
        public may hold."""
        return self._refreshed().dictionary

    def _refreshed(self) -> _Packed:
        state = self._state
        if self.source is None:
            return state
        kind = self._kind
        source = self._source_view
        moved = kind.memory(self.source) != self._source_key
        if moved:
            source = self._moved()
        if self.device != "cpu":
            return self._repacked(state, source, None) if moved else state
        if _same(source, state.raw) and (self._gram is None or _same_gram(kind.raw_view(self._gram), state.raw_gram)):
            return state
        gram = None
        if self._gram is not None:
            gram = kind.raw_view(self._gram)
            if state.raw_gram is not None and _same_gram(gram, state.raw_gram):
                # The dictionary changed and its Gram did not: it belongs to what the dictionary was.
                self._gram = gram = None
        return self._repacked(state, source, gram)

    def _repacked(self, state: _Packed, source: Array, gram: Array | None) -> _Packed:
        with self._lock:
            if self._state is not state:  # another thread has seen the same change
                return self._refreshed()
            self._state = _Packed(source, gram, self.dtype, self._here)
            return self._state

    def _moved(self) -> np.ndarray:
        """The view anew, after `tensor.data = other`, `array.shape = other` or their like."""
        source, kind = self.source, self._kind
        now = tuple(source.shape), kind.dtype(source), kind.device(source)
        if now != (self.shape, self.dtype, self.device):
            raise ValueError(
                f"the dictionary was prepared as {self.shape} {self.dtype} on {self.device}, and its array is now "
                f"{now[0]} {now[1]} on {now[2]}; prepare it again"
            )
        self._source_view, self._source_key = self._here.raw_view(source), kind.memory(source)
        return self._source_view

    def layout(self, choice: Choice, n_threads: int) -> Any:
        """The layout that the chosen kernel module made of the dictionary as it is now; the modules of one
        form and backend share it."""
        state = self._refreshed()
        backend, module, form, variant = choice
        key = (backend, form, None if variant is None else variant())
        layout = state.layouts.get(key)
        if layout is None:
            with self._lock:
                layout = state.layouts.get(key)
                if layout is None:
                    gram = state.gram if form == "gram" else None
                    layout = state.layouts[key] = module.prepare(state.dictionary, gram, n_threads)
        return layout

    def __repr__(self) -> str:
        made = ", ".join(sorted({backend for backend, _, _ in self._state.layouts})) or "none yet"
        return (
            f"PreparedDictionary({self.n_atoms} atoms of {self.n_features} features, {self.dtype}, packed for: {made})"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        state = self._refreshed()
        if self.device == "cpu":
            return _restored, (state.raw, state.raw_gram, self.dtype)
        gram = None if state.raw_gram is None else self._here.to_numpy(state.gram)
        return _restored, (self.numpy(), gram, COMPUTED_IN.get(self.dtype, self.dtype))


def _restored(raw: np.ndarray, raw_gram: np.ndarray | None, dtype: str) -> PreparedDictionary:
    prepared = object.__new__(PreparedDictionary)
    prepared._kind = prepared._here = arrays.NUMPY
    prepared._lock, prepared.device = threading.RLock(), "cpu"
    prepared.source = prepared._source_view = prepared._source_key = prepared._gram = None
    prepared._state = _Packed(raw, raw_gram, dtype, arrays.NUMPY)
    prepared.dtype = dtype
    prepared.n_atoms, prepared.n_features = (int(n) for n in raw.shape)
    return prepared


def prepare(dictionary: Array, gram: Array | None = None, *, watch: bool = True) -> PreparedDictionary:
    """Prepare a dictionary for many calls of the sparse coders: see PreparedDictionary, which this returns."""
    return PreparedDictionary(dictionary, gram, watch=watch)
