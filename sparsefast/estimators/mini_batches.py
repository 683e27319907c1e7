"""Learning from mini-batches, by one process or several: code a batch, add its statistics to those that were, and
update the atoms from these.

Source: J. Mairal, F. Bach, J. Ponce, G. Sapiro, Online dictionary learning for sparse coding, ICML 2009, Algorithm 1.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from sparsefast.estimators.batches import Stream, Whole, checked_batch, host, like
from sparsefast.estimators.learning_step import LearningStep
from sparsefast.estimators.processes import Processes
from sparsefast.ops.dictionary_stats import DictionaryStats
from sparsefast.ops.online_update import online_update
from sparsefast.ops.replace_atoms import dead_atoms, replace_atoms

Array = Any
# Atoms are looked at for dead ones when each could have been used so often since the last time.
_USES_A_LOOK = 100


def learn(learner: Any, signals: Whole | Stream, processes: Processes, bar: Any) -> None:
    """All epochs that are left of `max_iter`, or until the callback says that it is enough."""
    for epoch in range(learner._epoch, learner.max_iter):
        for batch in _batches(learner, signals, epoch, processes):
            learner._step_in_epoch += 1
            if learner._report(step(learner, batch, processes), bar, processes):
                return
        learner._epoch, learner._step_in_epoch = epoch + 1, 0
        learner.n_iter_ = epoch + 1


def count(learner: Any, signals: Whole | Stream, processes: Processes) -> int | None:
    """How many steps all epochs take, if that is known."""
    if isinstance(signals, Stream):
        return None
    return int(learner.max_iter * -(-processes.before_and_all(len(signals))[1] // learner.batch_size))


def step(learner: Any, batch: Array, processes: Processes) -> LearningStep:
    """One step with the part (n, n_features) of a mini-batch that this process has, n >= 0."""
    atoms = like(learner.components_, batch)
    code = learner._encode(batch, atoms)
    n_atoms, n_features = atoms.shape
    new = DictionaryStats(n_atoms, n_features, like=atoms).add(batch, code, backend=learner.backend)
    difference = batch - code.decode(atoms)
    errors = host((difference * difference).sum(1)).astype(np.float64)
    error = processes.merged(new, float(errors.sum()))
    learner.n_steps_ += 1
    learner._recent_usage = learner._recent_usage + host(new.usage)
    # Counted before forgetting: no process may see another number than the next.
    objective = error / (2 * max(1.0, new.n_signals))
    old = learner.stats_
    if old is not None:
        if old.kind is not new.kind or old.device != new.device:
            old = _stats_like(old, atoms)
        new += old.scale((1 - 1 / learner.n_steps_) ** learner.rho)
    learner.stats_ = new
    atoms = online_update(new, atoms, constraint=learner._constraint, backend=learner.backend)
    n_replaced = 0
    if learner._recent_usage.sum() >= _USES_A_LOOK * len(learner._recent_usage):
        atoms, n_replaced = _replaced(learner, atoms, batch, errors, processes)
        learner._recent_usage = np.zeros(len(learner._recent_usage))
    learner.components_ = atoms
    learner.objective_.append(objective)
    return LearningStep(learner._epoch, learner.n_steps_, objective, n_replaced)


def _batches(learner: Any, signals: Whole | Stream, epoch: int, processes: Processes) -> Iterator[Array]:
    """What this process has of each batch of an epoch, from the first that was not yet taken."""
    done = learner._step_in_epoch
    if isinstance(signals, Whole):
        size = learner.batch_size
        before, n = processes.before_and_all(len(signals))
        # The batches of all processes together, of which each takes what it has: they learn what one process would.
        order = np.random.default_rng([learner._seed, epoch]).permutation(n)
        for at in range(done * size, n, size):
            mine = order[at : at + size] - before
            yield signals.rows(mine[(mine >= 0) & (mine < len(signals))])
        return
    batches = itertools.islice(signals.epoch(), done, None)
    while True:
        batch = next(batches, None)
        if not processes.total(np.array([float(batch is not None)]))[0]:
            return
        empty = learner.components_[:0]
        yield checked_batch(learner._name, empty if batch is None else batch, learner.n_features_in_)


def _replaced(learner: Any, atoms: Array, batch: Array, errors: np.ndarray, processes: Processes) -> tuple[Array, int]:
    """Dead and duplicate atoms replaced by the signals of this batch, of all processes, that were worst."""
    usage = learner._recent_usage
    dead = dead_atoms(host(atoms).astype(np.float64), usage, learner.min_use, learner.max_coherence)
    if not dead.size:
        return atoms, 0
    most = 4 * len(dead) + 16
    worst = np.argsort(-errors, kind="stable")[:most]
    rows = np.column_stack([errors[worst], host(batch)[worst].astype(np.float64)])
    rows = processes.gathered(rows)
    # By error and then by the signal itself: the same order whoever had it.
    rows = rows[np.lexsort((*rows.T[:0:-1], -rows[:, 0]))][:most]
    new, replaced = replace_atoms(
        rows[:, 1:],
        host(atoms).astype(np.float64),
        rows[:, 0],
        usage,
        min_use=learner.min_use,
        max_coherence=learner.max_coherence,
        seed=np.random.default_rng([learner._seed, learner.n_steps_]),
    )
    # What was gathered for the old ones says nothing of the new ones.
    stats = learner.stats_
    stats.A[:, replaced] = 0
    for x in (stats.A, stats.B, stats.usage):
        x[replaced] = 0
    return like(new, atoms), len(replaced)


def _stats_like(stats: DictionaryStats, other: Array) -> DictionaryStats:
    """The same statistics in arrays of the kind and device of another array."""
    moved, here = DictionaryStats(stats.n_atoms, stats.n_features, like=other), stats.numpy()
    for name in ("A", "B", "usage", "totals"):
        x = getattr(moved, name)
        x[...] = like(getattr(here, name), x)
    return moved
