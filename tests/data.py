"""The problems that tests are run on: signals (N, F) and dictionaries (K, F), seeded, made in one place."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

# (N, F, K) that suit no tile, beside one that suits them all.
ODD_SIZES = [(37, 49, 250), (21, 63, 100), (19, 5, 7), (23, 130, 33), (9, 24, 257), (64, 64, 256)]


@dataclass(frozen=True, eq=False)
class Problem:
    """Signals (N, F) and a dictionary (K, F) of one dtype; itself and no other, so that what is known of it can be
    cached."""

    name: str
    signals: np.ndarray
    dictionary: np.ndarray

    def astype(self, dtype: type) -> Problem:
        return Problem(self.name, self.signals.astype(dtype), self.dictionary.astype(dtype))


def unit(dictionary: np.ndarray) -> np.ndarray:
    """Atoms divided by their norms."""
    return dictionary / np.linalg.norm(dictionary, axis=1, keepdims=True)


def random_problem(n_signals: int, n_features: int, n_atoms: int, seed: int = 0) -> Problem:
    """Gaussian signals and unit Gaussian atoms."""
    rng = np.random.default_rng(seed)
    return Problem(
        "random", rng.standard_normal((n_signals, n_features)), unit(rng.standard_normal((n_atoms, n_features)))
    )


def coherent_problem(n_signals: int, n_features: int, n_atoms: int, seed: int = 1) -> Problem:
    """Unit atoms around one direction (inner products near 0.8), which the signals lean to too."""
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal(n_features)
    return Problem(
        "coherent",
        rng.standard_normal((n_signals, n_features)) + shared,
        unit(0.5 * rng.standard_normal((n_atoms, n_features)) + shared),
    )


def non_unit_problem(n_signals: int, n_features: int, n_atoms: int, seed: int = 2) -> Problem:
    """Atoms with norms from 1e-3 to 1e3, in random order."""
    problem = random_problem(n_signals, n_features, n_atoms, seed)
    norms = np.random.default_rng(seed).permutation(np.logspace(-3, 3, n_atoms))
    return Problem("non-unit", problem.signals, problem.dictionary * norms[:, None])


def decoy_problem(n_signals: int, n_features: int, n_atoms: int, seed: int = 5) -> Problem:
    """Signals that are two atoms less a little of a direction that a third shares with both: that one is the best at
    first, and has no place among the three with a positive weight. A quarter of the atoms are such decoys."""
    rng = np.random.default_rng(seed)
    n_decoys = n_atoms // 4
    plain = unit(rng.standard_normal((n_atoms - n_decoys, n_features)))
    pairs = np.array([rng.choice(len(plain), 2, replace=False) for _ in range(n_decoys)])
    apart = unit(rng.standard_normal((n_decoys, n_features)))
    decoys = unit(plain[pairs].sum(axis=1) + 0.5 * apart)
    which = rng.integers(0, n_decoys, n_signals)
    noise = 0.02 * rng.standard_normal((n_signals, n_features))
    signals = plain[pairs[which]].sum(axis=1) - 0.2 * apart[which] + noise
    return Problem("decoy", signals, np.concatenate([plain, decoys]))


def sparse_problem(
    n_signals: int, n_features: int, n_atoms: int, n_nonzero: int, noise: float, seed: int = 3
) -> Problem:
    """Signals of unit norm that are n_nonzero atoms, plus noise of norm `noise` orthogonal to those atoms."""
    rng = np.random.default_rng(seed)
    dictionary = unit(rng.standard_normal((n_atoms, n_features)))
    signals = np.empty((n_signals, n_features))
    for n in range(n_signals):
        selected = dictionary[rng.choice(n_atoms, n_nonzero, replace=False)]
        signal = (rng.uniform(1, 2, n_nonzero) * rng.choice([-1, 1], n_nonzero)) @ selected
        rest = rng.standard_normal(n_features)
        rest -= np.linalg.lstsq(selected.T, rest, rcond=None)[0] @ selected
        signals[n] = signal / np.linalg.norm(signal) + noise * rest / np.linalg.norm(rest)
    return Problem("sparse", signals, dictionary)


@functools.cache
def photograph() -> np.ndarray:
    """A photograph that scikit-learn brings along (china.jpg, by danielbuechele, CC BY 2.0), (H, W, 3) in [0, 1]."""
    from sklearn.datasets import load_sample_image

    return load_sample_image("china.jpg") / 255.0


def photo_patches(n_patches: int, patch_size: int, seed: int = 4) -> np.ndarray:
    """Random grey patches (n_patches, patch_size**2) of the photograph, their means removed."""
    grey = photograph().mean(axis=2)
    windows = np.lib.stride_tricks.sliding_window_view(grey, (patch_size, patch_size))
    rng = np.random.default_rng(seed)
    rows, columns = (rng.integers(0, n, n_patches) for n in windows.shape[:2])
    patches = windows[rows, columns].reshape(n_patches, -1)
    return patches - patches.mean(axis=1, keepdims=True)


def photo_problem(n_signals: int, patch_size: int, n_atoms: int, seed: int = 4) -> Problem:
    """Patches of the photograph, coded in other patches of it: coherent, and flat ones among the signals."""
    candidates = photo_patches(4 * n_atoms, patch_size, seed + 1)
    norms = np.linalg.norm(candidates, axis=1)
    atoms = unit(candidates[norms > 0.1 * np.median(norms)][:n_atoms])
    return Problem("photo", photo_patches(n_signals, patch_size, seed), atoms)


def problems() -> list[Problem]:
    """One of each kind, in float64."""
    return [
        *(random_problem(*size) for size in ODD_SIZES),
        coherent_problem(31, 49, 90),
        non_unit_problem(33, 40, 130),
        photo_problem(101, 8, 256),
    ]


@functools.cache
def few_problems() -> tuple[Problem, ...]:
    """One of each kind again, with few signals: for kernels that are slow to check."""
    return (
        *(random_problem(n // 2, f, k, 6) for n, f, k in ODD_SIZES[:5]),
        coherent_problem(11, 21, 40, 6),
        non_unit_problem(12, 24, 67, 6),
        photo_problem(25, 7, 100, 6),
    )


def hidden(signals: np.ndarray, share: float, seed: int = 7) -> np.ndarray:
    """A mask (N, F) of what is observed, True but for that share of the features, other ones for each signal."""
    return np.random.default_rng(seed).random(signals.shape) >= share


def problem_id(problem: Problem) -> str:
    return f"{problem.name}-{'x'.join(map(str, (*problem.signals.shape, len(problem.dictionary))))}"
