"""What the Numba kernels do in pieces: dtypes that they hold in float32."""

import numpy as np
import pytest

from sparsefast.kernels import patch_grid
from sparsefast.kernels.numba import fold as module
from tests.kernels.helper import Kernel
from tests.kernels.patches.helper import fold, fold_at, numbers, patches_shape

NUMBA = Kernel("numba", "", "fold")


@pytest.mark.parametrize("dtype", ["uint8", "float16", "bfloat16"])
@pytest.mark.parametrize("rows", [False, True], ids=["columns", "rows"])
def test_images_are_widened_some_at_a_time_and_in_pieces(
    monkeypatch: pytest.MonkeyPatch, dtype: str, rows: bool
) -> None:
    grid = patch_grid.grid((12, 17), (4, 3), (2, 2), "clamp_last")
    patches = numbers(patches_shape(5, 3, grid.n_patches, grid.patch, rows), dtype)
    confidence = np.random.default_rng(0).uniform(0.1, 1, (5, grid.n_patches))
    corners = np.random.default_rng(0).integers(-2, 14, (5, grid.n_patches, 2))

    def results() -> list[bytes]:
        found = []
        for normalize in (False, True):
            more = {"confidence": confidence, "normalize": normalize, "n_threads": 2}
            found.append(fold(NUMBA, patches, grid, rows, dtype, **more).tobytes())
            for own in (corners, corners[:1]):
                found.append(fold_at(NUMBA, patches, own, grid.image, grid.patch, rows, dtype, **more).tobytes())
        return found

    expected = results()
    monkeypatch.setattr(module, "PIECE", 1000)
    for at_once in (1, 2):
        monkeypatch.setattr(module, "WIDENED_BYTES", at_once * 4 * (patches[0].size + 3 * 12 * 17))
        assert results() == expected
