"""What an autoencoder has learned, as figures: how well it reconstructs, what its codes are and where they go.

Each function draws one figure from arrays; `figures` draws all of them for a model and some pictures. Those of the
codes themselves, by which they are drawn one by one, are in `code_plots`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from sparsefast.nn import rates
from sparsefast.pipelines.laser.autoencoder import Autoencoder, Codes
from sparsefast.training.figures import drawable, new_figure, show

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Pictures side by side in a figure.
COLUMNS = 8
# Of the sums of coefficients: what lies outside has the colour of the end, so that a few large ones leave the rest of
# the map its colours.
PERCENTILES = (1, 99)


@torch.no_grad()
def figures(autoencoder: Autoencoder, images: Tensor) -> dict[str, Figure]:
    """All figures of a model in evaluation mode, by names for their files.

    Parameters
    ----------
    autoencoder : Autoencoder
    images : tensor of shape (B, C, H, W), in [-1, 1]
        Held-out pictures: the first eight are shown, all are counted.
    """
    from sparsefast.pipelines.laser.code_plots import code_sheet, code_tiles, embedding, table_of

    bottleneck = autoencoder.bottleneck
    before = autoencoder.encode(images)
    after, _, codes = bottleneck(before)
    found = autoencoder.decode(after, (images.shape[-2], images.shape[-1]))
    table, usage = table_of(bottleneck), rates.usage_counts(codes, bottleneck.num_embeddings)
    return {
        "reconstructions": reconstructions(images, found),
        "codes": code_maps(images, codes, bottleneck.num_embeddings),
        "latent": latent_channels(before[0], after[0]),
        "usage": usage_histogram(usage, None if isinstance(codes, Tensor) else coefficients(codes)),
        "channels": channel_mse(images, found, before, after),
        "sheet": code_sheet(*code_tiles(autoencoder, before, codes, usage), sparse=not isinstance(codes, Tensor)),
        "embedding": embedding(table, usage),
    }


def reconstructions(images: Tensor, found: Tensor) -> Figure:
    """Pictures, under them their reconstructions with the PSNR in dB, and the error of each pixel: the mean over its
    channels of |x - y|, in 8-bit steps. images, found: (B, C, H, W) in [-1, 1], of which eight are drawn."""
    x, y = images[:COLUMNS].float(), found[:COLUMNS].float()
    unit = [((z + 1) / 2).clamp(0, 1) for z in (x, y)]
    errors = 255 * (unit[0] - unit[1]).abs().mean(dim=1).cpu().numpy()
    psnr = -10 * (unit[0] - unit[1]).double().square().mean(dim=(1, 2, 3)).log10()
    figure = new_figure(1 + 1.5 * len(x), 5)
    axes = figure.subplots(3, len(x), squeeze=False)
    for i, (picture, back) in enumerate(zip(drawable(x), drawable(y), strict=True)):
        show(axes[0, i], picture, "held out")
        show(axes[1, i], back, f"{psnr[i]:.2f} dB")
        last = show(axes[2, i], errors[i], "error", cmap="magma", vmin=0, vmax=max(1.0, errors.max()))
    figure.colorbar(last, ax=axes[2].tolist(), label="mean |x - y|, of 255")
    return figure


def code_maps(images: Tensor, codes: Codes, n_codes: int) -> Figure:
    """Pictures, and under them their codes: the index of each site, or of sparse codes the sum of |coefficients|, held
    to the 1st and the 99th percentile of all that are drawn. images: (B, C, H, W) in [-1, 1]; codes: (B, H', W')."""
    images = images[:COLUMNS]
    n = len(images)
    if isinstance(codes, Tensor):
        maps = codes[:n].cpu().numpy()
        low, high, cmap, label = 0.0, float(n_codes - 1), "nipy_spectral", "index of the code"
    else:
        maps = codes.values[:n].detach().float().abs().sum(dim=-1).cpu().numpy()
        low, high = (float(x) for x in np.percentile(maps, PERCENTILES))
        maps = np.clip(maps, low, high)
        cmap, label = "viridis", "sum of |coefficients|"
    figure = new_figure(1 + 1.5 * n, 3.5)
    axes = figure.subplots(2, n, squeeze=False)
    for i, picture in enumerate(drawable(images)):
        show(axes[0, i], picture, "held out")
        last = show(axes[1, i], maps[i], cmap=cmap, vmin=low, vmax=high)
    figure.colorbar(last, ax=axes[1].tolist(), label=label)
    return figure


def latent_channels(before: Tensor, after: Tensor) -> Figure:
    """Channels of the latent of a picture, (C, H, W) each, before the bottleneck and after it, on one scale: up to 16,
    evenly chosen."""
    chosen = np.unique(np.linspace(0, len(before) - 1, min(2 * COLUMNS, len(before))).astype(int))
    x, y = (z.detach().float().cpu().numpy()[chosen] for z in (before, after))
    limit = float(max(np.abs(x).max(), np.abs(y).max())) or 1.0
    figure = new_figure(2 + 0.9 * len(chosen), 2.8)
    axes = figure.subplots(2, len(chosen), squeeze=False)
    for i, channel in enumerate(chosen):
        for row, planes in enumerate((x, y)):
            label = f"channel {channel}" if row == 0 else ""
            last = show(axes[row, i], planes[i], label, cmap="RdBu", vmin=-limit, vmax=limit)
    axes[0, 0].set_ylabel("before")
    axes[1, 0].set_ylabel("after")
    figure.colorbar(last, ax=axes.ravel().tolist(), label="latent")
    return figure


def coefficients(codes: Codes) -> Tensor:
    """The coefficients that a SparseCode uses, without its padding: (n,) on the CPU."""
    assert not isinstance(codes, Tensor)
    used = torch.arange(codes.n_nonzero, device=codes.counts.device) < codes.counts.unsqueeze(-1)
    return codes.values.detach()[used].float().cpu()


def usage_histogram(usage: Tensor, values: Tensor | None = None) -> Figure:
    """How often each code is used, by its number and by its rank, with entropy, perplexity and how many are not; and
    a histogram of the coefficients, where there are any. usage: (K,) counts; values: (n,)."""
    counts = usage.double().cpu()
    figure = new_figure(4.5 * (2 if values is None else 3), 3.6)
    axes = figure.subplots(1, 2 if values is None else 3)
    axes[0].bar(np.arange(len(counts)), counts.numpy(), width=1.0)
    axes[0].set(title="uses of each code", xlabel="code", ylabel="uses")
    axes[1].plot(np.arange(1, len(counts) + 1), counts.sort(descending=True).values.numpy())
    axes[1].axhline(float(counts.mean()), color="grey", linestyle=":", label="if all were used alike")
    axes[1].set(
        title=f"entropy {float(rates.entropy_bits(usage)):.2f} bits, perplexity {float(rates.perplexity(usage)):.1f}, "
        f"{int((usage == 0).sum())} unused",
        xlabel="rank",
        ylabel="uses",
        yscale="symlog",
    )
    axes[1].set_ylim(bottom=0)
    axes[1].title.set_fontsize(9)
    axes[1].legend()
    if values is not None:
        axes[2].hist(values.numpy(), bins=100)
        axes[2].set(title="coefficients that are used", xlabel="coefficient", ylabel="how many", yscale="symlog")
        axes[2].set_ylim(bottom=0)
    return figure


def channel_mse(images: Tensor, found: Tensor, before: Tensor, after: Tensor) -> Figure:
    """The mean squared error of each channel of the pictures, in [0, 1], and of the latent, with the variance of the
    latter beside it. images, found: (B, C, H, W) in [-1, 1]; before, after: latents of one shape."""
    figure = new_figure(9, 3.6)
    pictures, latents = figure.subplots(1, 2, width_ratios=[1, 2])
    errors = ((images.float() - found.float()) / 2).double().square().mean(dim=(0, 2, 3)).cpu().numpy()
    names = ["red", "green", "blue"] if len(errors) == 3 else [str(i) for i in range(len(errors))]
    pictures.bar(names, errors, color=names if len(errors) == 3 else "grey")
    pictures.set(title="pictures, of [0, 1]", ylabel="mean squared error")
    z, z_q = before.double(), after.double()
    lost = (z - z_q).square().mean(dim=(0, 2, 3)).cpu().numpy()
    variance = z.transpose(0, 1).flatten(1).var(dim=1, correction=0).cpu().numpy()
    at = np.arange(len(lost))
    latents.bar(at - 0.2, variance, width=0.4, label="variance")
    latents.bar(at + 0.2, lost, width=0.4, label="error of the bottleneck")
    latents.set(title="latent", xlabel="channel", ylabel="mean square")
    latents.legend()
    return figure
