"""The network."""

from __future__ import annotations

from torch import Tensor, nn

from spine_ignite.nn.blocks import ConvNormAct
from spine_ignite.nn.encoders import build_encoder
from spine_ignite.nn.reverse_attention import ParallelReverseNetwork, Reverse, supervised
from spine_ignite.spec import Aux, ModelOutput

_EDGE = 64  # channels of the edge features


class InfNet(ParallelReverseNetwork):
    """Inf-Net (Fan et al. 2020, section III; compared with the authors' repository), for any number of classes.

    PraNet's partial decoder and reverse attention, and edge features from stride 4 that guide every stage. The four
    maps and the edge map are supervised with weight 1.

    Args:
        in_channels: input channels.
        num_classes: classes, background included.
        backbone: timm name of the encoder.
        pretrained: start from timm's weights.
        weights: or from this file.
        reverse: ``foreground`` or ``classwise``.
        channels: of the partial decoder's inputs; the paper has 32.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        backbone: str = "res2net50d",
        pretrained: bool = False,
        weights: str | None = None,
        reverse: Reverse = "foreground",
        channels: int = 32,
    ) -> None:
        encoder = build_encoder(backbone, in_channels, pretrained=pretrained, weights=weights)
        super().__init__(encoder, num_classes, channels, reverse, _EDGE)
        self.edge = nn.Sequential(
            ConvNormAct(encoder.channels[-4], _EDGE, 1, activation="none"),
            ConvNormAct(_EDGE, _EDGE, activation="none"),
            ConvNormAct(_EDGE, _EDGE, activation="none"),
        )
        self.classify_edge = ConvNormAct(_EDGE, 1, activation="none")

    def forward(self, x: Tensor) -> Tensor | ModelOutput:
        """Map ``(B, in_channels, H, W)`` to logits ``(B, num_classes, H, W)``."""
        features = self.encoder(x)
        edge = self.edge(features[-4])
        output = supervised(self.maps(features, edge), (x.shape[-2], x.shape[-1]), self.training)
        if isinstance(output, Tensor):
            return output
        return ModelOutput(output.logits, {**output.aux, "edge": Aux(self.classify_edge(edge), 1.0, "edge")})
