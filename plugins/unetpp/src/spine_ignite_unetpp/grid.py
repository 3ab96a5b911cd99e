"""The grid of nodes between encoder and output."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from spine_ignite.nn.blocks import ConvNormAct, Norm, crop_or_resize


class NestedDecoder(nn.Module):
    """Nested skip connections (Zhou et al. 2018, section 3.1, equation 1).

    ``x(i, j) = H([x(i, 0), …, x(i, j - 1), U(x(i + 1, j - 1))])`` with two 3x3 convolutions as H and a 2x2 transposed
    convolution to the level's width as U; column 0 is the encoder.

    Args:
        features: channels of the encoder's levels, from fine to coarse, each half the size of the one before.
        nodes: channels of the nodes of each level but the last.
        norm: which normalisation.
        dropout: of single values after each convolution.
    """

    def __init__(self, features: Sequence[int], nodes: Sequence[int], norm: Norm, dropout: float) -> None:
        super().__init__()
        self.up = nn.ModuleDict()
        self.node = nn.ModuleDict()
        self.levels = len(features)
        for j in range(1, self.levels):
            for i in range(self.levels - j):
                below = features[i + 1] if j == 1 else nodes[i + 1]
                self.up[f"{i}_{j}"] = nn.ConvTranspose2d(below, nodes[i], 2, 2)
                self.node[f"{i}_{j}"] = double_convolution(features[i] + j * nodes[i], nodes[i], norm, dropout)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Return the nodes (0, 1), (0, 2), … of the finest level."""
        rows = [[feature] for feature in features]
        for j in range(1, self.levels):
            for i in range(self.levels - j):
                size = (rows[i][0].shape[-2], rows[i][0].shape[-1])
                up = crop_or_resize(self.up[f"{i}_{j}"](rows[i + 1][j - 1]), size)
                rows[i].append(self.node[f"{i}_{j}"](torch.cat([*rows[i], up], 1)))
        return rows[0][1:]


def double_convolution(in_channels: int, channels: int, norm: Norm, dropout: float) -> nn.Sequential:
    """Return two 3x3 convolutions, each with normalisation, ReLU and dropout of single values."""
    return nn.Sequential(
        ConvNormAct(in_channels, channels, norm=norm),
        nn.Dropout(dropout),
        ConvNormAct(channels, channels, norm=norm),
        nn.Dropout(dropout),
    )
