"""The network."""

from __future__ import annotations

from torch import Tensor, nn
from typing_extensions import Unpack

from spine_ignite.nn.blocks import ConvNormAct
from spine_ignite.nn.encoder_options import BackboneArguments
from spine_ignite.nn.encoders import build_encoder
from spine_ignite.nn.reverse_attention import PartialDecoder, Reverse, ReverseAttention, supervised
from spine_ignite.spec import ModelOutput
from spine_ignite_caranet.context import EPS, AxialAttention, FeaturePyramid


class CaraNet(nn.Module):
    """CaraNet (Lou et al. 2022, section 2; compared with the authors' repository), for any number of classes.

    A partial decoder on the three coarse levels of a Res2Net gives a first map; three stages correct it: channel-wise
    feature pyramid, axial attention, reverse attention. All four maps are supervised with weight 1.

    Args:
        in_channels: input channels.
        num_classes: classes, background included.
        reverse: ``foreground`` or ``classwise``.
        height_axis: ``paper``: the attention along columns; ``release``: what the authors' code computes in its place.
        channels: of the reduced levels, a multiple of 16; the paper has 32.
        dilation: largest rate of the feature pyramid, less one.
        encoder_options: for ``build_encoder``, ``backbone`` and so on; by default ``res2net101d``.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        reverse: Reverse = "foreground",
        height_axis: str = "paper",
        channels: int = 32,
        dilation: int = 8,
        **encoder_options: Unpack[BackboneArguments],
    ) -> None:
        super().__init__()
        options = BackboneArguments(backbone="res2net101d") | encoder_options
        self.encoder = build_encoder(in_channels=in_channels, **options)
        self.reduce = nn.ModuleList(_conv(level, channels) for level in self.encoder.channels[-3:])
        self.decoder = PartialDecoder(channels, num_classes, norm="none")
        outputs = num_classes if reverse == "foreground" else 1
        self.stages = nn.ModuleList(
            ReverseAttention(
                nn.Sequential(FeaturePyramid(channels, dilation), AxialAttention(channels, height_axis)),
                _conv(channels, channels),
                _conv(channels, channels),
                _conv(channels, outputs),
                reverse,
            )
            for _ in range(3)
        )

    def forward(self, x: Tensor) -> Tensor | ModelOutput:
        """Map ``(B, in_channels, H, W)`` to logits ``(B, num_classes, H, W)``."""
        levels = [reduce(level) for reduce, level in zip(self.reduce, self.encoder(x)[-3:], strict=True)]
        maps = [self.decoder(*levels)]
        for stage, level in zip(self.stages, reversed(levels), strict=True):
            maps.append(stage(level, maps[-1]))
        return supervised(maps, (x.shape[-2], x.shape[-1]), self.training)


def _conv(in_channels: int, channels: int) -> ConvNormAct:
    return ConvNormAct(in_channels, channels, activation="prelu", eps=EPS)
