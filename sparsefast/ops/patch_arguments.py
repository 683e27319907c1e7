"""What `unfold` and `fold` share: the checks of their arguments, and the way of arrays to a kernel and back.

Messages begin with the name of the op and of the argument, what it was, and what it must be.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sparsefast import arrays
from sparsefast.arrays import Array, Kind
from sparsefast.kernels.patch_grid import BORDERS, Grid, grid, sizes_alone

LAYOUTS = ("columns", "patches", "signals")
DTYPES = ("uint8", "float16", "bfloat16", "float32", "float64")

Pair = tuple[int, int]


@dataclass(slots=True)
class Placement:
    """Where patches lie, and how an array of them is laid out."""

    grid: Grid
    """Where they lie at centers, it has the sizes alone."""
    centers: Array | None
    layout: str
    border: str
    stride: Pair

    @property
    def rows(self) -> bool:
        """Whether the numbers of a patch lie together, for kernels."""
        return self.layout != "columns"

    @property
    def patch(self) -> Pair:
        # By the fields: torch.compile follows properties of named tuples only from 2.11 on.
        return self.grid.y.patch, self.grid.x.patch

    @property
    def image(self) -> Pair:
        return self.grid.y.size, self.grid.x.size

    @property
    def n_patches(self) -> int:
        if self.centers is not None:
            return int(self.centers.shape[-2])
        return self.grid.y.count * self.grid.x.count

    def shape(self, batch: tuple[int, ...], channels: int) -> tuple[int, ...]:
        """The shape of an array of all patches."""
        height, width = self.patch
        n_features = channels * height * width
        if self.layout == "columns":
            return (*batch, n_features, self.n_patches)
        if self.layout == "signals":
            return (*batch, self.n_patches, n_features)
        return (*batch, self.n_patches, channels, height, width)

    def dense_shape(self, batch: int, channels: int) -> tuple[int, ...]:
        """The same as kernels have it, in three dimensions."""
        n_features = channels * self.patch[0] * self.patch[1]
        return (batch, self.n_patches, n_features) if self.rows else (batch, n_features, self.n_patches)


def check_pair(op: str, name: str, value: Any) -> Pair:
    """An int or a pair of them, for height and width, of at least 1."""
    given = value if isinstance(value, (tuple, list)) else (value, value)
    if len(given) != 2:
        raise ValueError(f"{op}: {name}={value!r}; it must be an integer or a pair of them, for height and width")
    height, width = (x if type(x) is int else arrays.index(x, f"{op}: {name}") for x in given)
    if height < 1 or width < 1:
        raise ValueError(f"{op}: {name}={value!r}; it must be at least 1")
    return height, width


def check_word(op: str, name: str, value: Any, allowed: tuple[str, ...]) -> str:
    """One of a few words."""
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{op}: {name}={value!r}; it must be one of {', '.join(map(repr, allowed))}")
    return value


def check_placement(
    op: str,
    size: Pair,
    patch_size: Any,
    stride: Any,
    border: str,
    layout: str,
    centers: Array | None = None,
    batch: int | None = None,
) -> Placement:
    """The places of patches in images of this size."""
    patch = check_pair(op, "patch_size", patch_size)
    steps = check_pair(op, "stride", stride)
    check_word(op, "border", border, BORDERS)
    check_word(op, "layout", layout, LAYOUTS)
    if centers is not None:
        if steps != (1, 1):
            raise ValueError(f"{op}: stride={stride!r} is for patches on a grid; leave it out with centers")
        shape = tuple(centers.shape)
        allowed = [2] if batch is None else [2, 3]
        if len(shape) not in allowed or shape[-1] != 2 or (len(shape) == 3 and shape[0] != batch):
            raise ValueError(
                f"{op}: centers has shape {shape}; it must be (n_patches, 2), rows and columns"
                + (f", or ({batch}, n_patches, 2)" if batch is not None else "")
            )
        return Placement(sizes_alone(size, patch), centers, layout, border, (1, 1))
    if border != "pad" and (patch[0] > size[0] or patch[1] > size[1]):
        raise ValueError(f"{op}: patch_size {patch} is larger than the image {size}")
    return Placement(grid(size, patch, steps, border), None, layout, border, steps)


def check_array(op: str, name: str, x: Array, ndims: tuple[int, ...], shapes: str) -> tuple[Kind, str, str]:
    """The kind, the device in full and the dtype of an array of pixels."""
    kind = arrays.KINDS.get(type(x)) or arrays.kind_of(x, f"{op}: {name}")
    dtype = kind.dtype(x)
    if dtype not in DTYPES or (dtype == "bfloat16" and "bfloat16" not in kind.dtypes):
        raise TypeError(f"{op}: {name} has dtype {dtype}; it must be one of {', '.join(DTYPES)}")
    if x.ndim not in ndims:
        raise ValueError(f"{op}: {name} has shape {tuple(x.shape)}; it must be {shapes}")
    return kind, kind.device(x), dtype


def check_images(op: str, images: Array) -> tuple[Kind, str, str, Pair]:
    """Kind, device, dtype and (height, width) of images."""
    kind, device, dtype = check_array(op, "images", images, (3, 4), "(B, C, H, W) or (C, H, W)")
    height, width = (int(n) for n in images.shape[-2:])
    if height < 1 or width < 1:
        raise ValueError(f"{op}: images has shape {tuple(images.shape)}; height and width must be at least 1")
    return kind, device, dtype, (height, width)


def check_beside(op: str, name: str, x: Array, kind: Kind, device: str, first: str) -> None:
    """Raise unless an array is of the kind and on the device of the first one."""
    other = arrays.kind_of(x, f"{op}: {name}")
    if other is not kind:
        raise TypeError(f"{op}: {first} is {kind.words} and {name} {other.words}; pass both as one kind")
    if other.device(x) != device:
        raise ValueError(f"{op}: {first} is on {device} and {name} on {other.device(x)}; move one of them")


def check_out(
    op: str, out: Array, shape: tuple[int, ...], first: str, x: Array, described: tuple[Kind, str, str]
) -> None:
    """Raise unless a result of this shape can be written to `out`: beside `x`, and not into it."""
    kind, device, dtype = described
    check_beside(op, "out", out, kind, device, first)
    if kind.dtype(out) != dtype:
        raise TypeError(f"{op}: out has dtype {kind.dtype(out)}; it must be that of {first}, {dtype}")
    if tuple(out.shape) != shape:
        raise ValueError(f"{op}: out has shape {tuple(out.shape)}; it must be {shape}")
    here = kind.on(out)
    strides, step = here.strides(out), 1
    for n, stride in zip(reversed(shape), reversed(strides), strict=True):
        if n > 1 and stride != step and 0 not in shape:
            raise ValueError(f"{op}: out has strides {strides} (in elements); it must be C-contiguous")
        step *= n
    if not here.writeable(out):
        raise ValueError(f"{op}: out is read-only, or records gradients; pass an array that can be written")
    if _overlap(here, out, x):
        raise ValueError(f"{op}: out lies in the memory of {first}; pass another array")


def _overlap(kind: Any, a: Array, b: Array) -> bool:
    (a_low, a_high), (b_low, b_high) = _extent(kind, a), _extent(kind, b)
    return a_low < b_high and b_low < a_high


def _extent(kind: Any, x: Array) -> Pair:
    """The first byte of an array's memory, and the one behind the last."""
    low = high = 0
    for n, stride in zip(x.shape, kind.strides(x), strict=True):
        if n == 0:
            return 0, 0
        low, high = min(low, low + (n - 1) * stride), max(high, high + (n - 1) * stride)
    address, size = kind.address(x), kind.itemsize(x)
    return address + low * size, address + (high + 1) * size
