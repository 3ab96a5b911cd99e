"""The two forms of object context over several scales."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from spine_ignite.nn.attention import ObjectContext
from spine_ignite.nn.blocks import ConvNormAct


class CellContext(ObjectContext):
    """Object context whose pixels attend to the pixels of their own cell of a grid.

    The map is transformed as a whole, as in the authors' release, so that the norm sees all of it once; what is cut
    into cells is queries, keys and values.

    Args:
        channels: of input, values and context; queries and keys have half of them.
        grid: rows and columns of cells; the last one takes what the division leaves over, and a map with fewer pixels
            than cells is one cell in that direction.
    """

    def __init__(self, channels: int, grid: int) -> None:
        super().__init__(channels, channels // 2, channels, None, "leaky_relu")
        self.grid = grid

    def gather(self, query: Tensor, value: Tensor) -> Tensor:
        """Return what each pixel finds in its cell, in the shape of ``value``."""
        rows, columns = _cells(query.shape[-2], self.grid), _cells(query.shape[-1], self.grid)
        strips = []
        for queries, values in zip(query.split(rows, -2), value.split(rows, -2), strict=True):
            cells = zip(queries.split(columns, -1), values.split(columns, -1), strict=True)
            strips.append(torch.cat([super(CellContext, self).gather(*cell) for cell in cells], -1))
        return torch.cat(strips, -2)


def _cells(length: int, grid: int) -> list[int]:
    size = length // grid
    return [size] * (grid - 1) + [length - size * (grid - 1)] if size else [length]


class PyramidObjectContext(nn.Module):
    """Pyramid-OC (Yuan & Wang 2018, section 3.3): object context within the cells of several grids.

    Args:
        channels: of input and output.
        grids: rows and columns of each grid.
        dropout: channel dropout after the projection.
    """

    def __init__(self, channels: int, grids: Sequence[int] = (1, 2, 3, 6), dropout: float = 0.05) -> None:
        super().__init__()
        self.contexts = nn.ModuleList(CellContext(channels, grid) for grid in grids)
        wide = channels * len(self.contexts)
        self.widen = ConvNormAct(channels, wide, 1, activation="leaky_relu", bias=True)
        self.project = nn.Sequential(
            ConvNormAct(2 * wide, channels, 1, activation="leaky_relu", bias=True), nn.Dropout2d(dropout)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, h, w)`` to the same shape."""
        out: Tensor = self.project(torch.cat([self.widen(x), *(context(x) for context in self.contexts)], 1))
        return out


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
