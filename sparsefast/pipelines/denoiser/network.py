"""A small convolutional network that is told how strong the noise is."""

from torch import Tensor, nn


class Block(nn.Module):
    """x + conv(relu(conv(x) + a + ...)), at a fixed width."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.level = nn.Linear(1, 2 * width)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        scale, shift = self.level(level)[:, :, None, None].chunk(2, dim=1)
        hidden = self.first(x) * (1 + scale) + shift
        return x + self.second(hidden.relu())


class Network(nn.Module):
    """Pictures (B, C, H, W) and the logarithm of their noise (B,) to (B, C, H, W), at half the resolution inside."""

    def __init__(self, channels: int, width: int, blocks: int) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * channels, width, 3, padding=1))
        self.blocks = nn.ModuleList(Block(width, 2 ** (i % 3)) for i in range(blocks))
        self.up = nn.Sequential(nn.Conv2d(width, 4 * channels, 3, padding=1), nn.PixelShuffle(2))

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        hidden = self.down(x)
        for block in self.blocks:
            hidden = block(hidden, level[:, None])
        return self.up(hidden)
