"""A curve of any length in little memory: what is left of many points when they are drawn."""

from __future__ import annotations

import math
from collections.abc import Iterator

Point = tuple[float, float]


class Series:
    """Takes points in their order and keeps at most about ``most`` of them, the same whatever their number.

    Neighbours share a bin, of which the lowest and the highest point are kept, so that no peak is lost; the first and
    the last point are always there. Bins are merged in pairs when there are too many.

    Args:
        most: points; a bin has two.
    """

    def __init__(self, most: int = 2000) -> None:
        self.bins = max(2, most // 2)
        self._width = 1  # points in a bin
        self._filled = 0  # points in the last bin
        self._extremes: list[tuple[Point, Point]] = []  # of each bin, the earlier one first
        self._ends: tuple[Point, Point] | None = None

    def add(self, x: float, y: float) -> None:
        """Take a point; one that is not finite is left out."""
        if not (math.isfinite(x) and math.isfinite(y)):
            return
        point = (x, y)
        self._ends = (point, point) if self._ends is None else (self._ends[0], point)
        if self._extremes and self._filled < self._width:
            self._extremes[-1] = _extremes(*self._extremes[-1], point)
            self._filled += 1
            return
        if len(self._extremes) == self.bins:
            pairs = zip(self._extremes[::2], self._extremes[1::2], strict=False)
            odd = self._extremes[-1:] if self.bins % 2 else []
            self._extremes = [_extremes(*one, *two) for one, two in pairs] + odd
            self._width *= 2
        self._extremes.append((point, point))
        self._filled = 1

    def __iter__(self) -> Iterator[Point]:
        """The points that are kept, in their order."""
        if self._ends is None:
            return
        yield self._ends[0]
        last = self._ends[0]
        for point in (*(point for pair in self._extremes for point in pair), self._ends[1]):
            if point != last:
                yield point
                last = point


def _extremes(*points: Point) -> tuple[Point, Point]:
    """The lowest and the highest of points that come in their order, of equal ones the first, the earlier one first."""
    low = min(range(len(points)), key=lambda place: points[place][1])
    high = max(range(len(points)), key=lambda place: points[place][1])
    return points[min(low, high)], points[max(low, high)]
