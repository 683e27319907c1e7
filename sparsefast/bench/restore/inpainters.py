"""Who fills in missing pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sparsefast.bench.contender import need, version_of
from sparsefast.bench.restore.contender import Contender, within

RBF_NEIGHBORS = 50


def ours(backends: Sequence[str]) -> list[Contender]:
    """The default, on the backend that `auto` takes, or on each of these."""
    import sparsefast
    from sparsefast.restore import inpaint

    chosen: list[str | None] = [*backends] or [None]
    return [
        Contender(
            "sparsefast" if backend is None else f"sparsefast {backend}",
            sparsefast.__version__,
            "inpaint(image, known)",
            inpaint,
            True,
            within(backend),
        )
        for backend in chosen
    ]


def rbf(kernel: str) -> Contender:
    """SciPy's radial basis functions, with more neighbours than we take."""
    interpolate = need("scipy.interpolate", "scipy")

    def run(image: np.ndarray, known: np.ndarray) -> np.ndarray:
        places = np.argwhere(known).astype(np.float64)
        interpolator = interpolate.RBFInterpolator(places, image[known], neighbors=RBF_NEIGHBORS, kernel=kernel)
        result = image.astype(np.float64)
        result[~known] = interpolator(np.argwhere(~known).astype(np.float64))
        return result

    return Contender(f"RBF {kernel}", version_of("scipy"), f"{RBF_NEIGHBORS} neighbours", run)


def biharmonic() -> Contender:
    """scikit-image's biharmonic equation."""
    restoration = need("skimage.restoration", "scikit-image")

    def run(image: np.ndarray, known: np.ndarray) -> np.ndarray:
        colour = image.ndim == 3
        return 255 * restoration.inpaint_biharmonic(image / 255, ~known, channel_axis=-1 if colour else None)

    return Contender("biharmonic", version_of("scikit-image"), "", run)


def opencv(method: str) -> Contender:
    """OpenCV, which takes 8 bits."""
    cv2 = need("cv2", "opencv-python-headless")
    flag = {"Telea": cv2.INPAINT_TELEA, "NS": cv2.INPAINT_NS}[method]

    def run(image: np.ndarray, known: np.ndarray) -> np.ndarray:
        return cv2.inpaint(image.astype(np.uint8), (~known).astype(np.uint8), 3, flag).astype(np.float64)

    return Contender(f"OpenCV {method}", cv2.__version__, "radius 3", run)


PEERS = {
    "RBF linear": lambda: rbf("linear"),
    "RBF thin_plate_spline": lambda: rbf("thin_plate_spline"),
    "biharmonic": biharmonic,
    "OpenCV Telea": lambda: opencv("Telea"),
    "OpenCV NS": lambda: opencv("NS"),
}
