"""Clean-up of each structure by itself: one piece, without holes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spine_ignite.inference.postprocess.cleaned import Cleaned
from spine_ignite.labels import LabelScheme
from spine_ignite.volumes.geometry import sagittal_axis

Indices = NDArray[np.uint8]
_ALL_NEIGHBOURS = np.ones((3, 3, 3), bool)


def keep_largest(indices: Indices, affine: NDArray[np.float64], scheme: LabelScheme, classes: Sequence[int]) -> Cleaned:
    """Turn all but the largest component of each class into background; voxels that share a corner are connected.

    Args:
        indices: class indices ``(I, J, K)``.
        affine: not used; all steps take the same arguments.
        scheme: not used either.
        classes: the classes to clean.
    """
    result = indices.copy()
    boxes = ndimage.find_objects(indices, max(classes, default=0))
    for index in classes:
        box = boxes[index - 1]
        if box is None:
            continue
        components, count = ndimage.label(indices[box] == index, _ALL_NEIGHBOURS)
        if count > 1:
            sizes = np.bincount(components.ravel())
            largest = int(sizes[1:].argmax()) + 1
            result[box][(components > 0) & (components != largest)] = 0
    removed = int((result != indices).sum())
    return Cleaned(result, f"{removed} voxels beside the largest components removed" if removed else "no stray voxels")


def fill_holes(indices: Indices, affine: NDArray[np.float64], scheme: LabelScheme, classes: Sequence[int]) -> Cleaned:
    """Fill background that a class encloses in a sagittal slice.

    Slices are looked at one by one: they are several times as thick as their pixels, so that a hole in one of them
    seldom has a lid in the next.

    Args:
        indices: class indices ``(I, J, K)``.
        affine: voxel indices to RAS+ mm.
        scheme: not used; all steps take the same arguments.
        classes: the classes to clean; where two enclose the same voxel, the one that is listed last gets it.
    """
    result = indices.copy()
    axis = sagittal_axis(affine)
    boxes = ndimage.find_objects(indices, max(classes, default=0))
    for index in classes:
        box = boxes[index - 1]
        if box is None:
            continue
        slices = np.moveaxis(indices[box], axis, 0)
        filled = np.stack([ndimage.binary_fill_holes(plane == index) for plane in slices])
        np.moveaxis(result[box], axis, 0)[filled & (slices == 0)] = index
    added = int((result != indices).sum())
    return Cleaned(result, f"{added} voxels in holes filled" if added else "no holes")
