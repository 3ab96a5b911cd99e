"""The network."""

from __future__ import annotations

from torch import Tensor

from spine_ignite.nn.encoders import build_encoder
from spine_ignite.nn.reverse_attention import ParallelReverseNetwork, Reverse, supervised
from spine_ignite.spec import ModelOutput


class PraNet(ParallelReverseNetwork):
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
        encoder = build_encoder(backbone, in_channels, pretrained=pretrained, weights=weights)
        super().__init__(encoder, num_classes, channels, reverse)

    def forward(self, x: Tensor) -> Tensor | ModelOutput:
        """Map ``(B, in_channels, H, W)`` to logits ``(B, num_classes, H, W)``."""
        return supervised(self.maps(self.encoder(x)), (x.shape[-2], x.shape[-1]), self.training)
