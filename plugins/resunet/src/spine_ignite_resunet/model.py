"""The network."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spine_ignite.nn.residual import PreActivationUnit


class ResUNet(nn.Module):
    """Deep residual U-Net (Zhang et al. 2018, section II and table I).

    Residual units with the activation in front in place of U-Net's pairs of convolutions, strides in place of pooling,
    upsampling without weights.

    Args:
        in_channels: input channels.
        num_classes: classes, background included.
        width: channels of the first level; they double at each level.
        depth: levels, the bridge included; the paper has 4.
        upsampling: ``nearest`` or ``bilinear``.
    """

    def __init__(
        self, in_channels: int, num_classes: int, width: int = 64, depth: int = 4, upsampling: str = "nearest"
    ) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(depth)]
        self.upsampling = upsampling
        self.encoder = nn.ModuleList([PreActivationUnit(in_channels, width, activate_first=False, project=True)])
        for before, channels in itertools.pairwise(widths):
            self.encoder.append(PreActivationUnit(before, channels, stride=2))
        pairs = zip(widths[:0:-1], widths[-2::-1], strict=True)
        self.decoder = nn.ModuleList(PreActivationUnit(deep + shallow, shallow) for deep, shallow in pairs)
        self.head = nn.Conv2d(width, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, in_channels, H, W)`` to logits ``(B, num_classes, H, W)``."""
        skips = []
        for unit in self.encoder:
            x = unit(x)
            skips.append(x)
        skips.pop()
        corners = None if self.upsampling == "nearest" else False
        for unit in self.decoder:
            skip = skips.pop()
            # Strides round odd sizes up, so that twice the size covers the skip and is cropped to it.
            up = F.interpolate(x, scale_factor=2.0, mode=self.upsampling, align_corners=corners)
            x = unit(torch.cat([up[..., : skip.shape[-2], : skip.shape[-1]], skip], 1))
        logits: Tensor = self.head(x)
        return logits
