"""The network."""

from __future__ import annotations

from torch import Tensor, nn
from typing_extensions import Unpack

from spine_ignite.nn.attention import ObjectContext
from spine_ignite.nn.blocks import Activation, ConvNormAct
from spine_ignite.nn.encoder_options import DilatedBackboneArguments
from spine_ignite.nn.encoders import build_encoder, uniform_dilations
from spine_ignite.nn.heads import EncoderHeadNetwork, FCNHead
from spine_ignite_ocnet.context import ASPObjectContext, PyramidObjectContext


class OCNet(EncoderHeadNetwork):
    """OCNet (Yuan & Wang 2018, section 3; compared with the authors' repository).

    A dilated residual network, object context in one of three forms, a classifier; in training an auxiliary head on
    stage 3 with weight 0.4.

    Args:
        in_channels: input channels.
        num_classes: classes, background included.
        context: ``base``, ``pyramid`` or ``asp``.
        channels: of the head; the paper has 512.
        dropout: channel dropout after the context (0.1 in the release's ASP-OC) and in the auxiliary head.
        encoder_options: for ``build_encoder``, ``backbone`` and so on; by default ``resnet101s`` at output stride 8.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        context: str = "base",
        channels: int = 512,
        dropout: float = 0.05,
        **encoder_options: Unpack[DilatedBackboneArguments],
    ) -> None:
        options = DilatedBackboneArguments(backbone="resnet101s", output_stride=8) | encoder_options
        encoder = build_encoder(in_channels=in_channels, dilations=uniform_dilations, **options)
        head = OCHead(encoder.channels[-1], channels, num_classes, context, dropout)
        aux = FCNHead(encoder.channels[-2], channels, num_classes, dropout, reduction_activation(context), bias=True)
        super().__init__(encoder, head, aux)


def reduction_activation(context: str) -> Activation:
    """Of the 3x3 convolutions before context and auxiliary classifier; ``pyramid`` has none, as in the release."""
    return "none" if context == "pyramid" else "leaky_relu"


class OCHead(nn.Module):
    """3x3 convolution, object context, classifier, on the encoder's last features.

    Args:
        in_channels: channels of the features.
        channels: of the context.
        num_classes: classes.
        context: ``base``, ``pyramid`` or ``asp``.
        dropout: channel dropout after the context.
    """

    def __init__(self, in_channels: int, channels: int, num_classes: int, context: str, dropout: float) -> None:
        super().__init__()
        half = channels // 2
        self.reduce = ConvNormAct(in_channels, channels, activation=reduction_activation(context), bias=True)
        self.context: nn.Module
        if context == "pyramid":
            self.context = PyramidObjectContext(channels, dropout=dropout)
        elif context == "asp":
            self.context = ASPObjectContext(channels, dropout=dropout)
        else:
            self.context = ObjectContext(channels, half, half, channels, "leaky_relu", dropout=dropout)
        self.classify = nn.Conv2d(channels, num_classes, 1)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Map the feature maps to logits ``(B, num_classes, h, w)`` at the size of the last."""
        logits: Tensor = self.classify(self.context(self.reduce(features[-1])))
        return logits
