"""Local frames: where left, back and up are at a level of the column, whatever the grid of the volume."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Frame:
    """A right-handed frame of orthogonal unit vectors in RAS+ mm; local coordinates are (to the left, back, up).

    Args:
        origin: its zero ``(3,)``.
        axes: the directions of left, back and up, one a row ``(3, 3)``.
    """

    origin: Array
    axes: Array

    @classmethod
    def upright(cls, origin: Array, up: Array, left: Array) -> Frame:
        """Build one from ``up``; of ``left`` only what is perpendicular to it counts."""
        up = unit(up)
        back = unit(np.cross(up, left))
        return cls(np.asarray(origin, float), np.stack([np.cross(back, up), back, up]))

    @property
    def left(self) -> Array:
        """Direction to the patient's left."""
        return np.asarray(self.axes[0])

    @property
    def back(self) -> Array:
        """Direction to the patient's back."""
        return np.asarray(self.axes[1])

    @property
    def up(self) -> Array:
        """Direction to the patient's head along the column."""
        return np.asarray(self.axes[2])

    def local(self, points: Array) -> Array:
        """Coordinates of points in RAS+ mm ``(N, 3)`` in this frame."""
        result: Array = (points - self.origin) @ self.axes.T
        return result

    def world(self, local: Array) -> Array:
        """Points in RAS+ mm of local coordinates ``(3,)`` or ``(N, 3)``."""
        result: Array = self.origin + np.asarray(local, float) @ self.axes
        return result

    def moved(self, local: Array) -> Frame:
        """The same directions from another origin, given in local coordinates."""
        return Frame(self.world(local), self.axes)


def unit(vector: Array) -> Array:
    """Return a vector of length 1; zero stays zero."""
    length = float(np.linalg.norm(vector))
    return np.asarray(vector, float) / (length or 1.0)


def signed_angle(first: Array, second: Array, left: Array) -> float:
    """Angle in degrees from one direction to another, seen in the plane perpendicular to ``left``.

    Both point from front to back; it is positive if the second rises more to the back than the first.
    """
    axis = unit(left)
    one, two = (vector - (vector @ axis) * axis for vector in (first, second))
    return float(np.degrees(np.arctan2(np.cross(one, two) @ axis, one @ two)))
