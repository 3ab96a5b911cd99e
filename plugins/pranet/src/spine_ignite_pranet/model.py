"""The network."""

from __future__ import annotations

from torch import Tensor, nn

from spine_ignite.nn.encoders import build_encoder
from spine_ignite.nn.reverse_attention import (
    PartialDecoder,
    ReceptiveFieldBlock,
    Reverse,
    reverse_stage,
    supervised,
)
from spine_ignite.spec import ModelOutput


class PraNet(nn.Module):
    """PraNet (Fan et al. 2020, section 2; compared with the authors' repository), for any number of classes.

    A partial decoder on the three coarse levels of a Res2Net gives a first map; three stages of reverse attention
    correct it, from coarse to fine. All four maps are supervised with weight 1.

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
        levels = self.encoder.channels[-3:]
        self.reduce = nn.ModuleList(ReceptiveFieldBlock(level, channels) for level in levels)
        self.decoder = PartialDecoder(channels, num_classes)
        self.stage4 = reverse_stage(levels[2], 256, 5, 3, 1, num_classes, reverse)
        self.stage3 = reverse_stage(levels[1], 64, 3, 2, 3, num_classes, reverse)
        self.stage2 = reverse_stage(levels[0], 64, 3, 2, 3, num_classes, reverse)

    def forward(self, x: Tensor) -> Tensor | ModelOutput:
        """Map ``(B, in_channels, H, W)`` to logits ``(B, num_classes, H, W)``."""
        fine, middle, coarse = self.encoder(x)[-3:]
        reduced = [reduce(level) for reduce, level in zip(self.reduce, (fine, middle, coarse), strict=True)]
        maps = [self.decoder(*reduced)]
        for stage, level in ((self.stage4, coarse), (self.stage3, middle), (self.stage2, fine)):
            maps.append(stage(level, maps[-1]))
        return supervised(maps, (x.shape[-2], x.shape[-1]), self.training)
