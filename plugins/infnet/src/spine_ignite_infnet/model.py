"""The network."""

from __future__ import annotations

from torch import Tensor, nn
from typing_extensions import Unpack

from spine_ignite.nn.blocks import ConvNormAct
from spine_ignite.nn.encoder_options import BackboneArguments
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
        reverse: ``foreground`` or ``classwise``.
        channels: of the partial decoder's inputs; the paper has 32.
        encoder_options: for ``build_encoder``, ``backbone`` and so on; by default ``res2net50d``.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        reverse: Reverse = "foreground",
        channels: int = 32,
        **encoder_options: Unpack[BackboneArguments],
    ) -> None:
        super().__init__(in_channels, num_classes, reverse, channels, _EDGE, **encoder_options)
        self.edge = nn.Sequential(
            ConvNormAct(self.encoder.channels[-4], _EDGE, 1, activation="none"),
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
