"""How deep voxels lie in their piece, within their slice."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.float64]
_APART = 1e4  # mm between slices, for distances within them alone
_PIECE = 2000  # voxels of a box that are as much work as one more box


def depths(mask: NDArray[np.bool_], spacing: Floats, axis: int) -> Floats:
    """Return the distance in mm of each voxel of a mask from what is not in it, within its slice ``(I, J, K)``.

    Each connected piece is looked at in its own box, unless that is more work than the whole: a few pieces fill little
    of the box around them all where some lie beside the column. What ends a depth is never in another piece: on the
    way there, voxel by voxel, the first that is not in the piece is beside it, so in none, and no further away.

    Args:
        mask: what is looked at ``(I, J, K)``; outside of it depths are 0.
        spacing: mm of a voxel along each axis.
        axis: across the slices.
    """
    sampling = spacing.copy()
    sampling[axis] = _APART
    numbers, count = ndimage.label(mask)
    found = np.zeros(mask.shape)
    boxes = _boxes(numbers, count)
    if sum(found[box].size for box in boxes) + _PIECE * count >= mask.size:
        whole: Floats = ndimage.distance_transform_edt(mask, sampling=sampling)
        return whole
    for number, box in enumerate(boxes, 1):
        found[box] += ndimage.distance_transform_edt(numbers[box] == number, sampling=sampling)
    return found


def _boxes(numbers: NDArray[np.int32], count: int) -> list[tuple[slice, ...]]:
    """Return the boxes around pieces, a voxel wider for what ends a depth; none if there are too many to be of use."""
    if _PIECE * count >= numbers.size:
        return []
    return [
        tuple(slice(max(0, part.start - 1), part.stop + 1) for part in box) for box in ndimage.find_objects(numbers)
    ]
