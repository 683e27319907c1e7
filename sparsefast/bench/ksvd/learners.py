"""Who learns dictionaries: our estimators, and the peers'."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sparsefast.bench.contender import Absent, need, version_of
from sparsefast.bench.ksvd.whole import Array, Learner

BATCH = 1024
"""Signals in a mini-batch of ours."""
SPAMS_BATCH = 512
"""That of SPAMS's default, which also does best of 512 and 2048 here."""


def ours(quick: bool = False) -> list[Learner]:
    """K-SVD on all signals, as it comes and without its first epoch; on mini-batches; online dictionary learning."""
    import sparsefast

    def learn(make: Callable[..., Any], **options: Any) -> Callable[[Array, Array, int, float], Any]:
        def bind(signals: Array, dictionary: Array, n_nonzero: int, steps: float) -> Callable[[], Array]:
            learner = make(len(dictionary), n_nonzero=n_nonzero, init=dictionary, max_iter=int(steps), **options)
            return lambda: np.asarray(learner.fit(signals).components_)

        return bind

    iterations = (2, 5, 20) if quick else (1, 2, 3, 5, 10, 20, 40)
    epochs = (1, 4, 10) if quick else (1, 2, 4, 8, 16, 32)
    batches = f"mini-batches of {BATCH}"
    version, api = sparsefast.__version__, sparsefast
    return [
        Learner(
            "sparsefast KSVD",
            version,
            learn(api.KSVD),
            iterations,
            "iterations",
            True,
            note="an epoch of mini-batches first",
        ),
        Learner("sparsefast sweeps", version, learn(api.KSVD, online_epochs=0), iterations, "iterations", ours=True),
        Learner(
            "sparsefast KSVD batches", version, learn(api.KSVD, batch_size=BATCH), epochs, "epochs", True, note=batches
        ),
        Learner(
            "sparsefast online",
            version,
            learn(api.OnlineDictionaryLearning, batch_size=BATCH),
            epochs,
            "epochs",
            True,
            note=batches,
        ),
    ]


def theirs(names: Sequence[str] | None = None, quick: bool = False) -> tuple[list[Learner], list[tuple[str, str]]]:
    """The peers of these names, and those that are absent, with the reason."""
    found, absent = [], []
    for name, peer in PEERS.items():
        if names is not None and name not in names:
            continue
        try:
            found.append(peer(quick))
        except Absent as reason:
            absent.append((name, str(reason)))
    return found, absent


def dictlearn(quick: bool) -> Learner:
    """dictlearn's estimator with its approximate K-SVD. It takes minutes, so that it runs once."""
    module = need("dictlearn", "dictlearn")

    def bind(signals: Array, dictionary: Array, n_nonzero: int, steps: float) -> Callable[[], Array]:
        learner = module.DictionaryLearning(
            len(dictionary),
            fit_algorithm="aksvd",
            n_nonzero_coefs=n_nonzero,
            max_iter=int(steps),
            replace_unused_atoms="worst",
            dict_init=dictionary.astype(np.float64),
            random_state=0,
        )
        return lambda: np.asarray(learner.fit(signals).components_)

    steps = (2,) if quick else (20,)
    return Learner("dictlearn AK-SVD", version_of("dictlearn"), bind, steps, "iterations", repeats=1)


def spams(quick: bool) -> Learner:
    """SPAMS's online dictionary learning, with codes of at most n_nonzero atoms."""
    module = need("spams", "spams-bin")

    def bind(signals: Array, dictionary: Array, n_nonzero: int, steps: float) -> Callable[[], Array]:
        x, d = np.asfortranarray(signals.T), np.asfortranarray(dictionary.T)
        options = {
            "lambda1": n_nonzero,
            "mode": 3,  # ||code||_0 <= lambda1
            "batchsize": SPAMS_BATCH,
            "iter": math.ceil(steps * len(signals) / SPAMS_BATCH),
            "numThreads": 1,
            "verbose": False,
        }
        return lambda: np.ascontiguousarray(module.trainDL(x, D=d, K=len(dictionary), **options).T)

    epochs = (1, 4) if quick else (0.25, 1, 2, 4, 8, 16)
    note = f"mini-batches of {SPAMS_BATCH}"
    return Learner("SPAMS trainDL", version_of("spams-bin", "spams"), bind, epochs, "epochs", note=note)


PEERS = {"dictlearn": dictlearn, "spams": spams}
