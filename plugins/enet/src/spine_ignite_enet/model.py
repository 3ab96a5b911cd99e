"""The network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spine_ignite.errors import UsageError
from spine_ignite.nn.blocks import BatchNorm2d
from spine_ignite_enet.bottlenecks import EPS, Bottleneck, DownsamplingBottleneck, UpsamplingBottleneck

# Stages 2 and 3: plain, dilated (rate) and asymmetric (length of the thin kernels) bottlenecks in turn.
_STAGE: tuple[tuple[str, int], ...] = (
    ("plain", 1), ("dilated", 2), ("asymmetric", 5), ("dilated", 4),
    ("plain", 1), ("dilated", 8), ("asymmetric", 5), ("dilated", 16),
)  # fmt: skip


class ENet(nn.Module):
    """ENet (Paszke et al. 2016, section 4 and table 1; sizes of the authors' Torch7 release).

    Early downsampling, bottlenecks with dilated and asymmetric convolutions, a small decoder that puts values back
    where the encoder's max pooling found them.

    Args:
        in_channels: input channels, at most 15: the first block makes 16 from them and from a convolution.
        num_classes: classes, background included.
        dropout: channel dropout of the bottlenecks from stage 2 on; those of stage 1 have a tenth of it.

    Raises:
        UsageError: there are more than 15 input channels.
    """

    def __init__(self, in_channels: int, num_classes: int, dropout: float = 0.1) -> None:
        super().__init__()
        if in_channels > 15:
            raise UsageError(f"enet takes at most 15 input channels, got {in_channels}: set data.context_slices lower")
        self.initial = InitialBlock(in_channels, 16)
        self.down1 = DownsamplingBottleneck(16, 64, dropout / 10)
        self.stage1 = nn.Sequential(*(Bottleneck(64, dropout / 10) for _ in range(4)))
        self.down2 = DownsamplingBottleneck(64, 128, dropout)
        self.stage2 = nn.Sequential(*(Bottleneck(128, dropout, kind, size) for kind, size in _STAGE))
        self.stage3 = nn.Sequential(*(Bottleneck(128, dropout, kind, size) for kind, size in _STAGE))
        self.up4 = UpsamplingBottleneck(128, 64)
        self.stage4 = nn.Sequential(*(Bottleneck(64, 0.0, activation="relu") for _ in range(2)))
        self.up5 = UpsamplingBottleneck(64, 16)
        self.stage5 = Bottleneck(16, 0.0, activation="relu")
        self.classify = nn.ConvTranspose2d(16, num_classes, 2, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, in_channels, H, W)`` to logits ``(B, num_classes, H, W)``."""
        first = self.initial(x)
        second, places1 = self.down1(first)
        second = self.stage1(second)
        third, places2 = self.down2(second)
        third = self.stage3(self.stage2(third))
        up = self.stage4(self.up4(third, places2, (second.shape[-2], second.shape[-1])))
        up = self.stage5(self.up5(up, places1, (first.shape[-2], first.shape[-1])))
        logits: Tensor = self.classify(up)[..., : x.shape[-2], : x.shape[-1]]
        return logits


class InitialBlock(nn.Module):
    """A strided 3x3 convolution beside a max pooling of the image (figure 2a), batch norm, PReLU.

    Args:
        in_channels: input channels.
        channels: output channels; the convolution makes those that the image does not fill.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels - in_channels, 3, 2, 1)
        self.pool = nn.MaxPool2d(2, ceil_mode=True)
        self.activate = nn.Sequential(BatchNorm2d(channels, eps=EPS), nn.PReLU(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, in_channels, H, W)`` to ``(B, channels, ceil(H / 2), ceil(W / 2))``."""
        out: Tensor = self.activate(torch.cat([self.conv(x), self.pool(x)], 1))
        return out
