"""OnlineDictionaryLearning: a dictionary from mini-batches, as a scikit-learn transformer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sparsefast.estimators.learner import DictionaryLearner
from sparsefast.estimators.learning_step import LearningStep


class OnlineDictionaryLearning(DictionaryLearner):
    """A dictionary in which signals are sparse, learned from mini-batches: each is coded (`omp`), its statistics are
    added to those of all before it (`DictionaryStats`), and the atoms are fitted to these (`online_update`).

    The memory that it takes does not depend on the number of samples: they may come from a file, from a generator or
    from several processes.

    Parameters
    ----------
    n_components : int, optional
        How many atoms; at most n_samples (of the first batch, where X yields batches). By default n_features, or as
        many as `init` has.
    n_nonzero, tol
        As for `KSVD`.
    max_iter : int
        Epochs.
    batch_size : int
        Samples of a mini-batch, of all processes together. Not used where X yields batches.
    rho : float
        How fast mini-batches are forgotten, whose codes belong to older dictionaries: at step t all earlier statistics
        are scaled by (1 - 1/t)^rho, so that batch s counts (s/t)^rho. 0: never.
    init, min_use, max_coherence, warm_start, output, verbose, callback, random_state
        As for `KSVD` with mini-batches.
    checkpoint, checkpoint_every, process_group, backend
        As for `KSVD`.

    Attributes
    ----------
    components_ : array or tensor of shape (n_components, n_features)
        The atoms, of norm at most 1; of the kind, device and dtype of X.
    objective_, n_iter_, n_steps_, stats_, n_features_in_, feature_names_in_
        As for `KSVD` with mini-batches.

    References
    ----------
    J. Mairal, F. Bach, J. Ponce, G. Sapiro, "Online dictionary learning for sparse coding", ICML 2009.

    Examples
    --------
    >>> import numpy as np, sparsefast
    >>> X = np.random.default_rng(0).standard_normal((500, 16))
    >>> learner = sparsefast.OnlineDictionaryLearning(n_components=32, n_nonzero=3, random_state=0)
    >>> for batch in np.split(X, 5):
    ...     learner = learner.partial_fit(batch)
    >>> learner.transform(X).shape, learner.n_steps_
    ((500, 32), 5)
    """

    def __init__(
        self,
        n_components: int | None = None,
        *,
        n_nonzero: int | None = None,
        tol: float | None = None,
        max_iter: int = 10,
        batch_size: int = 512,
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
        self.max_iter = max_iter
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
        if self.batch_size is None:
            raise ValueError("OnlineDictionaryLearning: batch_size=None; it must be at least 1")
