"""`python -m sparsefast.restore.make_generic [FILE]`: learn the dictionaries of `generic.py` from photographs.

The same versions of the packages give the same file on the same machine; elsewhere, to rounding.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

import numpy as np

from sparsefast.files import replace_file
from sparsefast.images.photos import TRAIN, photos
from sparsefast.restore.generic import FILE, NAMES, PATCH_SIZE
from sparsefast.restore.learning import learn_dictionary, sample_patches
from sparsefast.restore.pixels import to_planes

# By their number of channels; all of the `train` side of `photos`, grey textures for the grey dictionaries alone.
COLOUR = (
    "flower",
    "astronaut",
    "chelsea",
    "hubble_deep_field",
    "ihc",
    "motorcycle_left",
    "motorcycle_right",
    "retina",
)
GREY = (*COLOUR, "brick", "clock_motion", "coins", "grass", "moon")
N_ATOMS = {1: 256, 3: 512}
PATCHES_OF_A_PHOTO = 40_000
MAX_SIGNALS = 60_000
# Root mean square error of a pixel that the code of a patch may have, in grey levels of 256. Patches that are flat to
# within a tenth more are left out.
ERROR = 10.0
N_ITERATIONS = 25


def learnt(n_channels: int, names: Iterable[str], seed: int = 0) -> np.ndarray:
    """A dictionary (N_ATOMS[n_channels], n_channels * PATCH_SIZE²), float32, of the patches of these photographs."""
    library = photos(TRAIN)
    parts = []
    for i, name in enumerate(names):
        image = library[name].astype(np.float32)
        if n_channels == 1 and image.ndim == 3:
            image = image.mean(axis=2)
        parts.append(sample_patches(to_planes(image), PATCH_SIZE, seed + i, PATCHES_OF_A_PHOTO))
    signals = np.concatenate(parts)
    tol = ERROR * np.sqrt(signals.shape[1])
    signals = signals[np.linalg.norm(signals, axis=1) > 1.1 * tol]
    rng = np.random.default_rng(seed)
    signals = np.ascontiguousarray(signals[rng.permutation(len(signals))[:MAX_SIGNALS]])
    n_atoms = N_ATOMS[n_channels]
    start = signals[:n_atoms] / np.linalg.norm(signals[:n_atoms], axis=1, keepdims=True)
    return learn_dictionary(signals, start, tol, N_ITERATIONS, prior=0, seed=seed)


def main(path: str) -> None:
    """Learn them all and write the file."""
    from safetensors.numpy import save

    photographs = {1: GREY, 3: COLOUR}
    found = {name: learnt(n, photographs[n]).astype(np.float16) for n, name in NAMES.items()}
    replace_file(path, save(found, metadata={"format": "1"}))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else str(FILE))
