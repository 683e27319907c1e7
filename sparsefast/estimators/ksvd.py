"""KSVD: a dictionary from signals by K-SVD, as a scikit-learn transformer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sparsefast import arrays
from sparsefast.estimators.batches import host, like
from sparsefast.estimators.learner import DictionaryLearner
from sparsefast.estimators.learning_step import LearningStep
from sparsefast.estimators.processes import Alone
from sparsefast.ops.ksvd_update import METHODS, ksvd_update
from sparsefast.ops.replace_atoms import replace_atoms

Array = Any
# Of the mini-batches before the first iteration: an epoch leaves a smaller error than with larger ones, and takes less
# time than with smaller ones.
_BATCH = 512


class KSVD(DictionaryLearner):
    """A dictionary in which signals are sparse, learned by K-SVD: sparse coding (`omp`) of all signals and a sweep over
    all atoms (`ksvd_update`) in turn.

    With a `batch_size` it learns from mini-batches instead: the atoms are updated from sufficient statistics, by the
    same fit of each atom to the error without it, but with coefficients that are held. That needs memory for a batch
    alone, and can run in several processes.

    Parameters
    ----------
    n_components : int, optional
        How many atoms; at most n_samples. By default n_features, or as many as `init` has.
    n_nonzero : int, optional
        The largest number of atoms for a sample, 1 to n_components. By default a tenth of n_features, at least 1; with
        a `tol` min(n_features, n_components), so that `tol` alone decides.
    tol : float, optional
        Stop coding a sample when the norm of its residual, ||r||_2 (not squared), is at most this.
    method : {"approx", "exact"}
        Of `ksvd_update`. Mini-batches take "approx".
    max_iter : int
        Iterations; with mini-batches epochs.
    online_epochs : int
        Epochs over mini-batches of 512 samples before the first iteration: many small steps come further at first than
        a few large ones, and K-SVD ends at a smaller error. 0: none, as in the paper. Not used with mini-batches.
    batch_size : int, optional
        Samples of a mini-batch, of all processes together; None: no mini-batches, unless X yields batches.
    rho : float
        How fast mini-batches are forgotten, whose codes belong to older dictionaries: at step t all earlier statistics
        are scaled by (1 - 1/t)^rho, so that batch s counts (s/t)^rho. 0: never.
    init : "signals" or array of shape (n_components, n_features)
        The dictionary to start from: random samples, or this one; scaled to unit norm.
    min_use : float
        An atom that fewer samples use in an iteration is dead and replaced (see `replace_atoms`); with mini-batches, in
        the time in which 100 uses an atom are made.
    max_coherence : float
        Of two atoms with |cos| above this, one is replaced; above 0, at most 1.
    warm_start : bool
        `fit` goes on with the dictionary, and with mini-batches the statistics, that it finds.
    output : {"dense", "csr", "code"}
        What `transform` returns: as for `SparseCoder`; "csr" of a tensor is a sparse tensor.
    verbose : int or bool
        A progress bar on standard error.
    callback : function of the estimator and a LearningStep, optional
        Called after each step (epoch, step, objective, n_replaced); learning ends when it returns true, which all
        processes of a group have to agree on.
    random_state : int, numpy.random.RandomState or None
    checkpoint : path, optional
        A file that is written every `checkpoint_every` steps and at the end, whole or not at all: `load` reads it, and
        `fit(X, resume=True)` goes on from there.
    checkpoint_every : int, optional
        Steps. By default every iteration, or every 100 mini-batches.
    process_group : None, "world" or torch.distributed.ProcessGroup
        Learn in several processes (`torchrun`), each of which passes its own part of the samples as X and gets the same
        dictionary, the one that a single process learns from all of them. Needs mini-batches.
    backend : {"auto", "cuda", "cpu", "numba", "reference"}, optional
        As for `omp` and `ksvd_update`.

    Attributes
    ----------
    components_ : array or tensor of shape (n_components, n_features)
        The atoms, of unit norm; of the kind, device and dtype of X.
    objective_ : list of float
        The mean of ½||x - Dγ||² after each iteration; with mini-batches of each batch before its update.
    n_iter_ : int
        Iterations, or epochs, that were completed.
    n_steps_ : int
        Iterations, or mini-batches.
    stats_ : DictionaryStats or None
        Of the mini-batches, forgetting included.
    n_features_in_ : int
    feature_names_in_ : array of shape (n_features_in_,)
        Where X had names that are all strings.

    References
    ----------
    M. Aharon, M. Elad, A. Bruckstein, "K-SVD: an algorithm for designing overcomplete dictionaries for sparse
    representation", IEEE Trans. Signal Processing 54, 2006. R. Rubinstein, M. Zibulevsky, M. Elad, "Efficient
    implementation of the K-SVD algorithm using Batch Orthogonal Matching Pursuit", Technion CS-2008-08.

    Examples
    --------
    >>> import numpy as np, sparsefast
    >>> X = np.random.default_rng(0).standard_normal((500, 16))
    >>> ksvd = sparsefast.KSVD(n_components=32, n_nonzero=3, max_iter=5, random_state=0).fit(X)
    >>> ksvd.transform(X).shape, bool(ksvd.objective_[-1] < ksvd.objective_[0])
    ((500, 32), True)
    """

    _constraint = "sphere"

    def __init__(
        self,
        n_components: int | None = None,
        *,
        n_nonzero: int | None = None,
        tol: float | None = None,
        method: str = "approx",
        max_iter: int = 20,
        online_epochs: int = 1,
        batch_size: int | None = None,
        rho: float = 10.0,
        init: Any = "signals",
        min_use: float = 1,
        max_coherence: float = 0.99,
        warm_start: bool = False,
        output: str = "dense",
        verbose: int | bool = 0,
        callback: Callable[[Any, LearningStep], bool | None] | None = None,
        random_state: Any = None,
        checkpoint: Any = None,
        checkpoint_every: int | None = None,
        process_group: Any = None,
        backend: str | None = None,
    ) -> None:
        self.n_components = n_components
        self.n_nonzero = n_nonzero
        self.tol = tol
        self.method = method
        self.max_iter = max_iter
        self.online_epochs = online_epochs
        self.batch_size = batch_size
        self.rho = rho
        self.init = init
        self.min_use = min_use
        self.max_coherence = max_coherence
        self.warm_start = warm_start
        self.output = output
        self.verbose = verbose
        self.callback = callback
        self.random_state = random_state
        self.checkpoint = checkpoint
        self.checkpoint_every = checkpoint_every
        self.process_group = process_group
        self.backend = backend

    def _check_own_parameters(self) -> None:
        if arrays.index(self.online_epochs, "KSVD: online_epochs") < 0:
            raise ValueError(f"KSVD: online_epochs={self.online_epochs}; it must be at least 0")
        if self.method not in METHODS:
            raise ValueError(f"KSVD: method={self.method!r}; it must be one of {', '.join(METHODS)}")
        if self.method != "approx" and self.batch_size is not None:
            raise ValueError(
                f'KSVD: method={self.method!r} with batch_size={self.batch_size}; mini-batches take "approx"'
            )
        if self.process_group is not None and self.batch_size is None:
            raise ValueError(
                "KSVD: process_group is given and batch_size=None; several processes learn from mini-batches, so pass "
                "a batch_size"
            )

    def _fit_whole(self, X: Array, bar: Any) -> None:
        if self._begins and self.online_epochs:
            self.components_ = self._after_mini_batches(X)
        for epoch in range(self._epoch, self.max_iter):
            atoms = like(self.components_, X)
            code = self._encode(X, atoms)
            update = ksvd_update(X, atoms, code, method=self.method, backend=self.backend)
            self.components_, replaced = replace_atoms(
                X,
                update.dictionary,
                update.errors,
                update.usage,
                min_use=self.min_use,
                max_coherence=self.max_coherence,
                seed=np.random.default_rng([self._seed, epoch]),
            )
            errors = host(update.errors).astype(np.float64)
            self.objective_.append(float(errors @ errors) / (2 * len(errors)))
            self._epoch = self.n_iter_ = epoch + 1
            self.n_steps_ += 1
            if self._report(
                LearningStep(epoch, self.n_steps_, self.objective_[-1], len(replaced)), bar, Alone(), every=1
            ):
                return

    def _after_mini_batches(self, X: Array) -> Array:
        more = dict(n_components=None, init=self.components_, max_iter=self.online_epochs, batch_size=_BATCH)
        alone = dict(method="approx", random_state=self._seed, verbose=0, callback=None, checkpoint=None)
        learner = KSVD(**self.get_params() | more | alone | dict(warm_start=False))
        return learner.fit(X).components_
