"""Points of a slice that share one piece of anatomy, sorted along the column so that a level's points are one range."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spine_ignite.phantom.anatomy import Spine, Vertebra

Array = NDArray[np.floating[Any]]


def lookup(x: Array, places: Sequence[float] | NDArray[Any], values: Sequence[float] | NDArray[Any]) -> Array:
    """Interpolate linearly as ``np.interp`` does, to the nearest half mm, several times as fast."""
    first, last = float(places[0]), float(places[-1])
    table = np.interp(np.arange(first, last + 0.5, 0.5), places, values).astype(np.float32)
    index = ((x - np.float32(first)) * np.float32(2) + np.float32(0.5)).astype(np.int32)
    result: Array = table.take(index, mode="clip")
    return result


@dataclass(frozen=True)
class Plane:
    """The points of a plane, ``(H, W)`` each.

    Args:
        x, y, z: mm to the left, back and up.
        s, v, w: mm along the column, behind its middle line and to its left.
        fine, coarse, streaks: textures.
        signal, label: what is painted; labels are values of the scheme ``spine``.
    """

    x: Array
    y: Array
    z: Array
    s: Array
    v: Array
    w: Array
    fine: Array
    coarse: Array
    streaks: Array
    signal: Array
    label: NDArray[np.uint8]


class Local(NamedTuple):
    """Points in a vertebra's frame: mm to its left, back and up."""

    a: Array
    b: Array
    u: Array


class Points:
    """Some of a plane's points, flat, in ascending order of ``s``; ``store`` brings what was painted back."""

    def __init__(self, plane: Plane, chosen: NDArray[np.bool_]) -> None:
        index = np.flatnonzero(chosen)
        index = index[np.argsort(plane.s.ravel()[index])]
        self._plane, self._index = plane, index
        self.x, self.y, self.z, self.s, self.v, self.w, self.fine, self.coarse, self.streaks = (
            np.take(field, index)
            for field in (plane.x, plane.y, plane.z, plane.s, plane.v, plane.w, plane.fine, plane.coarse, plane.streaks)
        )
        self.signal = np.take(plane.signal, index)
        self.label = np.take(plane.label, index)

    def __len__(self) -> int:
        return len(self._index)

    def between(self, low: float, high: float) -> slice:
        """The range of points with ``low <= s < high``."""
        first, last = np.searchsorted(self.s, (low, high))
        return slice(int(first), int(last))

    def local(self, vertebra: Vertebra, part: slice | NDArray[np.intp]) -> Local:
        """Return points in a vertebra's frame."""
        x, y, z = (
            field[part] - np.float32(c) for field, c in zip((self.x, self.y, self.z), vertebra.centre, strict=True)
        )
        m = vertebra.axes.astype(np.float32)
        return Local(*(m[row, 0] * x + m[row, 1] * y + m[row, 2] * z for row in range(3)))

    def store(self) -> None:
        """Write signal and label into the plane."""
        self._plane.signal.ravel()[self._index] = self.signal
        self._plane.label.ravel()[self._index] = self.label


def profile(spine: Spine, s: Array, sizes: str) -> Array:
    """Return ``depth`` or ``width`` of the column at ``s``, mm."""
    return lookup(s, spine.middles, [getattr(vertebra, sizes) for vertebra in spine.vertebrae])
