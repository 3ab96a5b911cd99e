"""The network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from typing_extensions import Unpack

from spine_ignite.nn.attention import ObjectContext, as_anchors, attend, zero_conv
from spine_ignite.nn.blocks import ConvNormAct
from spine_ignite.nn.encoder_options import DilatedBackboneArguments
from spine_ignite.nn.encoders import build_encoder
from spine_ignite.nn.heads import EncoderHeadNetwork, FCNHead


class ANN(EncoderHeadNetwork):
    """Asymmetric non-local network (Zhu et al. 2019, section 3; compared with the authors' repository).

    A dilated residual network, asymmetric fusion of its last two stages, an asymmetric pyramid block, a classifier; in
    training an auxiliary head on stage 3 with weight 0.4.

    Args:
        in_channels: input channels.
        num_classes: classes, background included.
        anchors: grids whose cells are keys and values.
        channels: of the head; the paper has 512.
        dropout: channel dropout after each block and before the auxiliary classifier.
        encoder_options: for ``build_encoder``, ``backbone`` and so on; by default ``resnet101s`` at output stride 8.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        anchors: tuple[int, ...] = (1, 3, 6, 8),
        channels: int = 512,
        dropout: float = 0.05,
        **encoder_options: Unpack[DilatedBackboneArguments],
    ) -> None:
        # The release dilates as timm does: the first block of a stage has the dilation of the stage before.
        options = DilatedBackboneArguments(backbone="resnet101s", output_stride=8) | encoder_options
        encoder = build_encoder(in_channels=in_channels, **options)
        low, high = encoder.channels[-2:]
        head = ANNHead(low, high, channels, num_classes, anchors, dropout)
        super().__init__(encoder, head, FCNHead(low, channels, num_classes, dropout, bias=True))


class ANNHead(nn.Module):
    """Fusion of two stages, 3x3 convolution, pyramid block, classifier.

    Args:
        low_channels: channels of stage 3.
        high_channels: channels of stage 4.
        channels: of the pyramid block.
        num_classes: classes.
        anchors: grids whose cells are keys and values.
        dropout: channel dropout after each block.
    """

    def __init__(
        self,
        low_channels: int,
        high_channels: int,
        channels: int,
        num_classes: int,
        anchors: Sequence[int],
        dropout: float,
    ) -> None:
        super().__init__()
        half = channels // 2
        self.fuse = AsymmetricFusion(low_channels, high_channels, half, anchors, dropout)
        self.reduce = ConvNormAct(high_channels, channels, bias=True)
        self.pyramid = ObjectContext(channels, half, half, channels, "relu", anchors, dropout=dropout)
        self.classify = nn.Conv2d(channels, num_classes, 1)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Map the feature maps to logits ``(B, num_classes, h, w)`` at the size of the last."""
        fused = self.fuse(features[-2], features[-1])
        logits: Tensor = self.classify(self.pyramid(self.reduce(fused)))
        return logits


class AsymmetricFusion(nn.Module):
    """Asymmetric fusion non-local block (Zhu et al. 2019, section 3.4).

    Each pixel of the high features attends to cells of the low ones; what it finds is concatenated with the high
    features and projected, with batch norm and no ReLU, as in the release.

    Args:
        low_channels: of the features that give keys and values.
        high_channels: of the features that give queries; also of the output.
        channels: of queries, keys and values.
        anchors: grids whose cells are keys and values.
        dropout: channel dropout after the projection.
    """

    def __init__(
        self, low_channels: int, high_channels: int, channels: int, anchors: Sequence[int], dropout: float
    ) -> None:
        super().__init__()
        self.query = ConvNormAct(high_channels, channels, 1, bias=True)
        self.key = ConvNormAct(low_channels, channels, 1, bias=True)
        self.value = nn.Conv2d(low_channels, channels, 1)
        self.out = zero_conv(channels, high_channels)
        self.project = nn.Sequential(
            ConvNormAct(2 * high_channels, high_channels, 1, activation="none", bias=True), nn.Dropout2d(dropout)
        )
        self.anchors = tuple(anchors)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """Map ``(B, low_channels, h, w)`` and ``(B, high_channels, h', w')`` to ``(B, high_channels, h', w')``."""
        query = self.query(high)
        key, value = as_anchors(self.key(low), self.anchors), as_anchors(self.value(low), self.anchors)
        context = self.out(attend(query.flatten(2), key, value).unflatten(2, query.shape[-2:]))
        out: Tensor = self.project(torch.cat([context, high], 1))
        return out
