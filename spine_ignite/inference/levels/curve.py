"""The line of the column through what is labelled, and heights along it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.float64]
_STEP = 2.0  # mm between points of the curve
_SMOOTH = 14.0  # mm, standard deviation: half of a vertebra's height, so that its edges do not bend the curve
_ROUNDS = 3
_BEYOND = 150.0  # mm by which the curve goes on straight at its ends
_END = 35.0  # mm of the curve's end that give its direction there


@dataclass(frozen=True, slots=True)
class Curve:
    """A line through the column from its lower end up.

    Args:
        points: ``(P, 3)`` in RAS+ mm.
        arc: distance along the line in mm ``(P,)``, ascending.
        tangent: unit vectors ``(P, 3)``.
    """

    points: Floats
    arc: Floats
    tangent: Floats

    def heights(self, places: Floats) -> Floats:
        """Return the place along the line of points ``(N, 3)`` in RAS+ mm, each projected at a right angle."""
        height = np.interp(places[:, 2], self.points[:, 2], self.arc)
        # One axis after the other: three values in a row are too few for NumPy to be fast.
        axes = [
            tuple(np.ascontiguousarray(rows[:, axis]) for rows in (places, self.points, self.tangent))
            for axis in range(3)
        ]
        for _ in range(_ROUNDS):
            index = np.clip(np.rint((height - self.arc[0]) / _STEP).astype(np.intp), 0, len(self.arc) - 1)
            x, y, z = ((place - point[index]) * tangent[index] for place, point, tangent in axes)
            height = np.clip(self.arc[index] + (x + y + z), self.arc[0], self.arc[-1])
        return height

    def at(self, height: float) -> Floats:
        """Return the point ``(3,)`` at a place along the line."""
        return np.array([np.interp(height, self.arc, axis) for axis in self.points.T])


def fit_curve(places: Floats) -> Curve:
    """Fit the line through the middle of a column.

    It is first taken upright, then its slabs are turned with it, so that it may lean to any side and leave the sagittal
    plane (scoliosis), as long as it does not turn downwards.

    Args:
        places: points in the column ``(N, 3)``, RAS+ mm, of equal weight.
    """
    height = places[:, 2]
    curve = _through_slabs(places, height)
    for _ in range(_ROUNDS):
        curve = _through_slabs(places, curve.heights(places))
    return curve


def _through_slabs(places: Floats, height: Floats) -> Curve:
    low = height.min()
    slab = ((height - low) / _STEP).astype(np.intp)
    count = np.bincount(slab).astype(float)
    sums = np.stack([np.bincount(slab, axis) for axis in places.T], axis=1)
    sigma = _SMOOTH / _STEP
    weight = ndimage.gaussian_filter1d(count, sigma, mode="constant")
    smooth = ndimage.gaussian_filter1d(sums, sigma, axis=0, mode="constant") / np.maximum(weight, 1e-9)[:, None]
    smooth = smooth[weight > 1e-9]
    # Towards its ends a smoothed line bunches up: what is left of it there keeps its direction and goes on.
    smooth = smooth[np.concatenate([[True], np.diff(np.maximum.accumulate(smooth[:, 2])) > 1e-6])]
    if len(smooth) < 2 or smooth[-1, 2] - smooth[0, 2] < _STEP:
        smooth = np.array([[0, 0, -1.0], [0, 0, 1.0]]) + places.mean(axis=0)
    arc = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(smooth, axis=0), axis=1))])
    reach = min(_END, arc[-1])
    first = smooth[0] - _BEYOND * _direction(smooth[0], _on(smooth, arc, reach))
    last = smooth[-1] + _BEYOND * _direction(_on(smooth, arc, arc[-1] - reach), smooth[-1])
    line = np.concatenate([first[None], smooth, last[None]])
    line = line[np.concatenate([[True], np.linalg.norm(np.diff(line, axis=0), axis=1) > 1e-9])]
    arc = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    even = np.arange(0, arc[-1], _STEP)
    points = np.stack([np.interp(even, arc, axis) for axis in line.T], axis=1)
    tangent = ndimage.gaussian_filter1d(np.gradient(points, _STEP, axis=0), 2.0, axis=0, mode="nearest")
    return Curve(points, even, tangent / np.linalg.norm(tangent, axis=1, keepdims=True))


def _on(line: Floats, arc: Floats, where: float) -> Floats:
    return np.array([np.interp(where, arc, axis) for axis in line.T])


def _direction(start: Floats, stop: Floats) -> Floats:
    """Return the unit vector from one point to another, upright if they are the same."""
    step = stop - start
    length = float(np.linalg.norm(step))
    upright: Floats = np.array([0.0, 0.0, 1.0])
    return step / length if length > 1e-6 else upright
