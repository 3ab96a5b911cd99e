"""The two forms of object context over several scales."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from spine_ignite.nn.attention import ObjectContext
from spine_ignite.nn.blocks import ConvNormAct


class PyramidObjectContext(nn.Module):
    """Pyramid-OC (Yuan & Wang 2018, section 3.3): object context within the cells of several grids.

    Args:
        channels: of input and output.
        grids: rows and columns of each grid; the last cell of a row or column takes what the division leaves over.
        dropout: channel dropout after the projection.
    """

    def __init__(self, channels: int, grids: Sequence[int] = (1, 2, 3, 6), dropout: float = 0.05) -> None:
        super().__init__()
        self.grids = tuple(grids)
        self.contexts = nn.ModuleList(
            ObjectContext(channels, channels // 2, channels, None, "leaky_relu") for _ in grids
        )
        wide = channels * len(self.grids)
        self.widen = ConvNormAct(channels, wide, 1, activation="leaky_relu", bias=True)
        self.project = nn.Sequential(
            ConvNormAct(2 * wide, channels, 1, activation="leaky_relu", bias=True), nn.Dropout2d(dropout)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, h, w)`` to the same shape."""
        contexts = [
            self._within_cells(context, x, grid) for context, grid in zip(self.contexts, self.grids, strict=True)
        ]
        out: Tensor = self.project(torch.cat([self.widen(x), *contexts], 1))
        return out

    @staticmethod
    def _within_cells(context: nn.Module, x: Tensor, grid: int) -> Tensor:
        rows, columns = _cells(x.shape[-2], grid), _cells(x.shape[-1], grid)
        strips = []
        for strip in x.split(rows, -2):
            strips.append(torch.cat([context(cell) for cell in strip.split(columns, -1)], -1))
        return torch.cat(strips, -2)


def _cells(length: int, grid: int) -> list[int]:
    """Lengths of the cells: equal, but the last one takes the rest; fewer cells where there are fewer pixels."""
    count = min(grid, length)
    size = length // count
    return [size] * (count - 1) + [length - size * (count - 1)]


class ASPObjectContext(nn.Module):
    """ASP-OC (Yuan & Wang 2018, section 3.3): object context, 1x1 and dilated 3x3 convolutions side by side.

    The context is taken at half the resolution, as in the release.

    Args:
        channels: of input and output; each branch has half of them.
        rates: dilations of the 3x3 convolutions.
        dropout: channel dropout after the projection.
    """

    def __init__(self, channels: int, rates: Sequence[int] = (12, 24, 36), dropout: float = 0.1) -> None:
        super().__init__()
        half = channels // 2
        context = nn.Sequential(
            ConvNormAct(channels, half, activation="leaky_relu", bias=True),
            _HalfResolutionContext(half),
        )
        dilated = (ConvNormAct(channels, half, dilation=rate, activation="leaky_relu") for rate in rates)
        self.branches = nn.ModuleList([context, ConvNormAct(channels, half, 1, activation="leaky_relu"), *dilated])
        self.project = nn.Sequential(
            ConvNormAct(len(self.branches) * half, channels, 1, activation="leaky_relu"), nn.Dropout2d(dropout)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, h, w)`` to the same shape."""
        out: Tensor = self.project(torch.cat([branch(x) for branch in self.branches], 1))
        return out


class _HalfResolutionContext(nn.Sequential):
    def __init__(self, channels: int) -> None:
        context = ObjectContext(channels, channels // 2, channels, None, "leaky_relu", scale=2)
        super().__init__(context, ConvNormAct(channels, channels, 1, activation="leaky_relu", bias=True))
