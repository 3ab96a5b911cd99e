"""Two pictures of a column that bends: a sagittal and a coronal surface that follow it, so that no level is missing.

A plane shows a part of a column with scoliosis, and a coronal one a part of any, since it is lordotic. So each row of
the pictures is taken where the middle of the column is at that height (curved planar reformation: Kanitsar et al., IEEE
Visualization 2002, without their stretching: a mm along the rows' axis stays a mm).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spine_ignite.labels import LabelScheme
from spine_ignite.labels.scheme import IGNORE
from spine_ignite.volumes.geometry import SliceGrid

Floats = NDArray[np.float64]
Indices = NDArray[np.uint8]
STEP = 8  # rows between two knots of the line, which is straight between them
_SMOOTHED = 10.0  # mm: standard deviation of the Gaussian by which the line is smoothed
_FINEST = 0.8  # mm of a pixel
_MOST_ROWS = 360
_ABOVE, _BESIDE = 15.0, 25.0  # mm shown around what is labelled


@dataclass(frozen=True)
class Surface:
    """A picture along the column.

    A point ``(x, y)`` of it, in pixels from its upper left corner, is in RAS+ mm where ``knots`` at ``y / STEP``,
    linear between two of them, is, and ``x`` times ``across`` further.

    Args:
        image: grey values ``(H, W)``, rows from superior to inferior; None without an image.
        labels: class indices ``(H, W)``.
        knots: ``(K, 3)``.
        across: ``(3,)``.
        pixel: mm.
    """

    image: NDArray[np.float32] | None
    labels: Indices
    knots: Floats
    across: Floats
    pixel: float


def reform(
    labels: Indices, affine: Floats, scheme: LabelScheme, image: NDArray[np.float32] | None = None
) -> tuple[Surface, Surface]:
    """Return the sagittal and the coronal picture of a column.

    The sagittal one has the front of the patient to the left, the coronal one the patient's right.

    Args:
        labels: class indices ``(I, J, K)``, not all of them background.
        affine: voxel indices to RAS+ mm ``(4, 4)``.
        scheme: what they mean.
        image: grey values of the same shape.
    """
    grid = SliceGrid.from_geometry(labels.shape, affine)
    slices = np.where(labels == IGNORE, 0, labels) if (labels == IGNORE).any() else labels
    slices = grid.native_slices(slices)  # (S, H, W)
    planes = grid.native_slices(image) if image is not None else None
    spacing = (grid.slice_spacing, *grid.native_spacing)
    boxes = _boxes(slices > 0, spacing)
    height = (boxes[1][1] - boxes[1][0]) * spacing[1]
    pixel = max(_FINEST, height / _MOST_ROWS)
    rows = max(1, round(height / pixel))
    at: Floats = np.arange(0, rows + STEP, STEP).astype(np.float64)
    heights: Floats = boxes[1][0] + at * (pixel / spacing[1]) - 0.5  # the voxel coordinate of a picture's y
    line = _line(slices, heights, scheme, spacing[1])  # (K, 2): slice and column
    surfaces = []
    for along, fixed in ((2, 0), (0, 2)):
        low, high = boxes[along]
        columns = max(1, round((high - low) * spacing[along] / pixel))
        y, x = np.arange(rows) + 0.5, np.arange(columns) + 0.5
        where = np.zeros((3, rows, columns))
        where[1] = np.interp(y, at, heights)[:, None]
        where[along] = low + x * pixel / spacing[along] - 0.5
        where[fixed] = np.interp(y, at, line[:, 0 if fixed == 0 else 1])[:, None]
        knots = np.zeros((len(at), 3))
        knots[:, 1], knots[:, along], knots[:, fixed] = heights, low - 0.5, line[:, 0 if fixed == 0 else 1]
        step = np.zeros(3)
        step[along] = pixel / spacing[along]
        matrix, offset = _to_world(grid, affine)
        nearest = tuple(np.rint(axis).astype(int).clip(0, n - 1) for axis, n in zip(where, slices.shape, strict=True))
        surfaces.append(
            Surface(
                None if planes is None else _interpolated(planes, where),
                slices[nearest],
                knots @ matrix.T + offset,
                matrix @ step,
                pixel,
            )
        )
    return surfaces[0], surfaces[1]


def _boxes(labelled: NDArray[np.bool_], spacing: tuple[float, ...]) -> list[tuple[int, int]]:
    """From and to along slices (all of them), rows and columns: what is labelled, and what is around it."""
    boxes = [(0, labelled.shape[0])]
    for axis, margin in ((1, _ABOVE), (2, _BESIDE)):
        places = np.flatnonzero(labelled.any(axis=tuple(a for a in range(3) if a != axis)))
        more = round(margin / spacing[axis])
        boxes.append((max(0, int(places[0]) - more), min(labelled.shape[axis], int(places[-1]) + 1 + more)))
    return boxes


def _line(slices: Indices, heights: Floats, scheme: LabelScheme, row_mm: float) -> Floats:
    """Slice and column of the middle of the column at some heights; above and below it, where it ends."""
    # Arches draw the middle of whole vertebrae back into the canal; discs say better where the column is.
    preferred = ("disc", "sacrum", "vertebra") if scheme.vertebrae == "body" else ("disc",)
    column = [c.index for c in scheme.classes if c.kind in preferred]
    inside = np.isin(slices, column)
    if not inside.any():
        inside = slices > 0
    counts = inside.sum(axis=(0, 2)).astype(float)  # (H,)
    along_slices = inside.sum(axis=2).T @ np.arange(slices.shape[0])
    along_columns = inside.sum(axis=0) @ np.arange(slices.shape[2])
    rows = np.arange(len(counts))
    present = np.flatnonzero(counts)
    places = heights.clip(present[0], present[-1])
    apart = (places[:, None] - rows[None]) * row_mm / _SMOOTHED
    exponent = np.where(counts > 0, -(apart**2) / 2, -np.inf)
    weights = np.exp(exponent - exponent.max(axis=1, keepdims=True))
    total = weights @ counts
    line: Floats = np.stack([weights @ along_slices / total, weights @ along_columns / total], axis=1)
    return line


def _interpolated(planes: NDArray[np.float32], where: Floats) -> NDArray[np.float32]:
    from scipy import ndimage

    found: NDArray[np.float32] = ndimage.map_coordinates(planes, where, order=1, mode="nearest")
    return found


def _to_world(grid: SliceGrid, affine: Floats) -> tuple[Floats, Floats]:
    """Matrix and offset from coordinates of slices ``(S, H, W)`` to RAS+ mm."""
    matrix, offset = np.zeros((3, 3)), np.asarray(affine, float)[:3, 3].copy()
    for place, (axis, flip) in enumerate(zip(grid.axes, grid.flips, strict=True)):
        direction = np.asarray(affine, float)[:3, axis]
        matrix[:, place] = -direction if flip else direction
        if flip:
            offset += direction * (grid.shape[axis] - 1)
    return matrix, offset
