"""The network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from typing_extensions import Unpack

from spine_ignite.nn.blocks import ConvNormAct, resize
from spine_ignite.nn.encoder_options import DilatedBackboneArguments
from spine_ignite.nn.encoders import build_encoder, uniform_dilations
from spine_ignite.nn.heads import EncoderHeadNetwork, FCNHead, PyramidPooling


class GFF(EncoderHeadNetwork):
    """Gated fully fusion network (Li et al. 2020, section 3). The paper came without code.

    Four levels of a dilated residual network exchange features through gates; a dense feature pyramid adds the global
    context; in training an auxiliary head on stage 3 with weight 0.4.

    Args:
        in_channels: input channels.
        num_classes: classes, background included.
        channels: of every level.
        dropout: channel dropout before the classifiers.
        encoder_options: for ``build_encoder``, ``backbone`` and so on; by default ``resnet101s`` at output stride 8.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        channels: int = 256,
        dropout: float = 0.1,
        **encoder_options: Unpack[DilatedBackboneArguments],
    ) -> None:
        options = DilatedBackboneArguments(backbone="resnet101s", output_stride=8) | encoder_options
        encoder = build_encoder(in_channels=in_channels, dilations=uniform_dilations, **options)
        head = GFFHead(encoder.channels[-4:], channels, num_classes, dropout)
        super().__init__(encoder, head, FCNHead(encoder.channels[-2], channels, num_classes, dropout))


class GFFHead(nn.Module):
    """Reduction of the four last levels, gated fusion, dense feature pyramid, classifier.

    Args:
        in_channels: channels of the levels, fine to coarse.
        channels: to which each is reduced.
        num_classes: classes.
        dropout: channel dropout before the classifier.
    """

    def __init__(self, in_channels: Sequence[int], channels: int, num_classes: int, dropout: float) -> None:
        super().__init__()
        self.reduce = nn.ModuleList(ConvNormAct(level, channels, 1) for level in in_channels)
        self.fuse = GatedFusion(channels, len(in_channels))
        pyramid = PyramidPooling(in_channels[-1], in_channels[-1] // 4)
        self.context = nn.Sequential(pyramid, ConvNormAct(pyramid.out_channels, channels))
        # From coarse to fine, each level sees the context, all levels refined before it, and itself.
        self.refine = nn.ModuleList(ConvNormAct((2 + n) * channels, channels) for n in range(len(in_channels)))
        self.classify = nn.Sequential(
            nn.Dropout2d(dropout), nn.Conv2d((1 + len(in_channels)) * channels, num_classes, 1)
        )

    def forward(self, features: list[Tensor]) -> Tensor:
        """Map the feature maps to logits ``(B, num_classes, h, w)`` at the size of the finest of the four."""
        levels = features[-len(self.reduce) :]
        fused = self.fuse([reduce(level) for reduce, level in zip(self.reduce, levels, strict=True)])
        refined = [self.context(levels[-1])]
        for conv, level in zip(self.refine, reversed(fused), strict=True):
            refined.append(conv(torch.cat([*_to_size_of(level, refined), level], 1)))
        logits: Tensor = self.classify(torch.cat(_to_size_of(fused[0], refined), 1))
        return logits


class GatedFusion(nn.Module):
    """Gated fully fusion (Li et al. 2020, section 3.2, equation 6).

    Every level l has a gate ``G_l = sigmoid(1x1 conv of X_l)``, one map, and becomes
    ``(1 + G_l) X_l + (1 - G_l) sum over i != l of G_i X_i``, resized to it. All levels are updated at once from the
    levels as they came.

    Args:
        channels: of each level.
        levels: how many there are.
    """

    def __init__(self, channels: int, levels: int) -> None:
        super().__init__()
        self.gates = nn.ModuleList(nn.Conv2d(channels, 1, 1) for _ in range(levels))

    def forward(self, levels: list[Tensor]) -> list[Tensor]:
        """Map levels ``(B, C, h_l, w_l)`` to the same shapes."""
        gates = [gate(level).sigmoid() for gate, level in zip(self.gates, levels, strict=True)]
        sent = [gate * level for gate, level in zip(gates, levels, strict=True)]
        out = []
        for number, (gate, level) in enumerate(zip(gates, levels, strict=True)):
            others = _to_size_of(level, sent[:number] + sent[number + 1 :])
            out.append((1 + gate) * level + (1 - gate) * torch.stack(others).sum(0))
        return out


def _to_size_of(reference: Tensor, maps: Sequence[Tensor]) -> list[Tensor]:
    size = (reference.shape[-2], reference.shape[-1])
    return [resize(x, size, align_corners=True) for x in maps]
