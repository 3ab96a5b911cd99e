"""Two volumes of one space: do they lie in the same place, and the voxels of one in the order of the other's axes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spine_ignite.errors import DataError
from spine_ignite.volumes.volume import Volume

# Two grids may differ by this share of a voxel, at the farthest corner (rounding of headers).
_TOLERANCE = 0.1


def aligned(label: Volume, other: Volume, what: str = "image") -> NDArray[Any]:
    """Return the voxels of a label volume on the grid of another one.

    Programs store the same space in different orders of axes and directions: axes are permuted and reversed until the
    two affines agree. Nothing is resampled.

    Args:
        label: what is wanted on the other's grid.
        other: the image, or the mask, that gives the grid.
        what: what the other is to the label volume, for messages.

    Returns:
        Values of ``label.array`` in the order of ``other.array``, of the same shape.

    Raises:
        DataError: the shapes differ in any order of axes, or the two lie in different places.
    """
    array, affine = _reordered(label.array, label.affine, other.affine)
    if array.shape != other.array.shape:
        raise DataError(
            f"{label.path} has shape {label.array.shape}, its {what} {other.path.name} has {other.array.shape}; "
            f"resample it to the {what}'s grid"
        )
    distance = grid_distance(other.affine, affine, array.shape)
    if distance > _TOLERANCE:
        raise DataError(
            f"{label.path} lies elsewhere than its {what} {other.path.name}: the affines differ by up to "
            f"{distance:.2g} voxels; resample it to the {what}'s grid"
        )
    return array


def extended(label: Volume, image: Volume) -> Volume:
    """Return a label volume that covers some of an image's voxels, as a segmentation does, on all of them.

    Args:
        label: on a part of the image's grid, in any order of axes.
        image: what gives the grid.

    Returns:
        The labels on the image's grid, 0 where there were none; as they were where they are on no part of it.
    """
    array, affine = _reordered(label.array, label.affine, image.affine)
    start = (np.linalg.inv(image.affine) @ affine)[:3, 3]
    first = np.rint(start).astype(int)
    moved = image.affine.copy()
    moved[:3, 3] += image.affine[:3, :3] @ first
    inside = (first >= 0).all() and (first + array.shape <= image.array.shape).all()
    if not inside or grid_distance(moved, affine, array.shape) > _TOLERANCE:
        return label
    whole = np.zeros(image.array.shape, array.dtype)
    whole[tuple(slice(low, low + size) for low, size in zip(first, array.shape, strict=True))] = array
    return replace(label, array=whole, affine=image.affine)


def grid_distance(first: NDArray[Any], second: NDArray[Any], shape: tuple[int, ...]) -> float:
    """Return how far apart two affines put the corners of a volume, in voxels of its finest axis."""
    corners = np.array([[i, j, k, 1] for i in (0, shape[0]) for j in (0, shape[1]) for k in (0, shape[2])], float)
    apart = np.linalg.norm((corners @ (np.asarray(first) - np.asarray(second)).T)[:, :3], axis=1).max()
    return float(apart / np.linalg.norm(np.asarray(first)[:3, :3], axis=0).min())


def _reordered(
    array: NDArray[Any], affine: NDArray[np.float64], target: NDArray[np.float64]
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Permute and reverse axes until they point along those of the target as well as they can, and the affine too."""
    from nibabel.orientations import inv_ornt_aff, io_orientation

    orientation = io_orientation(np.linalg.inv(target) @ affine)  # of each axis: which of the target's, which way
    order = np.argsort(orientation[:, 0])
    moved = array.transpose(order)
    signs = orientation[order, 1]
    # Not an axis of length 1: torch would refuse the stride that NumPy keeps.
    reverse = tuple(axis for axis in range(3) if signs[axis] < 0 and moved.shape[axis] > 1)
    return np.ascontiguousarray(np.flip(moved, reverse)), affine @ inv_ornt_aff(orientation, array.shape)
