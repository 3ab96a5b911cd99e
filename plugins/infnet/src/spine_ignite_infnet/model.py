"""The network."""

from __future__ import annotations

from torch import Tensor, nn

from spine_ignite.nn.blocks import ConvNormAct
from spine_ignite.nn.encoders import build_encoder
from spine_ignite.nn.reverse_attention import (
    PartialDecoder,
    ReceptiveFieldBlock,
    Reverse,
    reverse_stage,
    supervised,
)
from spine_ignite.spec import Aux, ModelOutput

_EDGE = 64  # channels of the edge features


class InfNet(nn.Module):
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
        super().__init__()
        self.encoder = build_encoder(backbone, in_channels, pretrained=pretrained, weights=weights)
        finest, *levels = self.encoder.channels[-4:]
        self.edge = nn.Sequential(
            ConvNormAct(finest, _EDGE, 1, activation="none"),
            ConvNormAct(_EDGE, _EDGE, activation="none"),
            ConvNormAct(_EDGE, _EDGE, activation="none"),
        )
        self.classify_edge = ConvNormAct(_EDGE, 1, activation="none")
        self.reduce = nn.ModuleList(ReceptiveFieldBlock(level, channels) for level in levels)
        self.decoder = PartialDecoder(channels, num_classes)
        self.stage4 = reverse_stage(levels[2], 256, 5, 3, 1, num_classes, reverse, _EDGE)
        self.stage3 = reverse_stage(levels[1], 64, 3, 2, 3, num_classes, reverse, _EDGE)
        self.stage2 = reverse_stage(levels[0], 64, 3, 2, 3, num_classes, reverse, _EDGE)

    def forward(self, x: Tensor) -> Tensor | ModelOutput:
        """Map ``(B, in_channels, H, W)`` to logits ``(B, num_classes, H, W)``."""
        finest, fine, middle, coarse = self.encoder(x)[-4:]
        edge = self.edge(finest)
        reduced = [reduce(level) for reduce, level in zip(self.reduce, (fine, middle, coarse), strict=True)]
        maps = [self.decoder(*reduced)]
        for stage, level in ((self.stage4, coarse), (self.stage3, middle), (self.stage2, fine)):
            maps.append(stage(level, maps[-1], edge))
        output = supervised(maps, (x.shape[-2], x.shape[-1]), self.training)
        if isinstance(output, Tensor):
            return output
        return ModelOutput(output.logits, {**output.aux, "edge": Aux(self.classify_edge(edge), 1.0, "edge")})
