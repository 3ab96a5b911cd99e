"""The network."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spine_ignite.nn.blocks import ConvNormAct, resize
from spine_ignite.spec import Aux, ModelOutput
from spine_ignite_bisenetv2.semantic import GatherExpansion, SemanticBranch


class BiSeNetV2(nn.Module):
    """BiSeNet V2 (Yu et al. 2021, sections 4 and 5; compared with the widely used port by CoinCheung).

    A wide, shallow branch for detail at stride 8 and a thin, deep one for meaning at stride 32, joined by guided
    aggregation. In training four boosters supervise the semantic branch; they take no part in inference.

    Args:
        in_channels: input channels.
        num_classes: classes, background included.
        boosters: whether there are boosters.
        head_channels: of the layer before the classifier.
        dropout: before the classifiers.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        boosters: bool = True,
        head_channels: int = 1024,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.detail = nn.Sequential(
            ConvNormAct(in_channels, 64, stride=2),
            ConvNormAct(64, 64),
            ConvNormAct(64, 64, stride=2),
            ConvNormAct(64, 64),
            ConvNormAct(64, 64),
            ConvNormAct(64, 128, stride=2),
            ConvNormAct(128, 128),
            ConvNormAct(128, 128),
        )
        self.semantic = SemanticBranch(in_channels)
        self.aggregate = GuidedAggregation(128)
        self.head = nn.Sequential(
            ConvNormAct(128, head_channels), nn.Dropout(dropout), nn.Conv2d(head_channels, num_classes, 1)
        )
        levels = zip((16, 32, 64, 128), (4, 8, 16, 32), strict=True) if boosters else ()
        self.boosters = nn.ModuleList(Booster(channels, num_classes, stride, dropout) for channels, stride in levels)
        _initialise(self)

    def forward(self, x: Tensor) -> Tensor | ModelOutput:
        """Map ``(B, in_channels, H, W)``, H and W multiples of 32, to logits ``(B, num_classes, H, W)``."""
        *levels, context = self.semantic(x)
        logits = resize(self.head(self.aggregate(self.detail(x), context)), (x.shape[-2], x.shape[-1]))
        if not self.training or not len(self.boosters):
            return logits
        pairs = zip(self.boosters, levels, strict=True)
        aux = {f"booster{number}": Aux(booster(level), 1.0) for number, (booster, level) in enumerate(pairs, 1)}
        return ModelOutput(logits, aux)


class GuidedAggregation(nn.Module):
    """Each branch is gated by the other, at the resolution of both (Yu et al. 2021, section 4.3, figure 6).

    Args:
        channels: of both branches and of the output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.detail_fine = _separable(channels)
        self.detail_coarse = nn.Sequential(
            ConvNormAct(channels, channels, stride=2, activation="none"), nn.AvgPool2d(3, 2, 1, count_include_pad=False)
        )
        self.semantic_fine = ConvNormAct(channels, channels, activation="none")
        self.semantic_coarse = _separable(channels)
        self.project = ConvNormAct(channels, channels)

    def forward(self, detail: Tensor, semantic: Tensor) -> Tensor:
        """Map ``(B, C, 4 h, 4 w)`` and ``(B, C, h, w)`` to ``(B, C, 4 h, 4 w)``."""
        size = (detail.shape[-2], detail.shape[-1])
        fine = self.detail_fine(detail) * torch.sigmoid(resize(self.semantic_fine(semantic), size))
        coarse = self.detail_coarse(detail) * torch.sigmoid(self.semantic_coarse(semantic))
        out: Tensor = self.project(fine + resize(coarse, size))
        return out


def _separable(channels: int) -> nn.Sequential:
    depthwise = ConvNormAct(channels, channels, groups=channels, activation="none")
    return nn.Sequential(depthwise, nn.Conv2d(channels, channels, 1, bias=False))


class Booster(nn.Module):
    """Auxiliary classifier on a level of the semantic branch (Yu et al. 2021, section 4.4).

    As in the port: 3x3 convolution, twice the resolution, a 3x3 convolution to ``stride ** 2`` channels, classifier.

    Args:
        in_channels: of the level.
        num_classes: classes.
        stride: input pixels per pixel of the level.
        dropout: before the upsampling.
    """

    def __init__(self, in_channels: int, num_classes: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.before = nn.Sequential(ConvNormAct(in_channels, 128), nn.Dropout(dropout))
        self.after = nn.Sequential(ConvNormAct(128, stride**2), nn.Conv2d(stride**2, num_classes, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, in_channels, h, w)`` to logits ``(B, num_classes, 2 h, 2 w)``."""
        logits: Tensor = self.after(F.interpolate(self.before(x), scale_factor=2.0, mode="nearest"))
        return logits


def _initialise(network: nn.Module) -> None:
    """Kaiming by fan out; a gather-and-expansion layer's branch ends at zero, to start from its shortcut."""
    for part in network.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out")
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, GatherExpansion):
            last: Any = part.branch[-1]
            nn.init.zeros_(last[1].weight)
