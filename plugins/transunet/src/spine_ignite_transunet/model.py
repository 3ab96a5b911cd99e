"""The network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from spine_ignite.nn.blocks import ConvNormAct, initialise_he, resize
from spine_ignite_transunet.encoder import HybridEncoder


class TransUNet(nn.Module):
    """TransUNet (Chen et al. 2021, section 3; compared with the authors' repository).

    A ResNet of three stages, a vision transformer on its output at stride 16, and a cascaded upsampler with the
    ResNet's features as skip connections.

    Args:
        in_channels: input channels.
        num_classes: classes, background included.
        pretrained: start from timm's ImageNet-21k weights of ``vit_base_r50_s16_224``.
        weights: or from this file.
        layers: of the transformer; the paper has 12.
        width: of the tokens; the paper has 768.
        heads: of the attention; the paper has 12.
        dropout: of the embedded tokens and in the transformer's MLPs.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        pretrained: bool = False,
        weights: str | None = None,
        layers: int = 12,
        width: int = 768,
        heads: int = 12,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.encoder = HybridEncoder(in_channels, pretrained, weights, layers, width, heads, dropout)
        self.decoder = CascadedUpsampler(width, (512, 256, 64), num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, in_channels, H, W)``, H and W multiples of 16, to logits ``(B, num_classes, H, W)``."""
        tokens, skips = self.encoder(x)
        logits: Tensor = self.decoder(tokens, skips)
        return logits


class CascadedUpsampler(nn.Module):
    """Decoder: four steps of doubling, concatenation with a skip connection, two convolutions (section 3.2).

    Args:
        in_channels: of the transformer's output.
        skips: channels of the skip connections, from coarse to fine; the last step has none.
        num_classes: classes.
    """

    def __init__(self, in_channels: int, skips: Sequence[int], num_classes: int) -> None:
        super().__init__()
        widths = (256, 128, 64, 16)
        self.first = ConvNormAct(in_channels, 512)
        steps, before = [], 512
        for width, skip in zip(widths, (*skips, 0), strict=True):
            steps.append(nn.Sequential(ConvNormAct(before + skip, width), ConvNormAct(width, width)))
            before = width
        self.steps = nn.ModuleList(steps)
        self.classify = nn.Conv2d(before, num_classes, 3, padding=1)
        initialise_he(self)

    def forward(self, x: Tensor, skips: Sequence[Tensor]) -> Tensor:
        """Map ``(B, C, h, w)`` to logits ``(B, num_classes, 16 h, 16 w)``."""
        x = self.first(x)
        for number, step in enumerate(self.steps):
            x = resize(x, (2 * x.shape[-2], 2 * x.shape[-1]), align_corners=True)
            x = step(torch.cat([x, skips[number]], 1) if number < len(skips) else x)
        logits: Tensor = self.classify(x)
        return logits
