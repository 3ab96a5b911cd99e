"""The outline of a vertebral body in the mid-sagittal plane: four corners, two endplates, two walls."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spine_ignite.anatomy.fitting import Surface, fit_surface
from spine_ignite.anatomy.frames import Array, Frame, unit
from spine_ignite.anatomy.surfaces import Mask, Region

_ROUNDED = 0.04  # of a side's length: corners are rounded, in the label as in the bone
_STAIR = 1.2  # voxels: so near to a corner lies the border of the other side as well
_END = 0.24  # of a side's length, from there on: what a corner stands on
_TIP = 5  # border points that are a tip
_FARTHEST = 3.5  # mm from a tip to its corner
_NEAR = 0.28  # of the body's size across a side: as far from the line between the corners may its border lie

Points = tuple[Array, Array, Array]


@dataclass(frozen=True)
class Outline:
    """Points in local coordinates of a frame, mm.

    Args:
        upper: anterior corner, middle and posterior corner of the upper endplate.
        lower: of the lower one.
        normals: of the upper and the lower endplate, unit vectors towards the head ``(3,)``.
        depth: distance of the walls halfway up.
        rms: of the residuals, the larger of both endplates.
    """

    upper: Points
    lower: Points
    normals: tuple[Array, Array]
    depth: float
    rms: float


@dataclass(frozen=True)
class Side:
    """A side: straight lines at both ends, a curve between them, and a straight line through all of it."""

    first: Surface
    middle: Surface
    last: Surface
    whole: Surface

    @property
    def normal(self) -> Array:
        """Of an endplate: its unit normal in local coordinates, from its slopes along and across the plane."""
        return unit(np.array([-self.whole.tilt, -self.whole.slope, 1.0]))


def fit_outline(region: Region, piece: Mask, frame: Frame) -> Outline | None:
    """Fit endplates and walls to the border of a body in the mid-sagittal slab.

    Where the border reaches farthest along a diagonal is the tip of a corner. A straight line (with a slope across the
    plane) is fitted robustly to a quarter of each side next to it; the corner is where two such lines meet. So each
    corner stands on what is near it: no single voxel makes it, and no shape of the whole side is assumed, since
    endplates are concave and rims stand out. The middle of an endplate is that of a curve through its middle half, its
    direction that of a straight line through all of it.

    Args:
        region: the vertebra.
        piece: its body in the slab.
        frame: local coordinates; the endplates lie roughly across its up.

    Returns:
        The outline; None if there are too few points.
    """
    inner = frame.local(region.voxels(piece))
    if not len(inner):
        return None
    border = frame.local(region.border(piece, flat=True))
    (v0, s0), (v1, s1) = np.percentile(inner[:, 1:], [3, 97], axis=0)
    if min(v1 - v0, s1 - s0) < 1.0:
        return None
    tips = _tips(border[:, 1:], np.array([v1 - v0, s1 - s0]))
    sides = _sides(border, tips, region.in_plane)
    if sides is None:
        return None
    upper, lower, front, back = sides
    lines = (
        (upper.first, front.last),
        (upper.last, back.last),
        (lower.first, front.first),
        (lower.last, back.first),
    )
    corners = np.array([corner_near(tip, *pair) for tip, pair in zip(tips, lines, strict=True)])
    return _outline(corners, sides)


def _tips(border: Array, size: Array) -> Array:
    """Where the border ``(N, 2)`` (back, up) reaches farthest along each diagonal: upper front and back, lower two."""
    found = []
    for direction in ((-1, 1), (1, 1), (-1, -1), (1, -1)):
        reach = border @ (np.array(direction) / size)
        found.append(np.median(border[np.argsort(reach)[-_TIP:]], axis=0))
    return np.array(found)


def corner_near(tip: Array, endplate: Surface, wall: Surface) -> Array:
    """Where an endplate (up over back) meets a wall (back over up); the tip itself if that is not near it."""
    up = float(tip[1])
    for _ in range(12):
        back = wall.at(up)
        up = endplate.at(back)
    corner = np.array([back, up])
    return corner if np.linalg.norm(corner - tip) < _FARTHEST else tip


def _outline(corners: Array, sides: tuple[Side, Side, Side, Side]) -> Outline:
    upper, lower, front, back = sides
    points = [endplate_points(corners[0], corners[1], upper), endplate_points(corners[2], corners[3], lower)]
    halfway = float(corners[:, 1].mean())
    depth = back.middle.at(halfway) - front.middle.at(halfway)
    rms = max(surface.rms for side in (upper, lower) for surface in (side.first, side.middle, side.last))
    return Outline(points[0], points[1], (upper.normal, lower.normal), depth, rms)


def endplate_points(front: Array, back: Array, side: Side) -> Points:
    """Return anterior corner, middle and posterior corner in local coordinates."""
    halfway = float(front[0] + back[0]) / 2
    middle = np.array([0.0, halfway, side.middle.at(halfway)])
    return np.array([0.0, *front]), middle, np.array([0.0, *back])


def _sides(border: Array, corners: Array, voxel: float) -> tuple[Side, Side, Side, Side] | None:
    """Fit upper, lower (up over back), front and back (back over up) to border points ``(N, 3)``."""
    w, v, s = border.T
    upper_front, upper_back, lower_front, lower_back = corners
    height = float(corners[:2, 1].mean() - corners[2:, 1].mean())
    depth = float(corners[1::2, 0].mean() - corners[::2, 0].mean())
    swapped = corners[:, ::-1]
    found = [
        fit_side(v, w, s, upper_front, upper_back, _NEAR * height, voxel),
        fit_side(v, w, s, lower_front, lower_back, _NEAR * height, voxel),
        fit_side(s, w, v, swapped[2], swapped[0], _NEAR * depth, voxel),
        fit_side(s, w, v, swapped[3], swapped[1], _NEAR * depth, voxel),
    ]
    upper, lower, front, back = found
    if upper is None or lower is None or front is None or back is None:
        return None
    return upper, lower, front, back


def fit_side(t: Array, w: Array, height: Array, start: Array, end: Array, near: float, voxel: float) -> Side | None:
    """Fit the parts of a side between two corners.

    Args:
        t: along the side ``(N,)``.
        w: across the plane.
        height: across the side.
        start: ``(t, height)`` of the corner where ``t`` is smaller.
        end: of the other.
        near: points farther than this from the line between the corners are not of this side, mm.
        voxel: the coarsest spacing in the plane, mm.

    Returns:
        The side; None if a part has too few points.
    """
    length = float(end[0] - start[0])
    if length < 1.0:
        return None
    share = (t - start[0]) / length
    close = np.abs(height - start[1] - share * (end[1] - start[1])) < near
    free = max(_ROUNDED, _STAIR * voxel / length)
    ranges = ((free, free + _END), (0.25, 0.75), (1 - free - _END, 1 - free), (free, 1 - free))
    parts = []
    for (low, high), curved in zip(ranges, (False, True, False, False), strict=True):
        part: NDArray[np.bool_] = close & (share > low) & (share < high)
        parts.append(fit_surface(t[part], w[part], height[part], curved=curved))
    fitted = [surface for surface in parts if surface is not None]
    return Side(*fitted) if len(fitted) == len(parts) else None
