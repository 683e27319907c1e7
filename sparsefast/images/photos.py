"""The photographs that other packages ship, for demonstrations, tests and benchmarks: nothing is downloaded."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

# Photographs of ordinary scenes, by the package that ships them and the folder inside it.
_SOURCES = {
    "sklearn": ("datasets/images", ("china.jpg", "flower.jpg")),
    "skimage": (
        "data",
        (
            "astronaut.png",
            "camera.png",
            "chelsea.png",
            "coffee.png",
            "coins.png",
            "hubble_deep_field.jpg",
            "rocket.jpg",
        ),
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
        from PIL import Image

        with Image.open(self.paths[name]) as image:
            return np.array(image.convert("L" if image.mode == "L" else "RGB"))

    def __iter__(self) -> Iterator[str]:
        return iter(self.paths)

    def __len__(self) -> int:
        return len(self.paths)

    def __repr__(self) -> str:
        return f"Photos({', '.join(self.paths)})"


def photos() -> Photos:
    """The photographs that scikit-learn and scikit-image ship, as far as these are installed.

    Returns
    -------
    mapping of str to array of shape (height, width, 3) or (height, width), uint8
        "china" and "flower" (scikit-learn), then "astronaut", "camera", "chelsea" and others (scikit-image). Neither
        package is imported.
    """
    found: dict[str, Path] = {}
    for package, (folder, files) in _SOURCES.items():
        spec = importlib.util.find_spec(package)
        for root in (spec.submodule_search_locations or ()) if spec else ():
            for path in (Path(root, folder, file) for file in files):
                if path.is_file():
                    found.setdefault(path.stem, path)
    return Photos(found)
