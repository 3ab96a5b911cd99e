"""The network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import Unpack

from spine_ignite.errors import UsageError
from spine_ignite.nn.blocks import BatchNorm2d, resize
from spine_ignite.nn.encoder_options import DilatedBackboneArguments
from spine_ignite.nn.encoders import Encoder, build_encoder
from spine_ignite.nn.heads import EncoderHeadNetwork

# Channels of the pyramid's bottlenecks and of each of its outputs, as the authors chose them for each backbone.
_WIDTHS = {"densenet121": (128, 64), "densenet161": (512, 128), "densenet169": (336, 168), "densenet201": (480, 240)}


class DenseASPP(EncoderHeadNetwork):
    """DenseASPP (Yang et al. 2018, section 3; compared with the authors' repository).

    A dilated DenseNet with a fourth transition, densely connected atrous convolutions, a classifier.

    Args:
        in_channels: input channels.
        num_classes: classes, background included.
        rates: dilations of the cascade.
        dropout: channel dropout after each atrous convolution and before the classifier.
        encoder_options: for ``build_encoder``, ``backbone`` (densenet121, 161, 169 or 201) and so on; by default
            ``densenet169`` at output stride 8.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        rates: tuple[int, ...] = (3, 6, 12, 18, 24),
        dropout: float = 0.1,
        **encoder_options: Unpack[DilatedBackboneArguments],
    ) -> None:
        options = DilatedBackboneArguments(backbone="densenet169", output_stride=8) | encoder_options
        name = options["backbone"].split(".")[0]
        if name not in _WIDTHS:
            raise UsageError(f"backbone: DenseASPP has a DenseNet ({', '.join(_WIDTHS)}), got '{name}'")
        encoder = build_encoder(in_channels=in_channels, **options)
        channels = _add_fourth_transition(encoder)
        enlarge = encoder.strides[-1] // 8  # the rates are meant for stride 8
        head = DenseASPPHead(channels, *_WIDTHS[name], num_classes, rates, dropout, enlarge)
        super().__init__(encoder, head)


def _add_fourth_transition(encoder: Encoder) -> int:
    """Put a transition that halves the channels, without pooling, in front of the final norm; return the channels.

    The final norm is left without ReLU.
    """
    channels = encoder.channels[-1]
    net: Any = encoder.net
    net.features_norm5 = nn.Sequential(
        BatchNorm2d(channels), nn.ReLU(inplace=True), nn.Conv2d(channels, channels // 2, 1, bias=False),
        BatchNorm2d(channels // 2),
    )  # fmt: skip
    encoder.channels = (*encoder.channels[:-1], channels // 2)
    return channels // 2


class DenseASPPHead(nn.Module):
    """Cascade of atrous convolutions, each on the features and all outputs before it (Yang et al. 2018, figure 3).

    Args:
        in_channels: channels of the features.
        hidden: channels of each bottleneck.
        growth: channels of each output.
        num_classes: classes.
        rates: dilations.
        dropout: channel dropout after each atrous convolution and before the classifier.
        enlarge: factor by which the features are upsampled before the cascade (bilinear, corners aligned).
    """

    def __init__(
        self,
        in_channels: int,
        hidden: int,
        growth: int,
        num_classes: int,
        rates: Sequence[int],
        dropout: float,
        enlarge: int = 1,
    ) -> None:
        super().__init__()
        self.enlarge = enlarge
        self.stages = nn.ModuleList(
            _AtrousStage(in_channels + number * growth, hidden, growth, rate, dropout, first=number == 0)
            for number, rate in enumerate(rates)
        )
        self.classify = nn.Sequential(
            nn.Dropout2d(dropout), nn.Conv2d(in_channels + len(rates) * growth, num_classes, 1)
        )

    def forward(self, features: list[Tensor]) -> Tensor:
        """Map the feature maps to logits ``(B, num_classes, enlarge * h, enlarge * w)``, of the last one's size."""
        height, width = features[-1].shape[-2:]
        found = resize(features[-1], (self.enlarge * height, self.enlarge * width), align_corners=True)
        # The release rectifies the features in place in its first stage, so that all later ones see them rectified.
        found = found.relu()
        for stage in self.stages:
            found = torch.cat([stage(found), found], 1)
        logits: Tensor = self.classify(found)
        return logits


class _AtrousStage(nn.Sequential):
    """Batch norm (not in the first stage), ReLU, 1x1, batch norm, ReLU, dilated 3x3, channel dropout."""

    def __init__(self, in_channels: int, hidden: int, growth: int, rate: int, dropout: float, first: bool) -> None:
        norm = nn.Identity() if first else BatchNorm2d(in_channels, momentum=3e-4)
        super().__init__(
            norm,
            nn.ReLU(),
            nn.Conv2d(in_channels, hidden, 1),
            BatchNorm2d(hidden, momentum=3e-4),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, growth, 3, padding=rate, dilation=rate),
            nn.Dropout2d(dropout),
        )
