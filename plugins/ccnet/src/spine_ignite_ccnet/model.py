"""The network."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from typing_extensions import Unpack

from spine_ignite.nn.attention import ResidualAttention, exact_matmul
from spine_ignite.nn.blocks import ConvNormAct
from spine_ignite.nn.encoder_options import DilatedBackboneArguments
from spine_ignite.nn.encoders import build_encoder, uniform_dilations
from spine_ignite.nn.heads import EncoderHeadNetwork, FCNHead


class CCNet(EncoderHeadNetwork):
    """CCNet (Huang et al. 2019, section 3; compared with the authors' pure PyTorch branch).

    A dilated residual network, recurrent criss-cross attention, and in training an auxiliary head on stage 3 with
    weight 0.4.

    Args:
        in_channels: input channels.
        num_classes: classes, background included.
        channels: of the head.
        recurrence: times that the attention is applied, with shared weights.
        dropout: channel dropout before the classifiers.
        encoder_options: for ``build_encoder``, ``backbone`` and so on; by default ``resnet101s`` at output stride 8.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        channels: int = 512,
        recurrence: int = 2,
        dropout: float = 0.1,
        **encoder_options: Unpack[DilatedBackboneArguments],
    ) -> None:
        options = DilatedBackboneArguments(backbone="resnet101s", output_stride=8) | encoder_options
        encoder = build_encoder(in_channels=in_channels, dilations=uniform_dilations, **options)
        head = RecurrentCrissCross(encoder.channels[-1], channels, num_classes, recurrence, dropout)
        aux = FCNHead(encoder.channels[-2], channels, num_classes, dropout, "leaky_relu", bias=True)
        super().__init__(encoder, head, aux)


class RecurrentCrissCross(nn.Module):
    """Head: reduction, criss-cross attention several times over, and a classifier on its output and the features.

    Args:
        in_channels: channels of the encoder's last features.
        channels: of the attention.
        num_classes: classes.
        recurrence: times that the attention is applied.
        dropout: channel dropout before the classifier.
    """

    def __init__(self, in_channels: int, channels: int, num_classes: int, recurrence: int, dropout: float) -> None:
        super().__init__()
        self.reduce = ConvNormAct(in_channels, channels, activation="leaky_relu")
        self.attention = CrissCrossAttention(channels)
        self.recurrence = recurrence
        self.refine = ConvNormAct(channels, channels, activation="leaky_relu")
        self.classify = nn.Sequential(
            ConvNormAct(in_channels + channels, channels, activation="leaky_relu"),
            nn.Dropout2d(dropout),
            nn.Conv2d(channels, num_classes, 1),
        )

    def forward(self, features: list[Tensor]) -> Tensor:
        """Map the feature maps to logits ``(B, num_classes, h, w)`` at the size of the last."""
        x = self.reduce(features[-1])
        for _ in range(self.recurrence):
            x = self.attention(x)
        logits: Tensor = self.classify(torch.cat([features[-1], self.refine(x)], 1))
        return logits


class CrissCrossAttention(ResidualAttention):
    """Each pixel attends to the pixels of its row and its column (Huang et al. 2019, section 3.2).

    One softmax over the ``H + W - 1`` pixels, the pixel itself counted once. Memory grows as ``H W (H + W)``.
    """

    def gather(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Map queries and keys ``(B, C / 8, H, W)`` and values ``(B, C, H, W)`` to the values' shape."""
        rows = query.shape[-2]
        # Logits with the pixels of the same column (B, W, H, H), put in the order of the pixels: (B, H, W, H).
        column = exact_matmul(query.permute(0, 3, 2, 1), key.permute(0, 3, 1, 2))
        itself = torch.eye(rows, dtype=torch.bool, device=query.device)
        column = column.masked_fill_(itself, float("-inf")).transpose(1, 2)
        row = exact_matmul(query.permute(0, 2, 3, 1), key.permute(0, 2, 1, 3))  # (B, H, W, W)
        weights = torch.cat([column, row], -1).softmax(-1).to(value.dtype)
        from_column = torch.matmul(weights[..., :rows].transpose(1, 2), value.permute(0, 3, 2, 1))  # (B, W, H, C)
        from_row = torch.matmul(weights[..., rows:], value.permute(0, 2, 3, 1))  # (B, H, W, C)
        return from_column.permute(0, 3, 2, 1) + from_row.permute(0, 3, 1, 2)
