"""The network: encoder, and the decoder of linear layers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from spine_ignite.nn.blocks import ConvNormAct, resize
from spine_ignite_segformer.encoder import VARIANTS, MixTransformer
from spine_ignite_segformer.weights import load_encoder_weights


class SegFormer(nn.Module):
    """SegFormer (Xie et al. 2021, section 3; compared with the authors' repository).

    A transformer with four levels and no position embedding, and a decoder that brings every level to stride 4 and to
    one width by linear layers.

    Args:
        in_channels: input channels.
        num_classes: classes, background included.
        variant: ``b0`` to ``b5``.
        weights: file with the encoder's weights, in the names of the authors' release.
        decoder_width: channels of the decoder; by default the paper's (256 for b0 and b1, 768 for the others).
        drop_path: probability that the last block's residual branch is left out in training; it rises from 0 linearly.
        dropout: channel dropout before the classifier.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        variant: str = "b0",
        weights: str | None = None,
        decoder_width: int | None = None,
        drop_path: float = 0.1,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        shape = VARIANTS[variant]
        self.encoder = MixTransformer(in_channels, shape.widths, shape.depths, drop_path)
        self.decoder = LinearDecoder(shape.widths, decoder_width or shape.decoder_width, num_classes, dropout)
        if weights is not None:
            load_encoder_weights(self.encoder, weights, in_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, in_channels, H, W)`` to logits ``(B, num_classes, H, W)``."""
        logits: Tensor = self.decoder(self.encoder(x))
        return resize(logits, (x.shape[-2], x.shape[-1]))


class LinearDecoder(nn.Module):
    """Decoder of linear layers (Xie et al. 2021, section 3.2, equation 4).

    Args:
        in_channels: channels of the levels, from fine to coarse.
        width: to which each is brought.
        num_classes: classes.
        dropout: channel dropout before the classifier.
    """

    def __init__(self, in_channels: Sequence[int], width: int, num_classes: int, dropout: float) -> None:
        super().__init__()
        # A linear layer on every pixel is a 1x1 convolution.
        self.level = nn.ModuleList(nn.Conv2d(channels, width, 1) for channels in in_channels)
        self.fuse = ConvNormAct(len(in_channels) * width, width, 1)
        self.classify = nn.Sequential(nn.Dropout2d(dropout), nn.Conv2d(width, num_classes, 1))

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Map the levels to logits ``(B, num_classes, H / 4, W / 4)``."""
        size = (features[0].shape[-2], features[0].shape[-1])
        levels = [resize(conv(x), size) for conv, x in zip(self.level, features, strict=True)]
        logits: Tensor = self.classify(self.fuse(torch.cat(levels[::-1], 1)))
        return logits
