"""The network."""

from __future__ import annotations

from torch import Tensor, nn
from typing_extensions import Unpack

from spine_ignite.nn.blocks import ConvNormAct
from spine_ignite.nn.encoder_options import DilatedBackboneArguments
from spine_ignite.nn.encoders import build_encoder, uniform_dilations
from spine_ignite.nn.heads import EncoderHeadNetwork, FCNHead
from spine_ignite_psanet.attention import PointwiseSpatialAttention


class PSANet(EncoderHeadNetwork):
    """PSANet (Zhao et al. 2018, section 3; compared with the authors' semseg repository).

    A dilated residual network, point-wise spatial attention, a 3x3 convolution and a classifier; in training an
    auxiliary head on stage 3 with weight 0.4.

    Args:
        in_channels: input channels.
        num_classes: classes, background included.
        attention: ``both``, ``collect`` or ``distribute``.
        crop: input size (rows and columns) whose every offset the attention's mask covers; other sizes work, and
            positions farther apart than the mask reaches have logit 0, as in the release.
        channels: of the head; the paper has 512.
        dropout: channel dropout before the classifiers.
        encoder_options: for ``build_encoder``, ``backbone`` and so on; by default ``resnet101s`` at output stride 8.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        attention: str = "both",
        crop: int = 465,
        channels: int = 512,
        dropout: float = 0.1,
        **encoder_options: Unpack[DilatedBackboneArguments],
    ) -> None:
        options = DilatedBackboneArguments(backbone="resnet101s", output_stride=8) | encoder_options
        encoder = build_encoder(in_channels=in_channels, dilations=uniform_dilations, **options)
        mask = 2 * ((crop - 1) // (2 * encoder.strides[-1]) + 1) - 1
        head = PSAHead(encoder.channels[-1], channels, num_classes, mask, attention, dropout)
        aux = FCNHead(encoder.channels[-2], max(channels // 2, 1), num_classes, dropout)
        super().__init__(encoder, head, aux)


class PSAHead(nn.Module):
    """Point-wise spatial attention, 3x3 convolution, classifier, on the encoder's last features.

    Args:
        in_channels: channels of the features.
        channels: of the attention and the 3x3 convolution.
        num_classes: classes.
        mask: rows and columns of the attention's mask.
        attention: ``both``, ``collect`` or ``distribute``.
        dropout: channel dropout before the classifier.
    """

    def __init__(
        self, in_channels: int, channels: int, num_classes: int, mask: int, attention: str, dropout: float
    ) -> None:
        super().__init__()
        self.attention = PointwiseSpatialAttention(in_channels, channels, mask, attention)
        self.classify = nn.Sequential(
            ConvNormAct(2 * in_channels, channels), nn.Dropout2d(dropout), nn.Conv2d(channels, num_classes, 1)
        )

    def forward(self, features: list[Tensor]) -> Tensor:
        """Map the feature maps to logits ``(B, num_classes, h, w)`` at the size of the last."""
        logits: Tensor = self.classify(self.attention(features[-1]))
        return logits
