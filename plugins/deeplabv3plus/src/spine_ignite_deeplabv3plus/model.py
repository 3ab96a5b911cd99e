"""The network."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from typing_extensions import Unpack

from spine_ignite.nn.blocks import ConvNormAct, resize
from spine_ignite.nn.encoder_options import DilatedBackboneArguments
from spine_ignite.nn.encoders import build_encoder, multi_grid_dilations
from spine_ignite.nn.heads import ASPP, EncoderHeadNetwork, scaled_rates, separable_conv


class DeepLabV3Plus(EncoderHeadNetwork):
    """DeepLabv3+ (Chen et al. 2018, section 3; resizing as in the authors' TensorFlow release).

    DeepLabv3's encoder and pyramid, and a decoder that joins them with the encoder's features at stride 4.

    Args:
        in_channels: input channels.
        num_classes: classes, background included.
        multi_grid: factors of the last stage's dilations of a residual network, block by block.
        rates: of the pyramid at output stride 16; they are doubled at 8.
        channels: of pyramid and decoder.
        low_channels: of the fine features after their 1x1 convolution.
        separable: make the 3x3 convolutions of pyramid and decoder depthwise separable; by default where the backbone
            is an Xception, as in the paper.
        dropout: after the pyramid and before the classifier.
        encoder_options: for ``build_encoder``, ``backbone`` and so on; by default ``resnet101`` at output stride 16.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        multi_grid: tuple[int, ...] = (1, 2, 4),
        rates: tuple[int, ...] = (6, 12, 18),
        channels: int = 256,
        low_channels: int = 48,
        separable: bool | None = None,
        dropout: float = 0.1,
        **encoder_options: Unpack[DilatedBackboneArguments],
    ) -> None:
        options = DilatedBackboneArguments(backbone="resnet101", output_stride=16) | encoder_options
        dilations = multi_grid_dilations(multi_grid, uniform=True)
        encoder = build_encoder(in_channels=in_channels, dilations=dilations, **options)
        fine = encoder.strides.index(4)
        if separable is None:
            separable = "xception" in options["backbone"]
        scaled = scaled_rates(rates, encoder.strides[-1])
        aspp = ASPP(encoder.channels[-1], channels, scaled, separable, dropout)
        decoder = Decoder(aspp, fine, encoder.channels[fine], channels, low_channels, num_classes, separable, dropout)
        super().__init__(encoder, decoder)


class Decoder(nn.Module):
    """Pyramid, and its fusion with the features at stride 4 (Chen et al. 2018, figure 2).

    Args:
        aspp: the pyramid on the last features.
        fine: index of the features at stride 4.
        fine_channels: their channels.
        channels: of the decoder.
        low_channels: to which the fine features are reduced, so that they do not outweigh the pyramid.
        num_classes: classes.
        separable: depthwise separable 3x3 convolutions.
        dropout: before the classifier.
    """

    def __init__(
        self,
        aspp: ASPP,
        fine: int,
        fine_channels: int,
        channels: int,
        low_channels: int,
        num_classes: int,
        separable: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        conv = separable_conv if separable else ConvNormAct
        self.aspp = aspp
        self.fine = fine
        self.reduce = ConvNormAct(fine_channels, low_channels, 1)
        self.refine = nn.Sequential(conv(channels + low_channels, channels), conv(channels, channels))
        self.classify = nn.Sequential(nn.Dropout(dropout), nn.Conv2d(channels, num_classes, 1))

    def forward(self, features: list[Tensor]) -> Tensor:
        """Map the feature maps to logits ``(B, num_classes, H / 4, W / 4)``."""
        low = self.reduce(features[self.fine])
        high = resize(self.aspp(features[-1]), (low.shape[-2], low.shape[-1]), align_corners=True)
        logits: Tensor = self.classify(self.refine(torch.cat([high, low], 1)))
        return logits
