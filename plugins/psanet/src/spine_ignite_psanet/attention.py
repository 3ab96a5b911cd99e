"""Point-wise spatial attention, in plain tensor operations."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spine_ignite.nn.attention import at_least_float32
from spine_ignite.nn.blocks import ConvNormAct, resize


class PointwiseSpatialAttention(nn.Module):
    """Every position collects from, and distributes to, all others (Zhao et al. 2018, sections 3.1 to 3.3).

    A branch reduces the features, halves their resolution, predicts for each position a mask of logits over relative
    offsets, and sums the features with the softmax over the positions they come from. Both branches are joined by a 1x1
    convolution, resized and concatenated with the input.

    Args:
        in_channels: of the features; the output has twice as many.
        channels: of the branches.
        mask: odd number of rows and columns of relative offsets.
        attention: ``both``, ``collect`` or ``distribute``.
    """

    def __init__(self, in_channels: int, channels: int, mask: int, attention: str = "both") -> None:
        super().__init__()
        names = ("collect", "distribute") if attention == "both" else (attention,)
        self.branches = nn.ModuleDict({name: Branch(in_channels, channels, mask, name) for name in names})
        self.project = ConvNormAct(len(names) * channels, in_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, h, w)`` to ``(B, 2 C, h, w)``."""
        found = self.project(torch.cat([branch(x) for branch in self.branches.values()], 1))
        return torch.cat([x, resize(found, (x.shape[-2], x.shape[-1]), align_corners=True)], 1)


class Branch(nn.Module):
    """One branch: collect, or distribute.

    Args:
        in_channels: of the features.
        channels: of the branch.
        mask: odd number of rows and columns of relative offsets.
        direction: ``collect`` (a position predicts where it takes from) or ``distribute`` (where it gives to).
    """

    def __init__(self, in_channels: int, channels: int, mask: int, direction: str) -> None:
        super().__init__()
        self.mask = mask
        self.direction = direction
        self.reduce = ConvNormAct(in_channels, channels, 1)
        self.predict = nn.Sequential(
            ConvNormAct(channels, channels, 1), nn.Conv2d(channels, mask * mask, 1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, h, w)`` to ``(B, channels, (h - 1) // 2 + 1, (w - 1) // 2 + 1)``."""
        size = ((x.shape[-2] - 1) // 2 + 1, (x.shape[-1] - 1) // 2 + 1)
        half = resize(self.reduce(x), size, align_corners=True)
        logits = spread_mask(at_least_float32(self.predict(half)), self.mask, self.direction)
        weights = logits.softmax(1).to(half.dtype)
        return torch.bmm(half.flatten(2), weights).reshape(half.shape)


def spread_mask(masks: Tensor, mask: int, direction: str) -> Tensor:
    """Turn logits by relative offset into logits by pair of positions.

    ``collect``: ``out[source, target] = masks[offset(source - target), target]``; ``distribute``:
    ``out[source, target] = masks[offset(target - source), source]``. The offset of each axis is the difference plus
    ``(mask - 1) / 2``; pairs farther apart than the mask reaches have 0.

    Args:
        masks: ``(B, mask * mask, h, w)``.
        mask: odd number of rows and columns of offsets.
        direction: ``collect`` or ``distribute``.

    Returns:
        ``(B, h * w, h * w)``, sources in rows, targets in columns.
    """
    rows, columns = masks.shape[-2], masks.shape[-1]
    reach = (mask - 1) // 2
    place = torch.arange(rows * columns, device=masks.device)
    row, column = place // columns, place % columns
    # The position that predicts is in columns; the difference is of the other position to it.
    down = row[:, None] - row[None] + reach
    right = column[:, None] - column[None] + reach
    inside = (down >= 0) & (down < mask) & (right >= 0) & (right < mask)
    offset = torch.where(inside, down * mask + right, 0)
    found = masks.flatten(2).gather(1, offset.expand(masks.shape[0], -1, -1)) * inside
    return found if direction == "collect" else found.transpose(1, 2)
