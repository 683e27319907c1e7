"""The residual blocks of encoder and decoder."""

from __future__ import annotations

from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """x + conv1x1(relu(conv3x3(relu(x)))), (B, n_channels, H, W) to the same, with n_hiddens channels inside."""

    def __init__(self, n_channels: int, n_hiddens: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(n_channels, n_hiddens, 3, padding=1, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(n_hiddens, n_channels, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


def residual_stack(n_channels: int, n_blocks: int, n_hiddens: int) -> nn.Sequential:
    """n_blocks residual blocks and a ReLU."""
    return nn.Sequential(*(ResidualBlock(n_channels, n_hiddens) for _ in range(n_blocks)), nn.ReLU())
