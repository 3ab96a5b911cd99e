"""Heads on an encoder's features, and the network that most architectures with an encoder are."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from spine_ignite.nn.blocks import Activation, ConvNormAct, resize
from spine_ignite.nn.encoders import Encoder
from spine_ignite.spec import Aux, ModelOutput


class FCNHead(nn.Sequential):
    """3x3 convolution, batch norm, activation, channel dropout, 1x1 convolution to the classes.

    The auxiliary head of PSPNet and of those that followed it, on the features of stage 3.

    Args:
        in_channels: channels of the features.
        channels: of the hidden layer.
        num_classes: classes.
        dropout: probability for a channel.
        activation: of the hidden layer.
        bias: whether the 3x3 convolution has one.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        num_classes: int,
        dropout: float = 0.1,
        activation: Activation = "relu",
        bias: bool = False,
    ) -> None:
        super().__init__(
            ConvNormAct(in_channels, channels, activation=activation, bias=bias),
            nn.Dropout2d(dropout),
            nn.Conv2d(channels, num_classes, 1),
        )


class EncoderHeadNetwork(nn.Module):
    """An encoder, a head, and in training an auxiliary head on the features of the stage before the last.

    Args:
        encoder: gives feature maps from fine to coarse.
        head: maps the list of feature maps to logits ``(B, num_classes, h, w)`` of any size.
        aux_head: maps the last feature map but one to auxiliary logits; left out in eval mode.
        aux_weight: of the auxiliary logits' loss.
        align_corners: of the bilinear resize of the logits to the input's size.
    """

    def __init__(
        self,
        encoder: Encoder,
        head: nn.Module,
        aux_head: nn.Module | None = None,
        aux_weight: float = 0.4,
        align_corners: bool = True,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.aux_head = aux_head
        self.aux_weight = aux_weight
        self.align_corners = align_corners

    def forward(self, x: Tensor) -> Tensor | ModelOutput:
        """Map ``(B, in_channels, H, W)`` to logits ``(B, num_classes, H, W)``."""
        features = self.encoder(x)
        logits = resize(self.head(features), (x.shape[-2], x.shape[-1]), self.align_corners)
        if not self.training or self.aux_head is None:
            return logits
        return ModelOutput(logits, {"aux": Aux(self.aux_head(features[-2]), self.aux_weight)})


class PyramidPooling(nn.Module):
    """Pyramid pooling (Zhao et al. 2017, section 3.2): the input and its averages over grids of several sizes.

    Each grid: adaptive average pooling, 1x1 convolution, batch norm, ReLU, bilinear resize back. The output is the
    concatenation of the input and the pooled maps.

    Args:
        in_channels: input channels.
        channels: of each pooled map.
        bins: rows and columns of each grid.
    """

    def __init__(self, in_channels: int, channels: int, bins: Sequence[int] = (1, 2, 3, 6)) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(size), ConvNormAct(in_channels, channels, 1)) for size in bins
        )
        self.out_channels = in_channels + len(bins) * channels

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, h, w)`` to ``(B, C + len(bins) * channels, h, w)``."""
        size = (x.shape[-2], x.shape[-1])
        return torch.cat([x, *(resize(branch(x), size, align_corners=True) for branch in self.branches)], 1)


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling (Chen et al. 2017, section 3.3), up to and with the 1x1 convolution that follows.

    Parallel: a 1x1 convolution, 3x3 convolutions with the given rates, and the image's mean through a 1x1 convolution;
    each with batch norm and ReLU; concatenated and projected.

    Args:
        in_channels: input channels.
        channels: of every branch and of the output.
        rates: dilations of the 3x3 convolutions.
        separable: make the 3x3 convolutions depthwise separable, batch norm and ReLU after both parts.
        dropout: probability after the projection.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int = 256,
        rates: Sequence[int] = (6, 12, 18),
        separable: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        conv = separable_conv if separable else ConvNormAct
        self.branches = nn.ModuleList(
            [ConvNormAct(in_channels, channels, 1), *(conv(in_channels, channels, dilation=rate) for rate in rates)]
        )
        self.image = nn.Sequential(nn.AdaptiveAvgPool2d(1), ConvNormAct(in_channels, channels, 1))
        self.project = nn.Sequential(
            ConvNormAct((len(rates) + 2) * channels, channels, 1), nn.Dropout(dropout) if dropout else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, h, w)`` to ``(B, channels, h, w)``."""
        mean = self.image(x).expand(-1, -1, x.shape[-2], x.shape[-1])
        out: Tensor = self.project(torch.cat([*(branch(x) for branch in self.branches), mean], 1))
        return out


def scaled_rates(rates: Sequence[int], output_stride: int) -> list[int]:
    """Bring rates that are meant for output stride 16 to another: doubled at 8 (Chen et al. 2017, section 3.3).

    At 32 they are halved, and stay at least 1.
    """
    return [max(rate * 16 // output_stride, 1) for rate in rates]


def separable_conv(in_channels: int, out_channels: int, dilation: int = 1) -> nn.Sequential:
    """Return a depthwise 3x3 and a 1x1 convolution, each with batch norm and ReLU (Chen et al. 2018, section 3.2)."""
    return nn.Sequential(
        ConvNormAct(in_channels, in_channels, dilation=dilation, groups=in_channels),
        ConvNormAct(in_channels, out_channels, 1),
    )
