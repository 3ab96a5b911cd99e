"""The network."""

from __future__ import annotations

from torch import Tensor, nn
from typing_extensions import Unpack

from spine_ignite.nn.blocks import ConvNormAct
from spine_ignite.nn.encoder_options import DilatedBackboneArguments
from spine_ignite.nn.encoders import build_encoder, uniform_dilations
from spine_ignite.nn.heads import EncoderHeadNetwork, FCNHead, PyramidPooling


class PSPNet(EncoderHeadNetwork):
    """PSPNet (Zhao et al. 2017, section 3; compared with the authors' semseg repository).

    A dilated residual network, pyramid pooling, a 3x3 convolution and a classifier; in training an auxiliary head on
    stage 3 with weight 0.4.

    Args:
        in_channels: input channels.
        num_classes: classes, background included.
        bins: grids of the pyramid.
        channels: of the head; the paper has 512.
        dropout: channel dropout before the classifiers.
        encoder_options: for ``build_encoder``, ``backbone`` and so on; by default ``resnet50s`` at output stride 8.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        bins: tuple[int, ...] = (1, 2, 3, 6),
        channels: int = 512,
        dropout: float = 0.1,
        **encoder_options: Unpack[DilatedBackboneArguments],
    ) -> None:
        options = DilatedBackboneArguments(backbone="resnet50s", output_stride=8) | encoder_options
        encoder = build_encoder(in_channels=in_channels, dilations=uniform_dilations, **options)
        head = PyramidPoolingHead(encoder.channels[-1], channels, num_classes, bins, dropout)
        aux = FCNHead(encoder.channels[-2], max(channels // 2, 1), num_classes, dropout)
        super().__init__(encoder, head, aux)


class PyramidPoolingHead(nn.Module):
    """Pyramid pooling, 3x3 convolution, classifier, on the encoder's last features.

    Args:
        in_channels: channels of the features.
        channels: of the 3x3 convolution; each pooled map has a quarter of the input's.
        num_classes: classes.
        bins: grids of the pyramid.
        dropout: channel dropout before the classifier.
    """

    def __init__(
        self, in_channels: int, channels: int, num_classes: int, bins: tuple[int, ...], dropout: float
    ) -> None:
        super().__init__()
        self.pyramid = PyramidPooling(in_channels, in_channels // len(bins), bins)
        self.classify = nn.Sequential(
            ConvNormAct(self.pyramid.out_channels, channels), nn.Dropout2d(dropout), nn.Conv2d(channels, num_classes, 1)
        )

    def forward(self, features: list[Tensor]) -> Tensor:
        """Map the feature maps to logits ``(B, num_classes, h, w)`` at the size of the last."""
        logits: Tensor = self.classify(self.pyramid(features[-1]))
        return logits
