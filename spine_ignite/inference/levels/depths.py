"""How deep voxels lie in their piece, within their slice."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.float64]
_APART = 1e4  # mm between slices, for distances within them alone


def depths(mask: NDArray[np.bool_], names: NDArray[np.uint8] | None, spacing: Floats, axis: int) -> Floats:
    """Return the distance in mm of each voxel of a mask from what is not in it, within its slice ``(I, J, K)``.

    Args:
        mask: what is looked at ``(I, J, K)``; outside of it depths are 0.
        names: class indices ``(I, J, K)``, if those of the mask nowhere touch each other within a slice, so that each
            can be looked at in its own box, which is less work; else None.
        spacing: mm of a voxel along each axis.
        axis: across the slices.
    """
    sampling = spacing.copy()
    sampling[axis] = _APART
    boxes = [] if names is None else ndimage.find_objects(np.where(mask, names, 0))
    # What ends a depth lies beside the box.
    wide = {
        index: tuple(slice(max(0, part.start - 1), part.stop + 1) for part in box)
        for index, box in enumerate(boxes, 1)
        if box is not None
    }
    if names is None or sum(mask[box].size for box in wide.values()) >= mask.size:
        whole: Floats = ndimage.distance_transform_edt(mask, sampling=sampling)
        return whole
    found = np.zeros(mask.shape)
    for index, box in wide.items():
        found[box] += ndimage.distance_transform_edt(mask[box] & (names[box] == index), sampling=sampling)
    return found
