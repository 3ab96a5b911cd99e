"""The upper endplate of the sacrum (S1), seen from the vertebra above it."""

from __future__ import annotations

import numpy as np

from spine_ignite.anatomy.body_outline import Points, Side, corner_near, endplate_points, fit_side
from spine_ignite.anatomy.fitting import Surface, fit_surface
from spine_ignite.anatomy.frames import Array, Frame
from spine_ignite.anatomy.surfaces import Mask, Region
from spine_ignite.anatomy.vertebral_body import SLAB, Body, Endplate

_ROUNDS = 8
_PASSES = 3
_THICK = 14.0  # mm below the endplate that are S1's body at any tilt met while it is sought
_WALL = (-12.0, -2.0)  # mm, part of the walls that is fitted
_NEAR = 5.0  # mm, from the line between the corners to the border of the endplate
_FARTHEST = 30.0  # mm from the vertebra above
_PLAUSIBLE = (15.0, 60.0)  # mm, depth


def fit_sacrum(region: Region, above: Body) -> Endplate | str:
    """Find the corners of S1's upper endplate: the promontory, and the posterior one at the canal.

    The search begins where the sacrum is nearest to the lower endplate of the vertebra above, in that vertebra's frame.
    The endplate is fitted as those of bodies are (:func:`~.body_outline.fit_outline`), the walls as straight lines 2 to
    12 mm below; the frame is turned to the endplate, until it settles.

    Returns:
        The endplate, or why it cannot be measured.
    """
    points = region.border()
    if not len(points):
        return "too small to be measured"
    distances = np.linalg.norm(points - above.lower.middle, axis=1)
    if distances.min() > _FARTHEST:
        return "not next to the vertebra above"
    frame = Frame(points[distances.argmin()], above.frame.axes)
    for _ in range(_ROUNDS):
        piece = _top(region, frame)
        if piece is None:
            return "too small to be measured"
        if region.touches(piece, lateral=False):
            return "cut off by the field of view"
        found = _fit(region, piece, frame)
        if found is None:
            return "too small to be measured"
        local, side = found
        endplate = Endplate.in_frame(frame, local, side.normal)
        frame = Frame.upright(endplate.middle, side.normal @ frame.axes, frame.left)
    if not _PLAUSIBLE[0] < endplate.depth < _PLAUSIBLE[1]:
        return "the outline is not that of a sacrum"
    return endplate


def _top(region: Region, frame: Frame) -> Mask | None:
    """The piece of the mid-sagittal slab that lies at the frame's origin, down to the thickness of a part of S1."""
    half = max(SLAB, 0.51 * float(region.spacing[region.lateral]))
    indices = np.argwhere(region.mask)
    w, _, s = frame.local(region.world(indices.astype(float))).T
    near = (np.abs(w) <= half) & (s > -_THICK)
    if near.sum() < 8:
        return None
    part = np.zeros_like(region.mask)
    part[tuple(indices[near].T)] = True
    return region.largest_piece(part)


def _fit(region: Region, piece: Mask, frame: Frame) -> tuple[Points, Side] | None:
    """Return the endplate's points in local coordinates, and its parts."""
    w, v, s = frame.local(region.border(piece, flat=True)).T
    v0, v1 = np.percentile(frame.local(region.voxels(piece))[:, 1], [3, 97])
    corners = np.array([[v0, 0.0], [v1, 0.0]])
    side = None
    for number in range(_PASSES):
        side = fit_side(v, w, s, corners[0], corners[1], _NEAR if number else 2 * _NEAR, region.in_plane)
        walls = None if side is None else _walls(w, v, s, corners)
        if side is None or walls is None:
            return None
        corners = np.array(
            [corner_near(corners[0], side.first, walls[0]), corner_near(corners[1], side.last, walls[1])]
        )
    return None if side is None else (endplate_points(corners[0], corners[1], side), side)


def _walls(w: Array, v: Array, s: Array, corners: Array) -> tuple[Surface, Surface] | None:
    """Fit straight lines to the anterior and the posterior wall below the endplate."""
    (front, front_up), (back, back_up) = corners
    below = s - front_up - (v - front) / max(back - front, 1.0) * (back_up - front_up)
    inside, middle = (below > _WALL[0]) & (below < _WALL[1]), (front + back) / 2
    found = [fit_surface(s[side], w[side], v[side]) for side in (inside & (v < middle), inside & (v > middle))]
    return None if found[0] is None or found[1] is None else (found[0], found[1])
