"""The network."""

from __future__ import annotations

from torch import Tensor, nn

from spine_ignite.nn.encoders import build_encoder, multi_grid_dilations
from spine_ignite.nn.heads import ASPP, EncoderHeadNetwork, FCNHead


class DeepLabV3(EncoderHeadNetwork):
    """DeepLabv3 (Chen et al. 2017, section 3).

    A dilated residual network with a multi-grid in its last stage, atrous spatial pyramid pooling with image-level
    features, a classifier.

    Args:
        in_channels: input channels.
        num_classes: classes, background included.
        backbone: timm name of the encoder.
        output_stride: of the encoder; at 8 the rates are doubled (section 3.3).
        pretrained: start from timm's weights.
        weights: or from this file.
        multi_grid: factors of the last stage's dilations, block by block.
        rates: of the pyramid at output stride 16.
        channels: of the pyramid.
        dropout: before the classifier.
        aux_weight: of an auxiliary head on stage 3, which the paper does not have; 0 leaves it out.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        backbone: str = "resnet101",
        output_stride: int = 16,
        pretrained: bool = False,
        weights: str | None = None,
        multi_grid: tuple[int, ...] = (1, 2, 4),
        rates: tuple[int, ...] = (6, 12, 18),
        channels: int = 256,
        dropout: float = 0.0,
        aux_weight: float = 0.0,
    ) -> None:
        encoder = build_encoder(
            backbone,
            in_channels,
            output_stride=output_stride,
            dilations=multi_grid_dilations(output_stride, multi_grid),
            pretrained=pretrained,
            weights=weights,
        )
        scaled = [rate * 16 // output_stride for rate in rates]
        head = ASPPHead(encoder.channels[-1], channels, num_classes, scaled, dropout)
        aux = FCNHead(encoder.channels[-2], channels, num_classes) if aux_weight > 0 else None
        super().__init__(encoder, head, aux, aux_weight, align_corners=False)


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
