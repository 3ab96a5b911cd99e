"""The network."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spine_ignite.nn.blocks import BatchNorm2d, ConvNormAct
from spine_ignite.nn.residual import PreActivationUnit


class ResUNetPlusPlus(nn.Module):
    """ResUNet++ (Jha et al. 2019, section III; compared with the authors' Keras and PyTorch files).

    Residual units with squeeze-and-excitation, atrous pyramids as bridge and before the output, attention in front of
    each decoder step.

    Args:
        in_channels: input channels.
        num_classes: classes, background included.
        width: channels of the first level; they double at each level.
        rates: dilations of the pyramids.
        ratio: of the squeeze-and-excitation.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        width: int = 16,
        rates: tuple[int, ...] = (1, 6, 12, 18),
        ratio: int = 8,
    ) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(4)]
        self.encoder = nn.ModuleList(
            [PreActivationUnit(in_channels, width, activate_first=False, project=True, squeeze=ratio)]
        )
        for before, channels in itertools.pairwise(widths):
            self.encoder.append(PreActivationUnit(before, channels, stride=2, squeeze=ratio))
        self.bridge = SummedASPP(widths[-1], 16 * width, rates)
        deep = [16 * width, 8 * width, 4 * width]
        shallow = widths[-2::-1]
        self.attention = nn.ModuleList(AttentionGate(low, high) for low, high in zip(shallow, deep, strict=True))
        outputs = [8 * width, 4 * width, 2 * width]
        self.decoder = nn.ModuleList(
            PreActivationUnit(low + high, out, project=True, squeeze=ratio)
            for low, high, out in zip(shallow, deep, outputs, strict=True)
        )
        self.head = nn.Sequential(SummedASPP(2 * width, width, rates), nn.Conv2d(width, num_classes, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, in_channels, H, W)`` to logits ``(B, num_classes, H, W)``."""
        skips = []
        for unit in self.encoder:
            x = unit(x)
            skips.append(x)
        x = self.bridge(skips.pop())
        for attention, unit in zip(self.attention, self.decoder, strict=True):
            skip = skips.pop()
            up = F.interpolate(attention(skip, x), scale_factor=2.0, mode="nearest")
            x = unit(torch.cat([up[..., : skip.shape[-2], : skip.shape[-1]], skip], 1))
        logits: Tensor = self.head(x)
        return logits


class SummedASPP(nn.Module):
    """Dilated 3x3 convolutions with batch norm, summed, and a 1x1 convolution.

    Args:
        in_channels: input channels.
        channels: output channels.
        rates: dilations.
    """

    def __init__(self, in_channels: int, channels: int, rates: Sequence[int]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            ConvNormAct(in_channels, channels, dilation=rate, activation="none", bias=True) for rate in rates
        )
        self.project = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, in_channels, h, w)`` to ``(B, channels, h, w)``."""
        out: Tensor = self.project(torch.stack([branch(x) for branch in self.branches]).sum(0))
        return out


class AttentionGate(nn.Module):
    """Weights for decoder features from the encoder's level above (Jha et al. 2019, section III-D).

    The release's form: both are brought to one shape by batch norm, ReLU and a 3x3 convolution (and a 2x2 max pooling
    of the finer one), summed, passed through the same again, and multiplied with the decoder's features, without a
    sigmoid.

    Args:
        low_channels: of the encoder's features, at twice the resolution.
        channels: of the decoder's features.
    """

    def __init__(self, low_channels: int, channels: int) -> None:
        super().__init__()
        self.low = nn.Sequential(_activated(low_channels, channels), nn.MaxPool2d(2, ceil_mode=True))
        self.high = _activated(channels, channels)
        self.both = _activated(channels, channels)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """Map ``(B, low_channels, H, W)`` and ``(B, channels, ceil(H / 2), ceil(W / 2))`` to the latter's shape."""
        out: Tensor = self.both(self.low(low) + self.high(high)) * high
        return out


def _activated(in_channels: int, channels: int) -> nn.Sequential:
    return nn.Sequential(BatchNorm2d(in_channels), nn.ReLU(), nn.Conv2d(in_channels, channels, 3, padding=1))
