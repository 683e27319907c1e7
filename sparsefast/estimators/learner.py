"""What the estimators that learn a dictionary share: how signals go in, and codes and pictures of them out."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from sparsefast.estimators import learned_files, mini_batches
from sparsefast.estimators.batches import (
    DTYPES,
    Stream,
    Whole,
    checked_batch,
    checked_tensor,
    is_tensor,
    like,
    yields_batches,
)
from sparsefast.estimators.initial import initial_atoms
from sparsefast.estimators.learning_step import LearningStep
from sparsefast.estimators.parameters import check_parameters
from sparsefast.estimators.presenting import presented, reconstructed
from sparsefast.estimators.processes import Processes, processes_of
from sparsefast.ops.dictionary_stats import DictionaryStats
from sparsefast.ops.omp import omp
from sparsefast.sparse_code import SparseCode

Array = Any
# Unless it is asked for otherwise. Iterations over all signals take longer: there is one after each.
_BATCHES_A_CHECKPOINT = 100


class DictionaryLearner(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """The base of KSVD and OnlineDictionaryLearning, whose parameters and attributes are described there."""

    # Of online_update, for mini-batches.
    _constraint = "ball"

    n_features_in_: int
    components_: Array
    stats_: DictionaryStats | None
    objective_: list[float]

    # Set by the classes' own __init__, which scikit-learn reads the parameters from.
    n_components: int | None
    n_nonzero: int | None
    tol: float | None
    max_iter: int
    batch_size: int | None
    rho: float
    init: Any
    min_use: float
    max_coherence: float
    warm_start: bool
    output: str
    verbose: int | bool
    callback: Callable[[Any, LearningStep], bool | None] | None
    random_state: Any
    checkpoint: Any
    checkpoint_every: int | None
    process_group: Any
    backend: str | None

    def fit(self, X: Any, y: Any = None, *, resume: bool = False) -> Self:
        """Learn a dictionary.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), tensor, iterable of such batches, or function
            In NumPy, PyTorch (CPU or CUDA), or mapped from a file (`numpy.load(mmap_mode="r")`), which is read a
            batch at a time. An iterable yields batches; a function returns one for each epoch. float32 and float64 are
            computed as such, float16 tensors in float32, anything else in float64. With `process_group` what this
            process has of the samples, which may be none.
        y : ignored
        resume : bool
            Go on where a run was cut off whose checkpoint `load` has read: with the same data and parameters the
            result is that of a run that was not.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            If a parameter or X is not of an allowed type, shape or value, or X holds NaN or infinity.
        RuntimeError
            If another process of the group was lost.
        """
        check_parameters(self)
        self._check_own_parameters()
        processes = processes_of(self._name, self.process_group)
        if resume:
            check_is_fitted(self)
            expected = self.n_features_in_
            self._begins = False
        signals = self._signals(X)
        if not resume:
            self._start(signals, processes)
        elif isinstance(signals, Whole) and signals.n_features != expected:
            self.n_features_in_ = expected
            raise ValueError(f"{self._name}: X has {signals.n_features} features, and the run to resume {expected}")
        batches = isinstance(signals, Stream) or self.batch_size is not None
        total = mini_batches.count(self, signals, processes) if batches else self.max_iter
        bar = self._bar(total) if self.verbose and processes.rank == 0 else None
        try:
            if batches:
                mini_batches.learn(self, signals, processes, bar)
            else:
                assert isinstance(signals, Whole)
                self._fit_whole(signals.array, bar)
        finally:
            if bar is not None:
                bar.close()
        self._save_checkpoint(processes, every=1)
        return self

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Take one step of the online algorithm with one mini-batch, whatever `batch_size` is.

        With `process_group` each process passes its part of the batch, which may be empty but for the first.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or tensor
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError, RuntimeError
            As `fit`.
        """
        check_parameters(self)
        self._check_own_parameters()
        processes = processes_of(self._name, self.process_group)
        first = not hasattr(self, "components_")
        if first or (not is_tensor(X) and np.shape(X)[:1] != (0,)):
            batch = checked_tensor(self._name, X) if is_tensor(X) else validate_data(self, X, dtype=DTYPES, reset=first)
        else:
            batch = checked_batch(self._name, X, self.n_features_in_)
        if first:
            self._start(Whole(self._name, batch), processes)
        mini_batches.step(self, batch, processes)
        self._save_checkpoint(processes, self.checkpoint_every or _BATCHES_A_CHECKPOINT)
        return self

    def transform(self, X: Any) -> Any:
        """The sparse codes of X in the dictionary, by orthogonal matching pursuit.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or tensor

        Returns
        -------
        array, csr_array or SparseCode of shape (n_samples, n_components)
            As `output` says; tensors for a tensor.

        Raises
        ------
        ValueError
            If X has another number of features, or NaN or infinity in it.
        """
        check_is_fitted(self)
        X = self._input(X)
        return presented(self, self._encode(X, like(self.components_, X)))

    def inverse_transform(self, X: Any) -> Array:
        """The samples that codes stand for.

        Parameters
        ----------
        X : array-like, SciPy sparse array or tensor of shape (n_samples, n_components), or SparseCode

        Returns
        -------
        array or tensor of shape (n_samples, n_features)

        Raises
        ------
        ValueError
            If X has another number of columns.
        """
        check_is_fitted(self)
        return reconstructed(self._name, X, self.components_)

    def score(self, X: Any, y: Any = None) -> float:
        """Minus the mean squared error of the reconstruction of X, over samples and features: larger is better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or tensor
        y : ignored
        """
        check_is_fitted(self)
        X = self._input(X)
        atoms = like(self.components_, X)
        difference = X - self._encode(X, atoms).decode(atoms)
        return -float((difference * difference).mean())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write what was learned, and what is needed to go on, to a safetensors file, whole or not at all.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        check_is_fitted(self)
        learned_files.save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """An estimator from a file that `save`, or a checkpoint, wrote; its arrays are NumPy's.

        Parameters that are no numbers or strings, as `callback`, have their defaults: set them with `set_params`.

        Raises
        ------
        ValueError
            If it is no such file, or one of another estimator.
        OSError
            If it cannot be read.
        """
        return learned_files.load(cls, path)

    # Input

    @property
    def _name(self) -> str:
        return type(self).__name__

    def _signals(self, X: Any) -> Whole | Stream:
        if yields_batches(X):
            return Stream(self._name, X, self.max_iter)
        # As large as it may be, and looked at a batch at a time.
        mapped = isinstance(X, np.memmap) and X.ndim == 2 and X.dtype.kind in "fiu" and self.batch_size is not None
        if self.process_group is not None and np.shape(X)[:1] == (0,) and len(np.shape(X)) == 2:
            X = checked_batch(self._name, X, None)  # this process has none of the samples
        elif is_tensor(X):
            X = checked_tensor(self._name, X)
        elif not mapped:
            X = validate_data(self, X, dtype=DTYPES)
        self.n_features_in_ = int(X.shape[1])
        return Whole(self._name, X, checked=not mapped)

    def _input(self, X: Any) -> Array:
        if not is_tensor(X):
            return validate_data(self, X, dtype=DTYPES, reset=False)
        return checked_batch(self._name, X, self.n_features_in_)

    # Learning

    def _encode(self, X: Array, dictionary: Array) -> SparseCode:
        n_atoms, n_features = dictionary.shape
        n_nonzero = self.n_nonzero
        if n_nonzero is None:
            n_nonzero = min(n_atoms, max(1, n_features // 10) if self.tol is None else n_features)
        return omp(X, dictionary, n_nonzero, tol=self.tol, gradient="none", backend=self.backend)

    def _start(self, signals: Whole | Stream, processes: Processes) -> None:
        """The first dictionary, and all that is counted from zero."""
        seed = int(check_random_state(self.random_state).randint(2**31))
        if isinstance(signals, Stream):
            signals = Whole(self._name, signals.first())
        atoms, stats = None, None
        continues = self.warm_start and hasattr(self, "components_")
        if continues:
            atoms, stats = self.components_, self.stats_
            if tuple(atoms.shape) != (self.n_components or atoms.shape[0], signals.n_features):
                raise ValueError(
                    f"{self._name}: warm_start goes on with {atoms.shape[0]} components of {atoms.shape[1]} features, "
                    f"and now n_components={self.n_components} and X has {signals.n_features} features; they must agree"
                )
        if atoms is None:
            atoms = initial_atoms(self._name, signals, self.n_components, self.init, seed, processes)
        n_atoms, n_features = (int(n) for n in atoms.shape)
        if self.n_nonzero is not None and self.n_nonzero > n_atoms:
            raise ValueError(f"{self._name}: n_nonzero={self.n_nonzero}; it must be 1 to n_components={n_atoms}")
        self.n_features_in_ = n_features
        self.components_ = atoms
        self.stats_ = stats
        self.objective_ = []
        self.n_iter_ = self.n_steps_ = 0
        self._begins = not continues
        self._seed, self._epoch, self._step_in_epoch = seed, 0, 0
        self._recent_usage = np.zeros(n_atoms)

    def _check_own_parameters(self) -> None:
        """Raise where the parameters of this class alone, or several together, are not allowed."""

    def _fit_whole(self, X: Array, bar: Any) -> None:
        """All iterations over all signals at once, for a learner that has them."""
        raise NotImplementedError

    # Reports

    def _bar(self, total: int | None) -> Any:
        from tqdm.auto import tqdm

        return tqdm(desc=self._name, unit="step", total=total, initial=self.n_steps_)

    def _report(self, told: LearningStep, bar: Any, processes: Processes, every: int = _BATCHES_A_CHECKPOINT) -> bool:
        """Show and save; whether the callback says that it is enough."""
        if bar is not None:
            about = dict(epoch=told.epoch + 1, objective=f"{told.objective:.4g}", replaced=told.n_replaced)
            bar.set_postfix(about, refresh=False)  # drawn by update, which does not do so in every step
            bar.update()
        self._save_checkpoint(processes, self.checkpoint_every or every)
        return self.callback is not None and bool(self.callback(self, told))

    def _save_checkpoint(self, processes: Processes, every: int) -> None:
        due = self.n_steps_ % every == 0
        if self.checkpoint is not None and due and processes.rank == 0:
            self.save(self.checkpoint)

    @property
    def _n_features_out(self) -> int:
        return int(self.components_.shape[0])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
