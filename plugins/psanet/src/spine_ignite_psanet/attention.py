"""Point-wise spatial attention, in plain tensor operations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from spine_ignite.nn.attention import at_least_float32
from spine_ignite.nn.blocks import ConvNormAct, resize

TILE = 16  # rows and columns of positions whose logits are one matrix product


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
        return self.gather(resize(self.reduce(x), size, align_corners=True))

    def gather(self, half: Tensor) -> Tensor:
        """Map reduced features ``(B, channels, h, w)`` to what each position receives, in the same shape."""
        hidden, predict = self.predict
        logits = pair_logits(hidden(half), predict.get_parameter("weight"), self.mask)
        # Those that predict are in rows: the targets where they collect, the sources where they distribute.
        weights = logits.softmax(2).transpose(1, 2) if self.direction == "collect" else logits.softmax(1)
        return torch.bmm(half.flatten(2), weights.to(half.dtype)).reshape(half.shape)


def pair_logits(features: Tensor, weight: Tensor, mask: int) -> Tensor:
    """Predict a logit for each pair of positions: what position p says about position q.

    The paper predicts a mask of all offsets at each position and picks from it ``out[p, q] = masks[offset(q - p), p]``,
    where the offset of each axis is the difference plus ``(mask - 1) / 2``; pairs farther apart than the mask reaches
    have 0. Three quarters of such masks lie outside the map; here they are not computed.

    Args:
        features: ``(B, C, h, w)``.
        weight: of the 1x1 convolution that predicts the masks, ``(mask * mask, C, 1, 1)``.
        mask: odd number of rows and columns of offsets.

    Returns:
        ``(B, h * w, h * w)`` in at least float32, the positions that predict in rows, the others in columns.
    """
    rows, columns = features.shape[-2:]
    reach = (mask - 1) // 2
    down, right = rows - 1 - reach, columns - 1 - reach  # what the mask lacks on each side, or has too much
    by_offset = F.pad(weight.to(features.dtype).view(mask, mask, -1), (0, 0, right, right, down, down))
    logits: Tensor = PairLogits.apply(features.permute(0, 2, 3, 1), by_offset)  # type: ignore[no-untyped-call]
    return logits.flatten(3).flatten(1, 2)


class PairLogits(torch.autograd.Function):
    """Dot products of the features at p with the weight of the offset q - p, for all pairs (p, q) of positions.

    A square tile of positions sees a window of offsets hardly larger than the map, so that one matrix product gives its
    logits by offset; reading them along the diagonals gives them by position.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor) -> Tensor:
        """Map ``(B, h, w, C)`` and ``(2 h - 1, 2 w - 1, C)`` to ``(B, h, w, h, w)``."""
        batch, rows, columns, channels = features.shape
        out = torch.empty(
            batch, rows, columns, rows, columns, dtype=at_least_float32(features[:0]).dtype, device=features.device
        )
        for tile, window in PairLogits._tiles(rows, columns):
            part, seen = features[tile], weight[window]
            product = part.reshape(-1, channels) @ seen.reshape(-1, channels).T
            out[tile] = _by_position(product.view(*part.shape[:3], *seen.shape[:2]), rows, columns)
        ctx.save_for_backward(features, weight)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradients of features and weight."""
        features, weight = ctx.saved_tensors
        _, rows, columns, channels = features.shape
        found_features = torch.empty_like(features)
        found_weight = torch.zeros_like(weight, dtype=grad.dtype)
        for tile, window in PairLogits._tiles(rows, columns):
            part, seen = features[tile], weight[window]
            spread = part.new_zeros(*part.shape[:3], *seen.shape[:2])
            _by_position(spread, rows, columns).copy_(grad[tile])
            spread = spread.view(part.shape[:3].numel(), -1)
            found_features[tile] = (spread @ seen.reshape(-1, channels)).view(part.shape)
            found_weight[window] += (spread.T @ part.reshape(-1, channels)).view(seen.shape)
        return found_features, found_weight.to(weight.dtype)

    @staticmethod
    def _tiles(rows: int, columns: int) -> Iterator[tuple[tuple[slice, ...], tuple[slice, ...]]]:
        """Give each tile of positions and the window of offsets that it sees."""
        for top in range(0, rows, TILE):
            for left in range(0, columns, TILE):
                bottom, right = min(top + TILE, rows), min(left + TILE, columns)
                tile = (slice(None), slice(top, bottom), slice(left, right))
                yield tile, (slice(rows - bottom, 2 * rows - 1 - top), slice(columns - right, 2 * columns - 1 - left))


def _by_position(product: Tensor, rows: int, columns: int) -> Tensor:
    """View products by offset ``(B, t, u, rows + t - 1, columns + u - 1)`` by position ``(B, t, u, rows, columns)``.

    A step down the tile moves the map up by one row of offsets; so for columns.
    """
    batch, down, right, height, width = product.shape
    one = height * width  # offsets of one position
    strides = (down * right * one, right * one - width, one - 1, width, 1)
    return product.as_strided((batch, down, right, rows, columns), strides, (down - 1) * width + right - 1)
