"""From images to a latent of a quarter of their height and width."""

from __future__ import annotations

from torch import Tensor, nn

from sparsefast.pipelines.laser.residual import residual_stack

# Of height and width: two convolutions of stride 2.
DOWNSAMPLING = 4


class Encoder(nn.Module):
    """Two 4x4 convolutions of stride 2, one 3x3, residual blocks, and 1x1 to `embedding_dim`.

    Parameters
    ----------
    in_channels : int
        Of the images.
    num_hiddens : int
        Channels inside, half of them after the first convolution.
    num_residual_blocks, num_residual_hiddens : int
        How many blocks, and the channels inside of each.
    embedding_dim : int
        Channels of the latent.
    """

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
            nn.Conv2d(in_channels, num_hiddens // 2, 4, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(num_hiddens // 2, num_hiddens, 4, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(num_hiddens, num_hiddens, 3, padding=1),
            residual_stack(num_hiddens, num_residual_blocks, num_residual_hiddens),
            nn.Conv2d(num_hiddens, embedding_dim, 1),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, in_channels, H, W), H and W multiples of 4, to latents (B, embedding_dim, H / 4, W / 4)."""
        return self.layers(images)
