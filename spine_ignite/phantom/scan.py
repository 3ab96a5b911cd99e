"""Where a scan looks: spacing, size, place and direction of its field of view."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spine_ignite.phantom.anatomy import Spine


@dataclass(frozen=True)
class Scan:
    """Geometry of a scan: slices to the left, rows to the feet, columns to the back.

    Args:
        spacing: of slices, rows and columns, mm.
        size: number of each.
        centre: of the field of view, world mm.
        turn: rows: directions of slices, rows and columns in the world.
    """

    spacing: tuple[float, float, float]
    size: tuple[int, int, int]
    centre: NDArray[np.float64]
    turn: NDArray[np.float64]

    def points(
        self, place: float, shift: float
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Return ``x, y, z`` of a plane, each ``(rows, columns)``.

        Args:
            place: of the plane, in slices.
            shift: of the points along both axes, in voxels.
        """
        slices, rows, columns = self.size
        i = (place - (slices - 1) / 2) * self.spacing[0]
        j = (np.arange(rows) - (rows - 1) / 2 + shift) * self.spacing[1]
        k = (np.arange(columns) - (columns - 1) / 2 + shift) * self.spacing[2]
        x, y, z = (
            (
                self.centre[axis] + i * self.turn[0, axis] + j[:, None] * self.turn[1, axis] + k * self.turn[2, axis]
            ).astype(np.float32)
            for axis in range(3)
        )
        return x, y, z


def plan_scan(rng: np.random.Generator, spine: Spine, view: str, variety: float, num_slices: int | None) -> Scan:
    """Place a scan on a spine.

    Without variety: from the upper sacrum to T11 or above, 1.0 to 1.5 mm in plane and 3.8 to 5 mm between slices.
    With it, ``lumbar`` is a clinical scan of the lumbar spine in a square or tall field of view of 200 to 400 mm, and
    ``any``
    reaches from four vertebrae to the whole column, off centre and turned.
    """
    if not variety:
        return _plain(rng, spine, num_slices)
    isotropic = rng.uniform() < 0.1
    plane = (
        rng.uniform(0.9, 1.2) if isotropic else rng.choice([rng.uniform(0.6, 1.0), rng.uniform(0.9, 1.5)], p=[0.3, 0.7])
    )
    thick = plane if isotropic else rng.uniform(3.0, 5.0)
    top, bottom = (_part if view == "any" and rng.uniform() < 0.3 else _lumbar)(rng, spine)
    inside = (spine.arc > bottom[1]) & (spine.arc < top[1])
    y = spine.curve[inside, 1]
    tall = top[0] - bottom[0]
    width = tall if rng.uniform() < 0.45 else rng.uniform(0.5, 1.0) * tall
    width = float(np.clip(width, np.ptp(y) + 70, 400))
    # The column lies from a third to three quarters of the way to the back.
    room = (width - np.ptp(y) - 50) / 2
    middle = float((y.min() + y.max()) / 2) - float(np.clip(rng.normal(0.12, 0.15) * width, -room, room))
    across = float(np.interp(np.median(spine.arc[inside]), spine.arc, spine.curve[:, 0])) + rng.normal(0, 6)
    count = num_slices or max(3, round((rng.uniform(26, 44) if isotropic else rng.uniform(48, 95)) / thick))
    turn = _turned(rng.normal(0, 3.0), rng.normal(0, 2.5), rng.normal(0, 6.0) if view == "any" else rng.normal(0, 3.0))
    size = (count, round(tall / plane), round(width / plane))
    return Scan(
        (float(thick), float(plane), float(plane)), size, np.array([across, middle, (top[0] + bottom[0]) / 2]), turn
    )


def _plain(rng: np.random.Generator, spine: Spine, num_slices: int | None) -> Scan:
    spacing = (float(rng.uniform(3.8, 5.0)), *(2 * [float(rng.uniform(1.0, 1.5))]))
    middle = spine.middles
    # Where the view ends: a third of the scans within T11 or T10, the others above T9 or within it.
    ends = [middle[6] - 12, middle[7] + 10, middle[8] + 30]
    reach = float(np.interp(rng.uniform(), [0, 0.33, 1], ends))
    top = _height(spine, reach)
    bottom = _height(spine, -rng.uniform(45, 75))
    inside = spine.curve[(spine.arc > -50) & (spine.arc < reach), 1]
    front = float(inside.min()) - rng.uniform(50, 65)
    back = float(inside.max()) + rng.uniform(62, 90)
    count = num_slices or int(rng.integers(11, 16))
    size = (count, round((top - bottom) / spacing[1]), round((back - front) / spacing[2]))
    centre = np.array([rng.normal(0, 2) + _side(spine, reach / 2), (front + back) / 2, (top + bottom) / 2])
    return Scan((spacing[0], spacing[1], spacing[2]), size, centre, _turned(0.0, rng.normal(0, 1.5), 0.0))


def _lumbar(rng: np.random.Generator, spine: Spine) -> tuple[tuple[float, float], tuple[float, float]]:
    """Top and bottom as ``z`` and ``s``: a clinical field of view, from S1 to the coccyx and from T12 to T8."""
    low = -float(rng.choice([rng.uniform(8, 45), rng.uniform(40, 130)], p=[0.4, 0.6]))
    level = rng.choice([rng.uniform(5.0, 6.6), rng.uniform(6.5, 9.5)])
    high = float(np.interp(level, np.arange(len(spine.middles)), spine.middles))
    return (_height(spine, high), high), (_height(spine, low), low)


def _part(rng: np.random.Generator, spine: Spine) -> tuple[tuple[float, float], tuple[float, float]]:
    """Any part of the column: four vertebrae to all of it, with the sacrum or without."""
    count = len(spine.middles)
    span = int(rng.integers(4, 9)) if rng.uniform() < 0.6 else int(rng.integers(8, count + 1))
    first = rng.uniform(-3.5, count - span)
    # Half of all parts are of the lumbar spine, which is what is scanned most.
    first = min(first, rng.uniform(-3.5, count - span)) if rng.uniform() < 0.7 else first
    places = np.concatenate([[-140.0, -35.0], spine.middles, [spine.middles[-1] + 25]])
    low, high = (float(np.interp(level, np.arange(-2, count + 1), places)) for level in (first, first + span))
    return (_height(spine, high), high), (_height(spine, low), low)


def _height(spine: Spine, s: float) -> float:
    return float(np.interp(s, spine.arc, spine.curve[:, 2]))


def _side(spine: Spine, s: float) -> float:
    return float(np.interp(s, spine.arc, spine.curve[:, 0]))


def _turned(about_column: float, about_front: float, in_plane: float) -> NDArray[np.float64]:
    """Directions of slices (left), rows (down) and columns (back) after three turns in degrees."""
    a, b, c = np.radians([about_column, about_front, in_plane])
    first = np.array([[np.cos(a), np.sin(a), 0], [-np.sin(a), np.cos(a), 0], [0, 0, 1]])
    second = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    third = np.array([[1, 0, 0], [0, np.cos(c), np.sin(c)], [0, -np.sin(c), np.cos(c)]])
    return np.asarray(np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]) @ third @ second @ first)
