"""The semantic branch."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from spine_ignite.nn.blocks import Activation, BatchNorm2d, ConvNormAct

Design = Literal["paper", "port"]


class SemanticBranch(nn.Module):
    """Stem, gather-and-expansion layers, context embedding (Yu et al. 2021, section 4.2, table 1).

    Args:
        in_channels: input channels.
        design: ``paper`` or ``port``: see the layers.
    """

    def __init__(self, in_channels: int, design: Design) -> None:
        super().__init__()

        def layer(inputs: int, outputs: int, stride: int = 1) -> nn.Module:
            return GatherExpansion(inputs, outputs, stride, design)

        self.stem = Stem(in_channels, 16)
        self.stage3 = nn.Sequential(layer(16, 32, 2), layer(32, 32))
        self.stage4 = nn.Sequential(layer(32, 64, 2), layer(64, 64))
        self.stage5 = nn.Sequential(layer(64, 128, 2), *(layer(128, 128) for _ in range(3)))
        self.context = ContextEmbedding(128, design)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map ``(B, in_channels, H, W)`` to maps at strides 4, 8, 16, 32, and the last one with context."""
        levels = [self.stem(x)]
        for stage in (self.stage3, self.stage4, self.stage5, self.context):
            levels.append(stage(levels[-1]))
        return levels


class Stem(nn.Module):
    """Two ways of halving the resolution side by side, after a first one (figure 4a).

    Args:
        in_channels: input channels.
        channels: output channels.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.first = ConvNormAct(in_channels, channels, stride=2)
        self.left = nn.Sequential(
            ConvNormAct(channels, channels // 2, 1), ConvNormAct(channels // 2, channels, stride=2)
        )
        self.right = nn.MaxPool2d(3, 2, 1)
        self.fuse = ConvNormAct(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, in_channels, H, W)`` to ``(B, channels, H / 4, W / 4)``."""
        x = self.first(x)
        out: Tensor = self.fuse(torch.cat([self.left(x), self.right(x)], 1))
        return out


class GatherExpansion(nn.Module):
    """3x3 convolution, depthwise expansion to six times the channels, 1x1 projection, shortcut (figure 5).

    Args:
        in_channels: input channels.
        channels: output channels.
        stride: 1, or 2 with a second depthwise convolution and a separable shortcut.
        design: ``port`` has a ReLU in front of the projection.
    """

    def __init__(self, in_channels: int, channels: int, stride: int, design: Design) -> None:
        super().__init__()
        wide = 6 * in_channels
        last: Activation = "relu" if design == "port" else "none"
        expand = [_depthwise(in_channels, wide, 1, last)]
        if stride == 2:
            expand = [_depthwise(in_channels, wide, 2, "none"), _depthwise(wide, wide, 1, last)]
        self.branch = nn.Sequential(
            ConvNormAct(in_channels, in_channels), *expand, ConvNormAct(wide, channels, 1, activation="none")
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride == 2:
            self.shortcut = nn.Sequential(
                _depthwise(in_channels, in_channels, 2, "none"),
                ConvNormAct(in_channels, channels, 1, activation="none"),
            )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, in_channels, h, w)`` to ``(B, channels, h / stride, w / stride)``."""
        out: Tensor = self.relu(self.branch(x) + self.shortcut(x))
        return out


def _depthwise(in_channels: int, channels: int, stride: int, activation: Activation) -> ConvNormAct:
    return ConvNormAct(in_channels, channels, stride=stride, groups=in_channels, activation=activation)


class ContextEmbedding(nn.Module):
    """Add what the slice's mean says, and a 3x3 convolution (figure 4b).

    Args:
        channels: of input and output.
        design: ``port`` has batch norm and ReLU after the 3x3 convolution.
    """

    def __init__(self, channels: int, design: Design) -> None:
        super().__init__()
        self.mean = nn.Sequential(nn.AdaptiveAvgPool2d(1), BatchNorm2d(channels), ConvNormAct(channels, channels, 1))
        port = design == "port"
        self.conv = ConvNormAct(channels, channels) if port else nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, h, w)`` to the same shape."""
        out: Tensor = self.conv(x + self.mean(x))
        return out
