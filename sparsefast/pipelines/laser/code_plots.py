"""The codes of a codebook or the atoms of a dictionary as figures: what each of them draws, and how they lie."""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from sparsefast.nn.bottleneck import Bottleneck
from sparsefast.nn.sites import latent_of
from sparsefast.pipelines.laser.autoencoder import Autoencoder, Codes
from sparsefast.training.figures import drawable, new_figure, show

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Tiles of a sheet, the most used codes.
MOST_TILES = 256
# Points of an embedding, the most used codes too: t-SNE of 2000 takes ten seconds.
MOST_POINTS = 2000
# Sites around the one that is drawn: further ones are beyond most of what the decoder mixes.
_AROUND = 1
_GAP = 1


def table_of(bottleneck: Bottleneck) -> Tensor:
    """The codes (K, F) of a bottleneck: its atoms, or its codebook."""
    found: Tensor = getattr(bottleneck, "atoms" if hasattr(bottleneck, "atoms") else "codebook")
    return found.detach()


@torch.no_grad()
def code_tiles(autoencoder: Autoencoder, before: Tensor, codes: Codes, usage: Tensor) -> tuple[Tensor, Tensor]:
    """The codes that are used as the decoder draws them.

    An index stands for all of a signal: its tile is the picture of 3 x 3 sites that all have this code. An atom is
    added to others: its tile is what it changes at the middle of 3 x 3 sites of the mean latent, with the mean size of
    the coefficients that are used; grey is no change, and the largest change of each tile is made black or white.

    Parameters
    ----------
    before : tensor of shape (B, C, H, W)
        Latents, before the bottleneck.
    codes : indices or SparseCode of shape (B, H', W')
    usage : tensor of shape (K,)

    Returns
    -------
    tiles : tensor of shape (n, channels, 12 p, 12 p), in [-1, 1], on the CPU
        n is how many codes are used, at most 256.
    chosen : tensor of shape (n,), int64
        Which codes they are, by their use.
    """
    bottleneck = autoencoder.bottleneck
    p, across = bottleneck.patch_size, 2 * _AROUND + 1
    table = table_of(bottleneck).to(before.dtype)
    chosen = torch.argsort(usage, descending=True, stable=True)[: min(MOST_TILES, max(1, int((usage > 0).sum())))]
    rows = table[chosen.to(table.device)]
    size = (across * p, across * p)
    if isinstance(codes, Tensor):
        signals = rows[:, None, None].expand(-1, across, across, -1)
        tiles = autoencoder.decode(latent_of(signals, size, p))
    else:
        used = codes.values.abs().sum() / codes.counts.sum().clamp_min(1)
        signals = rows.new_zeros(len(rows), across, across, rows.shape[1])
        signals[:, _AROUND, _AROUND] = used.to(rows.dtype) * rows
        mean = before.mean(dim=(0, 2, 3))[None, :, None, None].expand(1, -1, *size)
        tiles = autoencoder.decode(mean + latent_of(signals, size, p)) - autoencoder.decode(mean)
        largest = tiles.abs().amax(dim=(1, 2, 3), keepdim=True)
        tiles = tiles / largest.clamp_min(torch.finfo(tiles.dtype).tiny)
    return tiles.float().cpu(), chosen.cpu()


def code_sheet(tiles: Tensor, chosen: Tensor, sparse: bool) -> Figure:
    """The tiles of `code_tiles` (n, C, H, W), in rows, from the most used one."""
    pictures = drawable(tiles)
    n, height, width, _ = pictures.shape
    columns = int(np.ceil(np.sqrt(n)))
    rows = -(-n // columns)
    sheet = np.ones((rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, 3), np.float32)
    for i, picture in enumerate(pictures):
        top, left = i // columns * (height + _GAP), i % columns * (width + _GAP)
        sheet[top : top + height, left : left + width] = picture
    what = "what an atom changes at its site" if sparse else "sites of one code"
    figure = new_figure(8, 1 + 8 * rows / columns)
    show(
        figure.subplots(),
        sheet,
        f"{what}: {n} of those used, from the most used, {int(chosen[0])}, to {int(chosen[-1])}",
    )
    return figure


def embedding(table: Tensor, usage: Tensor, seed: int = 0) -> Figure:
    """The codes (K, F) in the plane, by PCA, by t-SNE and, where umap-learn is installed, by UMAP, each with the colour
    of its use (K,); and the histogram of their pairwise distances. Of more than 2000 codes the most used ones.

    Sources: L. van der Maaten, G. Hinton, Visualizing data using t-SNE, JMLR 9 (2008). L. McInnes, J. Healy,
    J. Melville, UMAP, arXiv:1802.03426.
    """
    chosen = torch.argsort(usage, descending=True, stable=True)[:MOST_POINTS].cpu()
    x = table.detach().double().cpu()[chosen].numpy()
    uses = np.log10(1 + usage.cpu()[chosen].double().numpy())
    planes = {"PCA": _pca(x)}
    if len(x) >= 4:  # a perplexity of at least 1
        planes["t-SNE"] = _tsne(x, seed)
    if len(x) >= 4 and importlib.util.find_spec("umap") is not None:
        neighbours = min(15, len(x) - 1)
        umap = importlib.import_module("umap").UMAP(n_neighbors=neighbours, init="random", random_state=seed)
        planes["UMAP"] = umap.fit_transform(x)
    figure = new_figure(4 * (len(planes) + 1) + 0.6, 4)
    axes = figure.subplots(1, len(planes) + 1)
    for panel, (name, points) in zip(axes, planes.items(), strict=False):
        last = panel.scatter(points[:, 0], points[:, 1], c=uses, s=8, cmap="viridis")
        panel.set(title=name, xticks=[], yticks=[])
    figure.colorbar(last, ax=axes[-2], label="log10(1 + uses)")
    distances = torch.nn.functional.pdist(torch.from_numpy(x)).numpy()
    axes[-1].hist(distances, bins=60)
    axes[-1].set(
        title=f"pairwise distances, {distances.mean():.2f} ± {distances.std():.2f}", xlabel="distance", ylabel="pairs"
    )
    return figure


def _pca(x: np.ndarray) -> np.ndarray:
    """The first two principal components (n, 2) of rows (n, F)."""
    u, s, _ = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    scores = (u * s)[:, :2]
    return np.pad(scores, ((0, 0), (0, 2 - scores.shape[1])))


def _tsne(x: np.ndarray, seed: int) -> np.ndarray:
    from sklearn.manifold import TSNE

    start = _pca(x)
    # As scikit-learn starts from PCA itself, which wants more than one feature.
    start = start / max(float(start[:, 0].std()), np.finfo(float).tiny) * 1e-4
    near = min(30.0, (len(x) - 1) / 3)
    return TSNE(perplexity=near, init=start.astype(np.float32), random_state=seed).fit_transform(x)
