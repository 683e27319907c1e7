"""A linear sparse autoencoder for photograph patches, trained through orthogonal matching pursuit.

    z = W x        code = omp(z, D, N_NONZERO)        y = code D        loss = mean (y - x)^2

The dictionary D starts as the overcomplete DCT and the encoder W as the identity. Two ways to train them are compared:
the implicit gradient, exact on the atoms that were selected; and the straight-through estimator of VQ-VAE (A. van den
Oord, O. Vinyals, K. Kavukcuoglu, NeurIPS 2017), which hands the gradient of y to z unchanged and needs two more losses.
The held-out photograph is china.jpg of scikit-learn; training takes the others of scikit-learn and scikit-image.

    python examples/sparse_autoencoder.py --steps 400 --out atoms.png
"""

# %% What is needed
import argparse
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import mse_loss, normalize

import sparsefast
from sparsefast.images.photos import photos

PATCH, ATOMS_PER_AXIS, N_NONZERO, BATCH = 8, 16, 4, 2048


# %% Patches of photographs: grey, in [0, 1], without their mean
def patches(names: list[str], n_patches: int, seed: int) -> torch.Tensor:
    """Random patches (n_patches, PATCH * PATCH), as many of each photograph."""
    rng = np.random.default_rng(seed)
    parts = []
    for name, n in zip(names, np.diff(np.linspace(0, n_patches, len(names) + 1).astype(int)), strict=True):
        grey = np.atleast_3d(photos()[name]).mean(axis=2) / 255
        windows = np.lib.stride_tricks.sliding_window_view(grey, (PATCH, PATCH))
        parts.append(windows[rng.integers(0, windows.shape[0], n), rng.integers(0, windows.shape[1], n)])
    x = np.concatenate(parts).reshape(n_patches, PATCH * PATCH)
    return torch.from_numpy((x - x.mean(axis=1, keepdims=True)).astype(np.float32))


# %% The model
class SparseAutoencoder(torch.nn.Module):
    """Encoder W (F, F) and atoms (K, F), which `dictionary` gives unit norm."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = torch.nn.Parameter(torch.eye(PATCH * PATCH))
        self.atoms = torch.nn.Parameter(torch.from_numpy(sparsefast.overcomplete_dct(PATCH, ATOMS_PER_AXIS)))

    @property
    def dictionary(self) -> torch.Tensor:
        return normalize(self.atoms, dim=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        dictionary = self.dictionary
        return sparsefast.omp(x @ self.encoder.T, dictionary, N_NONZERO).decode(dictionary)

    def implicit_loss(self, x: torch.Tensor) -> torch.Tensor:
        return mse_loss(self(x), x)

    def straight_through_loss(self, x: torch.Tensor) -> torch.Tensor:
        z, dictionary = x @ self.encoder.T, self.dictionary
        code = sparsefast.omp(z, dictionary, N_NONZERO, gradient="none")
        through = mse_loss(code.decode(dictionary, straight_through=z), x)  # moves W alone
        selected = code.decode(dictionary)  # moves D: the coefficients are constants
        return through + mse_loss(selected, z.detach()) + 0.25 * mse_loss(z, selected.detach())


@torch.no_grad()
def psnr(model: SparseAutoencoder, x: torch.Tensor) -> float:
    """Peak signal-to-noise ratio of the reconstruction, in dB, for a data range of 1."""
    return -10 * float(torch.log10(mse_loss(model(x), x)))


# %% Training
def train(loss: str, train_set: torch.Tensor, n_steps: int, learning_rate: float = 5e-3) -> SparseAutoencoder:
    """A model trained by Adam on its method `loss`, the learning rate falling to zero along a cosine."""
    model, generator = SparseAutoencoder(), torch.Generator().manual_seed(0)
    adam = torch.optim.Adam(model.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, max(1, n_steps))
    for _ in range(n_steps):
        batch = train_set[torch.randint(len(train_set), (BATCH,), generator=generator)]
        adam.zero_grad()
        getattr(model, loss)(batch).backward()
        adam.step()
        schedule.step()
    return model


# %% A picture of the atoms
def picture(dictionary: torch.Tensor) -> Image.Image:
    """The atoms side by side, each stretched to its own black and white."""
    tiles = dictionary.detach().numpy().reshape(ATOMS_PER_AXIS, ATOMS_PER_AXIS, PATCH, PATCH)
    tiles = 0.5 + 0.5 * tiles / np.abs(tiles).max(axis=(2, 3), keepdims=True)
    framed = np.pad(tiles, ((0, 0), (0, 0), (0, 1), (0, 1)), constant_values=1)
    sheet = (framed.transpose(0, 2, 1, 3).reshape(ATOMS_PER_AXIS * (PATCH + 1), -1) * 255).astype(np.uint8)
    return Image.fromarray(sheet).resize((4 * sheet.shape[1], 4 * sheet.shape[0]), Image.Resampling.NEAREST)


# %% All of it
def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="A sparse autoencoder for photograph patches.")
    parser.add_argument("--steps", type=int, default=400, help="of training (default: %(default)s)")
    parser.add_argument("--out", type=Path, default="sparse-autoencoder.png", help="the PNG of the learned atoms")
    args = parser.parse_args(arguments)

    train_set = patches([name for name in photos() if name != "china"], 100_000, seed=0)
    held_out = patches(["china"], 20_000, seed=1)
    print(f"{'initial overcomplete DCT':<26}{psnr(SparseAutoencoder(), held_out):6.2f} dB on the held-out photograph")
    for loss in ("straight_through_loss", "implicit_loss"):
        start = time.perf_counter()
        model = train(loss, train_set, args.steps)
        seconds = time.perf_counter() - start
        print(f"{loss.replace('_', ' '):<26}{psnr(model, held_out):6.2f} dB after {args.steps} steps, {seconds:.0f} s")
    picture(model.dictionary).save(args.out)
    print(f"{'atoms of the last':<26}{args.out}")


if __name__ == "__main__":
    main()
