"""The photographs that other packages ship, for demonstrations, tests and benchmarks: nothing is downloaded."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

TRAIN, HELD_OUT = "train", "held-out"

# By the package that ships them and the folder inside it: real photographs (scenes, textures, a retina, stained
# tissue, the sky), and the side of the split that each is on. Two views of one scene are on the same side, and either
# package alone has both sides.
_SOURCES = {
    "sklearn": ("datasets/images", {"china.jpg": HELD_OUT, "flower.jpg": TRAIN}),
    "skimage": (
        "data",
        {
            "astronaut.png": TRAIN,
            "brick.png": TRAIN,
            "camera.png": HELD_OUT,
            "chelsea.png": TRAIN,
            "clock_motion.png": TRAIN,
            "coffee.png": HELD_OUT,
            "coins.png": TRAIN,
            "grass.png": TRAIN,
            "gravel.png": HELD_OUT,
            "hubble_deep_field.jpg": TRAIN,
            "ihc.png": TRAIN,
            "moon.png": TRAIN,
            "motorcycle_left.png": TRAIN,
            "motorcycle_right.png": TRAIN,
            "retina.jpg": TRAIN,
            "rocket.jpg": HELD_OUT,
        },
    ),
}


class Photos(Mapping[str, np.ndarray]):
    """Photographs by name; each is read from its file when it is looked up, and not kept."""

    def __init__(self, paths: dict[str, Path]) -> None:
        self.paths = paths

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.paths:
            known = ", ".join(self.paths) or "none; install scikit-learn or scikit-image"
            raise KeyError(f"photo {name!r} is not among those installed: {known}")
        from sparsefast.images.reading import read

        return read(self.paths[name]).pixels

    def __contains__(self, name: object) -> bool:
        # Mapping's own would read the picture to find out.
        return name in self.paths

    def __iter__(self) -> Iterator[str]:
        return iter(self.paths)

    def __len__(self) -> int:
        return len(self.paths)

    def __repr__(self) -> str:
        return f"Photos({', '.join(self.paths)})"


def photos(split: str | None = None) -> Photos:
    """The photographs that scikit-learn and scikit-image ship, as far as these are installed.

    Parameters
    ----------
    split : {"train", "held-out"} or None
        One side of a fixed split by photograph, or all of them. No photograph, and no other view of its scene, is on
        both sides.

    Returns
    -------
    mapping of str to array of shape (H, W, 3) or (H, W), uint8
        "china" and "flower" (scikit-learn), then "astronaut", "brick", "camera" and others (scikit-image). Neither
        package is imported.

    Raises
    ------
    ValueError
        If the split is another.
    """
    if split not in (TRAIN, HELD_OUT, None):
        raise ValueError(f"photos: split={split!r} must be {TRAIN!r}, {HELD_OUT!r} or None")
    found: dict[str, Path] = {}
    for package, (folder, files) in _SOURCES.items():
        spec = importlib.util.find_spec(package)
        for root in (spec.submodule_search_locations or ()) if spec else ():
            for path in (Path(root, folder, file) for file, side in files.items() if split in (side, None)):
                if path.is_file():
                    found.setdefault(path.stem, path)
    return Photos(found)
