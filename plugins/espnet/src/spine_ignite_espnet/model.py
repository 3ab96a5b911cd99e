"""The network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spine_ignite.nn.blocks import BatchNorm2d, ConvNormAct, resize

EPS = 1e-3  # of every batch norm
_RATES = (2, 4, 8, 16)
# An ESP block splits its channels into five branches: below five classes the decoder works with five channels.
_LEAST = 5


class ESPNet(nn.Module):
    """ESPNet (Mehta et al. 2018, section 3 and figure 4d; compared with the authors' repository).

    An encoder of efficient spatial pyramids (ESPNet-C) that is fed the image again at each level, and a light decoder.

    Args:
        in_channels: input channels.
        num_classes: classes, background included.
        p: ESP blocks at stride 4.
        q: ESP blocks at stride 8; the paper's best has 8.
        encoder_only: ESPNet-C: the encoder's logits, resized.
    """

    def __init__(self, in_channels: int, num_classes: int, p: int = 2, q: int = 8, encoder_only: bool = False) -> None:
        super().__init__()
        classes = num_classes if encoder_only else max(num_classes, _LEAST)
        self.encoder = Encoder(in_channels, classes, p, q)
        self.decoder = None if encoder_only else Decoder(in_channels, classes, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, in_channels, H, W)``, H and W multiples of 8, to logits ``(B, num_classes, H, W)``."""
        half, quarter, coarse = self.encoder(x)
        if self.decoder is None:
            return resize(coarse, (x.shape[-2], x.shape[-1]))
        logits: Tensor = self.decoder(half, quarter, coarse)
        return logits


class Encoder(nn.Module):
    """ESPNet-C (section 3.2).

    Args:
        in_channels: input channels.
        classes: channels of the coarse logits.
        p: ESP blocks at stride 4.
        q: ESP blocks at stride 8.
    """

    def __init__(self, in_channels: int, classes: int, p: int, q: int) -> None:
        super().__init__()
        half, quarter = 16 + in_channels, 128 + in_channels
        self.image = nn.AvgPool2d(3, 2, 1)
        self.level1 = ConvNormAct(in_channels, 16, stride=2, activation="prelu", eps=EPS)
        self.join1 = _norm_act(half)
        self.down2 = ESPBlock(half, 64, stride=2)
        self.level2 = nn.Sequential(*(ESPBlock(64, 64, residual=True) for _ in range(p)))
        self.join2 = _norm_act(quarter)
        self.down3 = ESPBlock(quarter, 128, stride=2)
        self.level3 = nn.Sequential(*(ESPBlock(128, 128, residual=True) for _ in range(q)))
        self.join3 = _norm_act(256)
        self.classify = nn.Conv2d(256, classes, 1, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map ``(B, in_channels, H, W)`` to features at strides 2 and 4 and logits at stride 8."""
        image2 = self.image(x)
        image4 = self.image(image2)
        half = self.join1(torch.cat([self.level1(x), image2], 1))
        first = self.down2(half)
        quarter = self.join2(torch.cat([self.level2(first), first, image4], 1))
        first = self.down3(quarter)
        logits = self.classify(self.join3(torch.cat([first, self.level3(first)], 1)))
        return half, quarter, logits


class Decoder(nn.Module):
    """From stride 8 to the input's size, with the encoder's features at strides 4 and 2 (figure 4d).

    Args:
        in_channels: of the network's input.
        channels: in which the decoder works.
        num_classes: of the logits.
    """

    def __init__(self, in_channels: int, channels: int, num_classes: int) -> None:
        super().__init__()
        self.up8 = nn.Sequential(
            BatchNorm2d(channels, eps=EPS), nn.ConvTranspose2d(channels, channels, 2, 2, bias=False)
        )
        self.quarter = nn.Conv2d(128 + in_channels, channels, 1, bias=False)
        self.join4 = nn.Sequential(_norm_act(2 * channels), ESPBlock(2 * channels, channels))
        self.up4 = nn.Sequential(nn.ConvTranspose2d(channels, channels, 2, 2, bias=False), _norm_act(channels))
        self.join2 = ConvNormAct(16 + in_channels + channels, channels, activation="prelu", eps=EPS)
        self.up2 = nn.ConvTranspose2d(channels, num_classes, 2, 2, bias=False)

    def forward(self, half: Tensor, quarter: Tensor, coarse: Tensor) -> Tensor:
        """Map features at strides 2 and 4 and logits at stride 8 to logits ``(B, num_classes, H, W)``."""
        x = self.join4(torch.cat([self.quarter(quarter), self.up8(coarse)], 1))
        x = self.join2(torch.cat([self.up4(x), half], 1))
        logits: Tensor = self.up2(x)
        return logits


class ESPBlock(nn.Module):
    """Efficient spatial pyramid (section 3.1 and figure 1).

    Reduction to a fifth of the channels, five dilated 3x3 convolutions side by side, hierarchical feature fusion
    (running sums of the branches with rates 2, 4, 8, 16, which remove the gridding of each), concatenation, batch norm,
    PReLU.

    Args:
        in_channels: input channels.
        channels: output channels, at least five.
        stride: 2 makes the reduction a strided 3x3 convolution.
        residual: add the input before the batch norm.
    """

    def __init__(self, in_channels: int, channels: int, stride: int = 1, residual: bool = False) -> None:
        super().__init__()
        inner = channels // 5
        kernel = 3 if stride == 2 else 1
        self.reduce = nn.Conv2d(in_channels, inner, kernel, stride, kernel // 2, bias=False)
        self.first = nn.Conv2d(inner, channels - 4 * inner, 3, padding=1, bias=False)
        self.dilated = nn.ModuleList(
            nn.Conv2d(inner, inner, 3, padding=rate, dilation=rate, bias=False) for rate in _RATES
        )
        self.activate = _norm_act(channels)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, in_channels, h, w)`` to ``(B, channels, h / stride, w / stride)``."""
        reduced = self.reduce(x)
        parts = [self.first(reduced), self.dilated[0](reduced)]
        for branch in list(self.dilated)[1:]:
            parts.append(parts[-1] + branch(reduced))
        fused = torch.cat(parts, 1)
        out: Tensor = self.activate(fused + x if self.residual else fused)
        return out


def _norm_act(channels: int) -> nn.Sequential:
    return nn.Sequential(BatchNorm2d(channels, eps=EPS), nn.PReLU(channels))
