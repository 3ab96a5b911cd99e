"""The network."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from spine_ignite.nn.blocks import Norm, crop_or_resize, initialise_he, resize
from spine_ignite.nn.encoders import build_encoder
from spine_ignite.spec import Aux, ModelOutput
from spine_ignite_unetpp.grid import NestedDecoder, double_convolution

# Channels of the nodes beside a timm encoder, by their stride; the release's decoder widths.
_NODES = {1: 16, 2: 32, 4: 64, 8: 128, 16: 256}


class UNetPlusPlus(nn.Module):
    """UNet++ (Zhou et al. 2018, section 3; Zhou et al. 2020, section III; compared with the authors' Keras code).

    A U-Net whose skip connections are a grid of nodes: node (i, j) sees all nodes before it at its level and the
    upsampled node (i + 1, j - 1).

    Args:
        in_channels: input channels.
        num_classes: classes, background included.
        backbone: ``none`` for the paper's own encoder, or a timm name.
        pretrained: start the timm encoder from timm's weights.
        weights: or from this file.
        width: channels of the own encoder's first level; they double at each level.
        depth: levels of the own encoder.
        norm: normalisation of the own encoder's and all nodes' convolutions.
        dropout: of single values after each convolution.
        deep_supervision: a classifier on every node of the finest level. In training each is supervised with weight 1;
            in eval mode their probabilities are averaged (the paper's accurate mode), and the logits are the logarithm
            of the mean.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        backbone: str = "none",
        pretrained: bool = False,
        weights: str | None = None,
        width: int = 32,
        depth: int = 5,
        norm: Norm = "batch",
        dropout: float = 0.0,
        deep_supervision: bool = False,
    ) -> None:
        super().__init__()
        self.last: nn.Module | None = None
        if backbone == "none":
            widths = [width * 2**level for level in range(depth)]
            self.encoder: nn.Module = PlainEncoder(in_channels, widths, norm, dropout)
            nodes, stride = widths[:-1], 1
        else:
            encoder = build_encoder(backbone, in_channels, pretrained=pretrained, weights=weights)
            self.encoder, widths, stride = encoder, list(encoder.channels), encoder.strides[0]
            nodes = [_NODES[level] for level in encoder.strides[:-1]]
        self.decoder = NestedDecoder(widths, nodes, norm, dropout)
        if stride > 1:
            self.last = LastBlock(nodes[0], _NODES[1], stride, norm, dropout)
        inputs = [nodes[0]] * (len(nodes) - 1) if deep_supervision else []
        inputs.append(_NODES[1] if stride > 1 else nodes[0])
        self.heads = nn.ModuleList(nn.Conv2d(channels, num_classes, 1) for channels in inputs)
        if backbone == "none":
            initialise_he(self)

    def forward(self, x: Tensor) -> Tensor | ModelOutput:
        """Map ``(B, in_channels, H, W)`` to logits ``(B, num_classes, H, W)``."""
        size = (x.shape[-2], x.shape[-1])
        nodes = self.decoder(self.encoder(x))
        if self.last is not None:
            nodes = [*nodes[:-1], self.last(nodes[-1], size)]
        logits = [head(node) for head, node in zip(self.heads, nodes[-len(self.heads) :], strict=True)]
        if len(logits) == 1:
            only: Tensor = logits[0]
            return only
        if self.training:
            aux = {f"node{number}": Aux(item, 1.0) for number, item in enumerate(logits[:-1], 1)}
            return ModelOutput(logits[-1], aux)
        return _mean_of_probabilities(logits, size)


def _mean_of_probabilities(logits: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    """Logarithm of the mean of the softmaxes of these, resized to ``size``."""
    shares = torch.stack([resize(item, size).log_softmax(1) for item in logits])
    return torch.logsumexp(shares, 0) - math.log(len(logits))


class PlainEncoder(nn.Module):
    """The paper's encoder: two 3x3 convolutions at each level, 2x2 max pooling in between.

    Args:
        in_channels: input channels.
        widths: channels of each level.
        norm: which normalisation.
        dropout: of single values after each convolution.
    """

    def __init__(self, in_channels: int, widths: Sequence[int], norm: Norm, dropout: float) -> None:
        super().__init__()
        inputs = [in_channels, *widths[:-1]]
        self.levels = nn.ModuleList(
            double_convolution(before, after, norm, dropout) for before, after in zip(inputs, widths, strict=True)
        )
        self.pool = nn.MaxPool2d(2, ceil_mode=True)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map ``(B, in_channels, H, W)`` to one feature map per level, from fine to coarse."""
        features: list[Tensor] = []
        for level in self.levels:
            features.append(level(self.pool(features[-1]) if features else x))
        return features


class LastBlock(nn.Module):
    """From the finest node of a timm encoder's grid to full resolution: upsampling and two convolutions.

    Args:
        in_channels: of the node.
        channels: output channels.
        stride: input pixels per pixel of the node.
        norm: which normalisation.
        dropout: of single values after each convolution.
    """

    def __init__(self, in_channels: int, channels: int, stride: int, norm: Norm, dropout: float) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(in_channels, channels, stride, stride)
        self.block = double_convolution(channels, channels, norm, dropout)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Map ``(B, C, h, w)`` to ``(B, channels, *size)``."""
        out: Tensor = self.block(crop_or_resize(self.up(x), size))
        return out
