"""The border of a labelled structure, as points in mm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spine_ignite.anatomy.frames import Array

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Region:
    """A structure, cut out of its volume with one voxel around it.

    Args:
        mask: its voxels ``(I, J, K)``.
        affine: indices of ``mask`` to RAS+ mm ``(4, 4)``.
        inside: which of these voxels are in the volume; the others lie outside the field of view.
        lateral: the voxel axis closest to the patient's left-right axis.
    """

    mask: Mask
    affine: Array
    inside: Mask
    lateral: int

    @classmethod
    def cut_out(cls, mask: Mask, affine: Array, box: tuple[slice, ...], lateral: int) -> Region:
        """Cut the structure in ``box`` (slices of the three axes) out of a volume."""
        cropped = np.pad(mask[box], 1)
        start = np.array([part.start - 1 for part in box], float)
        moved = np.array(affine, float)
        moved[:3, 3] += moved[:3, :3] @ start
        filled = ndimage.binary_fill_holes(cropped)
        return cls(np.asarray(filled, bool), moved, _in_volume(cropped.shape, mask.shape, box), lateral)

    @property
    def spacing(self) -> Array:
        """Size of a voxel along each axis of the array, mm."""
        lengths: Array = np.linalg.norm(self.affine[:3, :3], axis=0)
        return lengths

    @property
    def in_plane(self) -> float:
        """The coarser spacing within sagittal slices, mm."""
        return float(np.delete(self.spacing, self.lateral).max())

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel, ml."""
        return abs(float(np.linalg.det(self.affine[:3, :3]))) / 1000

    def world(self, indices: Array) -> Array:
        """Points in RAS+ mm of voxel indices ``(N, 3)``."""
        points: Array = indices @ self.affine[:3, :3].T + self.affine[:3, 3]
        return points

    def voxels(self, part: Mask | None = None) -> Array:
        """Centres of the voxels of the structure, or of a part of it, in RAS+ mm ``(N, 3)``."""
        return self.world(np.argwhere(self.mask if part is None else part).astype(float))

    def border(self, part: Mask | None = None, flat: bool = False) -> Array:
        """Points halfway between a voxel inside and its neighbour outside ``(N, 3)``, RAS+ mm.

        For a plane that is tilted against the grid their distances from it average to zero, whatever the spacing, so
        that what is fitted to them is not bound to voxels. Where the field of view ends there are none.

        Args:
            part: only those next to these voxels of the structure.
            flat: leave out neighbours across slices, of which the spacing is the widest as a rule.
        """
        part = self.mask if part is None else part
        found = []
        for axis in range(3):
            if flat and axis == self.lateral:
                continue
            for step in (-1, 1):
                outside = np.roll(self.inside & ~self.mask, -step, axis)
                points = np.argwhere(part & outside).astype(float)
                points[:, axis] += step / 2
                found.append(points)
        return self.world(np.concatenate(found))

    def touches(self, part: Mask, lateral: bool) -> bool:
        """Whether voxels lie at the edge of the field of view, across the sagittal slices or within them."""
        axes = [axis for axis in range(3) if (axis == self.lateral) == lateral]
        return any(bool((part & np.roll(~self.inside, step, axis)).any()) for axis in axes for step in (-1, 1))

    def largest_piece(self, part: Mask) -> Mask:
        """Return the largest of the connected pieces of a part."""
        pieces, count = ndimage.label(part)
        if count < 2:
            return part
        sizes = np.bincount(pieces.ravel())
        sizes[0] = 0
        return np.asarray(pieces == sizes.argmax(), bool)


def _in_volume(cropped: tuple[int, ...], shape: tuple[int, ...], box: tuple[slice, ...]) -> Mask:
    """Which voxels of a box with one voxel around it are in the volume of ``shape``."""
    inside = np.ones(cropped, bool)
    for axis, part in enumerate(box):
        along = np.moveaxis(inside, axis, 0)
        along[0] &= part.start > 0
        along[-1] &= part.stop < shape[axis]
    return inside


def regions(labels: NDArray[Any], affine: Array, lateral: int) -> dict[int, Region]:
    """Cut every structure out of a volume of class indices ``(I, J, K)``; the background is none."""
    boxes = ndimage.find_objects(labels)
    return {
        index: Region.cut_out(labels == index, affine, box, lateral)
        for index, box in enumerate(boxes, 1)
        if box is not None
    }
