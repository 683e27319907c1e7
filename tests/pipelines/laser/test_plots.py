"""The figures of an autoencoder show its pictures, its codes and its errors as they are."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from sparsefast.nn import rates
from sparsefast.nn.sites import latent_of
from sparsefast.pipelines.laser import code_plots, plots
from sparsefast.training.figures import drawable, figure_png
from tests.pipelines.laser.test_autoencoder import built, pictures

both = pytest.mark.parametrize("name", ["vqvae", "dlvae"])


@torch.no_grad()
def seen(name, n=10, channels=3, **options):
    """A model that has not learned, with what it makes of some pictures."""
    model = built(name, channels, **options)
    x = pictures(n, channels)
    model.initialize(x)
    model.eval()
    before = model.encode(x)
    after, _, codes = model.bottleneck(before)
    return model, x, model.decode(after, x.shape[-2:]), before, after, codes


def drawn(axes):
    """The pixels of the only picture in a panel."""
    (image,) = axes.images
    return np.asarray(image.get_array())


def panels(figure, rows):
    """The panels of pictures, by row; a colour bar has no image of its own."""
    found = [axes for axes in figure.axes if axes.images]
    assert len(found) % rows == 0
    return np.reshape(np.array(found, object), (rows, -1))


@both
def test_all_figures_are_pngs(name):
    model, x, *_ = seen(name)
    found = plots.figures(model, x)
    assert list(found) == ["reconstructions", "codes", "latent", "usage", "channels", "sheet", "embedding"]
    for figure in found.values():
        with Image.open(io.BytesIO(figure_png(figure))) as png:
            assert png.format == "PNG"
            assert png.size == tuple(round(120 * inches) for inches in figure.get_size_inches())
            assert len(np.unique(np.asarray(png.convert("L")))) > 10


@pytest.mark.parametrize("channels", [3, 1, 2])
def test_reconstructions_are_under_their_pictures_and_over_their_errors(channels):
    _, x, y, *_ = seen("vqvae", channels=channels)
    figure = plots.reconstructions(x, y)
    rows = panels(figure, 3)
    assert rows.shape == (3, 8)
    difference = 255 * ((x + 1) / 2 - ((y + 1) / 2).clamp(0, 1))
    for i in range(8):
        np.testing.assert_array_equal(drawn(rows[0, i]), drawable(x)[i])
        np.testing.assert_array_equal(drawn(rows[1, i]), drawable(y)[i])
        np.testing.assert_allclose(drawn(rows[2, i]), difference[i].abs().mean(0), rtol=1e-3, atol=1e-3)
        psnr = 10 * torch.log10(255**2 / difference[i].square().mean())
        assert float(rows[1, i].get_title().removesuffix(" dB")) == pytest.approx(psnr.item(), abs=0.006)


def test_the_map_of_indices_is_that_of_the_codes():
    _, x, _, _, _, codes = seen("vqvae", 3)
    rows = panels(plots.code_maps(x, codes, 32), 2)
    assert rows.shape == (2, 3)
    for i in range(3):
        np.testing.assert_array_equal(drawn(rows[1, i]), codes[i])
        assert rows[1, i].images[0].get_clim() == (0, 31)


def test_the_map_of_sparse_codes_is_their_l1_norm_without_its_extremes():
    _, x, _, _, _, codes = seen("dlvae")
    sums = codes.to_dense().abs().sum(-1)[:8].double().numpy()
    low, high = np.percentile(sums, [1, 99])
    assert low < high < sums.max()  # at the other end several sums of rounded coefficients may be the least
    rows = panels(plots.code_maps(x, codes, 32), 2)
    for i in range(8):
        np.testing.assert_allclose(drawn(rows[1, i]), np.clip(sums[i], low, high), rtol=1e-5)


@both
def test_channels_of_the_latent_are_before_and_after_on_one_scale(name):
    _, _, _, before, after, _ = seen(name)
    rows = panels(plots.latent_channels(before[0], after[0]), 2)
    assert rows.shape == (2, 8)
    limits = {panel.images[0].get_clim() for panel in rows.flat}
    assert limits == {(-(m := float(max(before[0].abs().max(), after[0].abs().max()))), m)}
    for channel in range(8):
        np.testing.assert_array_equal(drawn(rows[0, channel]), before[0, channel])
        np.testing.assert_array_equal(drawn(rows[1, channel]), after[0, channel])


def test_of_many_channels_sixteen_are_drawn():
    latent = torch.arange(40.0)[:, None, None].expand(-1, 2, 3)
    rows = panels(plots.latent_channels(latent, latent), 2)
    assert [drawn(panel)[0, 0] for panel in rows[0]][::5] == [0, 13, 26, 39]


@both
def test_the_histogram_of_usage_counts_what_is_used(name):
    *_, codes = seen(name)
    usage = rates.usage_counts(codes, 32)
    values = None if name == "vqvae" else plots.coefficients(codes)
    axes = plots.usage_histogram(usage, values).axes
    assert [bar.get_height() for bar in axes[0].patches] == usage.tolist()
    np.testing.assert_array_equal(axes[1].lines[0].get_ydata(), np.sort(usage)[::-1])
    assert f"{int((usage == 0).sum())} unused" in axes[1].get_title()
    assert len(axes) == (2 if name == "vqvae" else 3)
    if values is not None:
        assert sum(bar.get_height() for bar in axes[2].patches) == len(values) == int(codes.counts.sum())


def test_the_errors_of_channels_are_theirs():
    _, x, y, before, after, _ = seen("dlvae")
    pictures_, latents = plots.channel_mse(x, y, before, after).axes
    expected = ((x - y) / 2).square().mean(dim=(0, 2, 3))
    np.testing.assert_allclose([bar.get_height() for bar in pictures_.patches], expected, rtol=1e-5)
    heights = [bar.get_height() for bar in latents.patches]
    np.testing.assert_allclose(heights[:8], before.transpose(0, 1).flatten(1).var(1, correction=0), rtol=1e-4)
    np.testing.assert_allclose(heights[8:], (before - after).square().mean(dim=(0, 2, 3)), rtol=1e-4)


def test_the_tile_of_an_index_is_the_picture_of_its_sites():
    model, _, _, before, _, codes = seen("vqvae", patch_size=2)
    usage = rates.usage_counts(codes, 32)
    tiles, chosen = code_plots.code_tiles(model, before, codes, usage)
    assert tiles.shape == (int((usage > 0).sum()), 3, 24, 24)
    assert chosen[0] == usage.argmax() and (usage[chosen].diff() <= 0).all()
    with torch.no_grad():
        torch.testing.assert_close(tiles[:2], model.decode_codes(chosen[:2, None, None].expand(-1, 3, 3)))
    sheet = drawn(code_plots.code_sheet(tiles, chosen, sparse=False).axes[0])
    np.testing.assert_array_equal(sheet[:24, 25:49], drawable(tiles)[1])


def test_the_tile_of_an_atom_is_what_it_changes():
    model, _, _, before, _, codes = seen("dlvae")
    usage = rates.usage_counts(codes, 32)
    tiles, chosen = code_plots.code_tiles(model, before, codes, usage)
    assert tiles.shape[1:] == (3, 24, 24)
    torch.testing.assert_close(tiles.abs().amax(dim=(1, 2, 3)), torch.ones(len(tiles)))
    mean = before.mean(dim=(0, 2, 3))[None, :, None, None].expand(1, -1, 6, 6).clone()
    size = codes.to_dense().abs().sum() / codes.counts.sum()
    with torch.no_grad():
        plain = model.decode(mean)
        atom = size * model.bottleneck.atoms[chosen[3]]
        mean[..., 2:4, 2:4] += latent_of(atom[None, None, None], (2, 2), 2)
        change = model.decode(mean) - plain
    torch.testing.assert_close(tiles[3], (change / change.abs().max())[0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("n", "features"), [(32, 8), (5, 1), (3, 4), (2, 1)])
def test_the_embeddings_have_each_code(n, features, monkeypatch):
    monkeypatch.setattr(code_plots.importlib.util, "find_spec", lambda name: None)
    table = torch.randn(n, features, generator=torch.Generator().manual_seed(0))
    usage = torch.arange(n)
    figure = code_plots.embedding(table, usage)
    titles = [axes.get_title() for axes in figure.axes if axes.collections and axes.get_title()]
    assert titles == (["PCA", "t-SNE"] if n >= 4 else ["PCA"])
    for axes in figure.axes[: len(titles)]:
        points = np.asarray(axes.collections[0].get_offsets())
        assert points.shape == (n, 2) and np.isfinite(points).all()
        np.testing.assert_allclose(axes.collections[0].get_array(), np.log10(1 + np.arange(n)[::-1]))
    kept = np.asarray(figure.axes[0].collections[0].get_offsets())
    if features == 1:
        np.testing.assert_allclose(np.abs(kept[:, 0] - kept[0, 0]), (table - table[-1]).abs()[:, 0].flip(0), atol=1e-6)
    (histogram,) = (axes for axes in figure.axes if axes.get_xlabel() == "distance")
    assert sum(bar.get_height() for bar in histogram.patches) == n * (n - 1) / 2
    assert figure_png(code_plots.embedding(table, usage)) == figure_png(figure)


def test_umap_is_drawn_where_it_is_installed(monkeypatch):
    class UMAP:
        def __init__(self, **options):
            assert options["n_neighbors"] == 5 and options["random_state"] == 0

        def fit_transform(self, x):
            return x[:, :2]

    monkeypatch.setattr(code_plots.importlib.util, "find_spec", lambda name: True)
    monkeypatch.setattr(code_plots.importlib, "import_module", lambda name: type("module", (), {"UMAP": UMAP}))
    table = torch.eye(6, dtype=torch.float64)
    figure = code_plots.embedding(table, torch.ones(6))
    (axes,) = (axes for axes in figure.axes if axes.get_title() == "UMAP")
    np.testing.assert_array_equal(np.asarray(axes.collections[0].get_offsets()), np.eye(6)[:, :2])
