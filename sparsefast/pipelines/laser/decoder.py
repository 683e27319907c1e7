"""From a latent to images of four times its height and width."""

from __future__ import annotations

from torch import Tensor, nn

from sparsefast.pipelines.laser.residual import residual_stack


class Decoder(nn.Module):
    """The encoder's mirror image: 3x3, residual blocks, two transposed 4x4 convolutions of stride 2. Its arguments are
    those of `Encoder`."""

    def __init__(
        self,
        in_channels: int,
        num_hiddens: int,
        num_residual_blocks: int,
        num_residual_hiddens: int,
        embedding_dim: int,
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(embedding_dim, num_hiddens, 3, padding=1),
            residual_stack(num_hiddens, num_residual_blocks, num_residual_hiddens),
            nn.ConvTranspose2d(num_hiddens, num_hiddens // 2, 4, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(num_hiddens // 2, in_channels, 4, stride=2, padding=1),
        )

    def forward(self, latents: Tensor) -> Tensor:
        """Latents (B, embedding_dim, H, W) to images (B, in_channels, 4 H, 4 W), not held to any range."""
        return self.layers(latents)
