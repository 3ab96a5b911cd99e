"""The network."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spine_ignite.nn.blocks import ConvNormAct, resize
from spine_ignite.spec import Aux, ModelOutput
from spine_ignite_bisenetv2.semantic import Design, GatherExpansion, SemanticBranch

_BOOSTER = 128  # channels of a booster's hidden layer: the port's; the paper names none


class BiSeNetV2(nn.Module):
    """BiSeNet V2 (Yu et al. 2021, sections 4 and 5; its port by CoinCheung is an option).

    A wide, shallow branch for detail at stride 8 and a thin, deep one for meaning at stride 32, joined by guided
    aggregation. In training four boosters supervise the semantic branch; they take no part in inference.

    Args:
        in_channels: input channels.
        num_classes: classes, background included.
        design: ``paper``: the layers of the paper's figures; ``port``: those of the port, which has further
            activations, larger boosters, coarser upsampling in the aggregation and an initialisation of its own.
        boosters: whether there are boosters.
        head_channels: of the layer before the classifier.
        dropout: before the classifiers.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        design: Design = "paper",
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
        self.semantic = SemanticBranch(in_channels, design)
        self.aggregate = GuidedAggregation(128, design)
        self.head = _head(128, head_channels, num_classes, dropout)
        self.boosters = nn.ModuleList()
        for channels, stride in ((16, 4), (32, 8), (64, 16), (128, 32)) if boosters else ():
            if design == "port":
                self.boosters.append(PortBooster(channels, num_classes, stride, dropout))
            else:
                self.boosters.append(_head(channels, _BOOSTER, num_classes, dropout))
        _initialise(self, design)

    def forward(self, x: Tensor) -> Tensor | ModelOutput:
        """Map ``(B, in_channels, H, W)``, H and W multiples of 32, to logits ``(B, num_classes, H, W)``."""
        *levels, context = self.semantic(x)
        logits = resize(self.head(self.aggregate(self.detail(x), context)), (x.shape[-2], x.shape[-1]))
        if not self.training or not len(self.boosters):
            return logits
        pairs = zip(self.boosters, levels, strict=True)
        aux = {f"booster{number}": Aux(booster(level), 1.0) for number, (booster, level) in enumerate(pairs, 1)}
        return ModelOutput(logits, aux)


def _head(in_channels: int, channels: int, num_classes: int, dropout: float) -> nn.Sequential:
    """3x3 convolution, dropout, classifier: the segmentation head, and the paper's boosters (section 4.4)."""
    return nn.Sequential(ConvNormAct(in_channels, channels), nn.Dropout(dropout), nn.Conv2d(channels, num_classes, 1))


class GuidedAggregation(nn.Module):
    """Each branch is gated by the other, at the resolution of both (Yu et al. 2021, section 4.3, figure 6).

    Args:
        channels: of both branches and of the output.
        design: ``paper`` upsamples bilinearly; ``port`` repeats pixels, has a ReLU at the end and counts the padding
            in the means of the detail.
    """

    def __init__(self, channels: int, design: Design) -> None:
        super().__init__()
        port = design == "port"
        self.detail_fine = _separable(channels)
        self.detail_coarse = nn.Sequential(
            ConvNormAct(channels, channels, stride=2, activation="none"), nn.AvgPool2d(3, 2, 1, count_include_pad=port)
        )
        self.semantic_fine = ConvNormAct(channels, channels, activation="none")
        self.semantic_coarse = _separable(channels)
        self.project = ConvNormAct(channels, channels, activation="relu" if port else "none")
        self.up = nn.Upsample(scale_factor=4.0, mode="nearest" if port else "bilinear")

    def forward(self, detail: Tensor, semantic: Tensor) -> Tensor:
        """Map ``(B, C, 4 h, 4 w)`` and ``(B, C, h, w)`` to ``(B, C, 4 h, 4 w)``."""
        fine = self.detail_fine(detail) * torch.sigmoid(self.up(self.semantic_fine(semantic)))
        coarse = self.detail_coarse(detail) * torch.sigmoid(self.semantic_coarse(semantic))
        out: Tensor = self.project(fine + self.up(coarse))
        return out


def _separable(channels: int) -> nn.Sequential:
    depthwise = ConvNormAct(channels, channels, groups=channels, activation="none")
    return nn.Sequential(depthwise, nn.Conv2d(channels, channels, 1, bias=False))


class PortBooster(nn.Module):
    """The port's auxiliary classifier on a level of the semantic branch.

    3x3 convolution, twice the resolution, a 3x3 convolution to ``stride ** 2`` channels, classifier.

    Args:
        in_channels: of the level.
        num_classes: classes.
        stride: input pixels per pixel of the level.
        dropout: before the upsampling.
    """

    def __init__(self, in_channels: int, num_classes: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.before = nn.Sequential(ConvNormAct(in_channels, _BOOSTER), nn.Dropout(dropout))
        self.after = nn.Sequential(ConvNormAct(_BOOSTER, stride**2), nn.Conv2d(stride**2, num_classes, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, in_channels, h, w)`` to logits ``(B, num_classes, 2 h, 2 w)``."""
        logits: Tensor = self.after(F.interpolate(self.before(x), scale_factor=2.0, mode="nearest"))
        return logits


def _initialise(network: nn.Module, design: Design) -> None:
    """Kaiming normal; in the port a gather-and-expansion layer's branch ends at zero, to start from its shortcut."""
    for part in network.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out")
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, GatherExpansion) and design == "port":
            last: Any = part.branch[-1]
            nn.init.zeros_(last[1].weight)
