"""The network."""

from __future__ import annotations

from torch import Tensor, nn
from typing_extensions import Unpack

from spine_ignite.nn.encoder_options import DilatedBackboneArguments
from spine_ignite.nn.encoders import build_encoder, multi_grid_dilations
from spine_ignite.nn.heads import ASPP, EncoderHeadNetwork, FCNHead, scaled_rates


class DeepLabV3(EncoderHeadNetwork):
    """DeepLabv3 (Chen et al. 2017, section 3; resizing as in the authors' TensorFlow release).

    A dilated residual network with a multi-grid in its last stage, atrous spatial pyramid pooling with image-level
    features, a classifier.

    Args:
        in_channels: input channels.
        num_classes: classes, background included.
        multi_grid: factors of the last stage's dilations, block by block.
        rates: of the pyramid at output stride 16; they are doubled at 8 (section 3.3).
        channels: of the pyramid.
        dropout: before the classifier.
        aux_weight: of an auxiliary head on stage 3, which the paper does not have; 0 leaves it out.
        encoder_options: for ``build_encoder``, ``backbone`` and so on; by default ``resnet101`` at output stride 16.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        multi_grid: tuple[int, ...] = (1, 2, 4),
        rates: tuple[int, ...] = (6, 12, 18),
        channels: int = 256,
        dropout: float = 0.0,
        aux_weight: float = 0.0,
        **encoder_options: Unpack[DilatedBackboneArguments],
    ) -> None:
        options = DilatedBackboneArguments(backbone="resnet101", output_stride=16) | encoder_options
        dilations = multi_grid_dilations(multi_grid, uniform=True)
        encoder = build_encoder(in_channels=in_channels, dilations=dilations, **options)
        scaled = scaled_rates(rates, encoder.strides[-1])
        head = ASPPHead(encoder.channels[-1], channels, num_classes, scaled, dropout)
        aux = FCNHead(encoder.channels[-2], channels, num_classes) if aux_weight > 0 else None
        super().__init__(encoder, head, aux, aux_weight)


class ASPPHead(nn.Module):
    """Atrous spatial pyramid pooling and a classifier on the encoder's last features.

    Args:
        in_channels: channels of the features.
        channels: of the pyramid.
        num_classes: classes.
        rates: dilations of the pyramid.
        dropout: before the classifier.
    """

    def __init__(self, in_channels: int, channels: int, num_classes: int, rates: list[int], dropout: float) -> None:
        super().__init__()
        self.aspp = ASPP(in_channels, channels, rates, dropout=dropout)
        self.classify = nn.Conv2d(channels, num_classes, 1)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Map the feature maps to logits ``(B, num_classes, h, w)`` at the size of the last."""
        logits: Tensor = self.classify(self.aspp(features[-1]))
        return logits
