"""A vertebral body: its corners, endplates and walls in the mid-sagittal plane, and its width."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spine_ignite.anatomy.body_outline import Outline, Points, fit_outline
from spine_ignite.anatomy.fitting import fit_surface
from spine_ignite.anatomy.frames import Array, Frame, unit
from spine_ignite.anatomy.surfaces import Mask, Region

# Half of the mid-sagittal slab, mm: it holds the body, and behind it canal and spinous process, but no pedicles: the
# canal between them is more than 20 mm wide (Panjabi et al., Spine 1992).
SLAB = 8.0
_ROUNDS = 5
_PLAUSIBLE = (4.0, 60.0)  # mm, heights and depths; C3 to L6 lie well within
_MOST_TURN = 35.0  # degrees, by which the column's direction or the patient's left may be off to begin with


@dataclass(frozen=True)
class Endplate:
    """An endplate in the mid-sagittal plane, in RAS+ mm ``(3,)`` each.

    Args:
        front: its anterior corner.
        middle: the point of its surface halfway between the corners.
        back: its posterior corner.
        direction: unit vector of the straight line through it, from front to back.
    """

    front: Array
    middle: Array
    back: Array
    direction: Array

    @classmethod
    def in_frame(cls, frame: Frame, points: Points, normal: Array) -> Endplate:
        """Build one from points and normal in local coordinates of a frame."""
        front, middle, back = (frame.world(point) for point in points)
        return cls(front, middle, back, np.array([0.0, normal[2], -normal[1]]) / np.hypot(*normal[1:]) @ frame.axes)

    @property
    def depth(self) -> float:
        """Distance of the corners, mm."""
        return float(np.linalg.norm(self.back - self.front))


@dataclass(frozen=True)
class Body:
    """A vertebral body.

    Args:
        upper: the cranial endplate.
        lower: the caudal endplate.
        frame: left, back and up at its centre.
        depth_middle: distance of the walls halfway up, mm.
        width: of the side walls, halfway up and halfway back, mm; NaN where the field of view ends before them.
        rms: of the residuals of the endplates, mm.
    """

    upper: Endplate
    lower: Endplate
    frame: Frame
    depth_middle: float
    width: float
    rms: float


def fit_body(region: Region, up: Array, left: Array) -> Body | str:
    """Find the corners of a vertebral body from the label of a body, or of a whole vertebra.

    In a slab about the mid-sagittal plane the largest connected piece is the body. Its outline there is fitted
    (:func:`~.body_outline.fit_outline`). Height and tilt of the frame follow from the endplates, its turn about the
    column's axis from the second moments of the body's cross-section (if the field of view holds all of it and it is
    clearly wider than deep), and everything is done again until it settles.

    Args:
        region: the vertebra.
        up: the direction of the column there, to begin with.
        left: the patient's left, to begin with.

    Returns:
        The body, or why it cannot be measured.
    """
    frame = Frame.upright(region.voxels().mean(axis=0), up, left)
    frame = _aligned(region, _slab_piece(region, frame), frame)
    for _ in range(_ROUNDS):
        piece = _slab_piece(region, frame)
        if region.touches(piece, lateral=False):
            return "cut off by the field of view"
        outline = fit_outline(region, piece, frame)
        if outline is None:
            return "too small to be measured"
        frame = _straightened(region, frame, outline)
    outline = fit_outline(region, _slab_piece(region, frame), frame)
    return "too small to be measured" if outline is None else _measured(region, frame, outline)


def _measured(region: Region, frame: Frame, outline: Outline) -> Body | str:
    upper = Endplate.in_frame(frame, outline.upper, outline.normals[0])
    lower = Endplate.in_frame(frame, outline.lower, outline.normals[1])
    height = float(np.linalg.norm(upper.middle - lower.middle))
    if not all(_PLAUSIBLE[0] < mm < _PLAUSIBLE[1] for mm in (height, outline.depth, upper.depth, lower.depth)):
        return "the outline is not that of a vertebral body"
    width = _width(region, frame, height, outline.depth)
    return Body(upper, lower, frame, outline.depth, width, outline.rms)


def _slab_piece(region: Region, frame: Frame) -> Mask:
    """The largest connected piece of what lies about the mid-sagittal plane; at least a slice of it."""
    half = max(SLAB, 0.51 * float(region.spacing[region.lateral]))
    indices = np.argwhere(region.mask)
    near = np.abs(frame.local(region.world(indices.astype(float)))[:, 0]) <= half
    slab = np.zeros_like(region.mask)
    slab[tuple(indices[near].T)] = True
    return region.largest_piece(slab)


def _aligned(region: Region, piece: Mask, frame: Frame) -> Frame:
    """Turn a frame in the sagittal plane so that the rectangle about the piece is the smallest."""
    if not piece.any():
        return frame
    local = frame.local(region.voxels(piece))[:, 1:]
    smallest, best = np.inf, 0.0
    for degrees in np.arange(-_MOST_TURN, _MOST_TURN + 1, 2.5):
        cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        low, high = np.percentile(local @ np.array([[cosine, -sine], [sine, cosine]]), [2, 98], axis=0)
        area = float(np.prod(high - low))
        if area < smallest:
            smallest, best = area, float(degrees)
    up = np.cos(np.radians(best)) * frame.up - np.sin(np.radians(best)) * frame.back
    return Frame.upright(region.voxels(piece).mean(axis=0), up, frame.left)


def _straightened(region: Region, frame: Frame, outline: Outline) -> Frame:
    """Turn a frame so that up is the mean normal of the endplates and left the width of the body."""
    up = unit((outline.normals[0] + outline.normals[1]) @ frame.axes)
    corners = np.array([*outline.upper, *outline.lower])
    (_, v0, s0), (_, v1, s1) = corners.min(axis=0), corners.max(axis=0)
    centre = np.array([0.0, (v0 + v1) / 2, (s0 + s1) / 2])
    inner = frame.local(region.voxels())
    inner = inner[(inner[:, 1] > v0) & (inner[:, 1] < v1) & (inner[:, 2] > s0) & (inner[:, 2] < s1)]
    left = frame.left
    if len(inner) and not region.touches(region.mask, lateral=True):
        centre[0] = inner[:, 0].mean()
        left = _turned(inner, frame)
    return Frame.upright(frame.world(centre), up, left)


def _turned(inner: Array, frame: Frame) -> Array:
    """The direction in which the cross-section is widest, if it clearly has one and it is not far from left."""
    covariance = np.cov(inner[:, :2].T)
    values, vectors = np.linalg.eigh(covariance)
    direction = vectors[:, 1] * (np.sign(vectors[0, 1]) or 1.0)
    turn = abs(np.degrees(np.arctan2(direction[1], direction[0])))
    if values[1] < 1.25 * values[0] or turn > _MOST_TURN:
        return frame.left
    turned: Array = direction[0] * frame.left + direction[1] * frame.back
    return turned


def _width(region: Region, frame: Frame, height: float, depth: float) -> float:
    """Distance of the side walls halfway up and halfway back; NaN if the field of view ends before them."""
    if region.touches(region.mask, lateral=True):
        return float("nan")
    w, v, s = frame.local(region.border()).T
    near = (np.abs(s) < 0.2 * height) & (np.abs(v) < 0.2 * depth)
    sides = [
        fit_surface(v[side], s[side], w[side], curved=True, across=True) for side in (near & (w > 0), near & (w < 0))
    ]
    left, right = sides
    return float("nan") if left is None or right is None else left.at(0.0) - right.at(0.0)
