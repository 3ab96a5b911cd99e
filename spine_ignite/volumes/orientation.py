"""What the axes of a volume point to, and whether its file says so.

Orientations are written as nibabel does: a letter for each voxel axis, of where it points to. ``PSR`` is a volume whose
first axis runs to posterior, the second to superior, the third to the patient's right.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_NEGLIGIBLE = 1e-6


def orientation_of(affine: NDArray[Any]) -> str:
    """Return the letters of where the voxel axes point to, each the nearest."""
    from nibabel.orientations import aff2axcodes

    return "".join(aff2axcodes(affine))


def affine_of(orientation: str, spacing: NDArray[Any]) -> NDArray[np.float64]:
    """Return the affine (RAS+ mm) of a volume with this orientation and spacing, its first voxel at 0."""
    from nibabel.orientations import axcodes2ornt

    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for axis, (world, sign) in enumerate(axcodes2ornt(tuple(orientation))):
        affine[int(world), axis] = sign * spacing[axis]
    return affine


def is_placeholder(affine: NDArray[Any]) -> bool:
    """Whether an affine is what programs write that were told none: the identity, or the spacing alone.

    Axes along those of the world, towards R, A, S (nibabel's) or L, P, S (SimpleITK's), and the first voxel at 0. A
    scanner puts its zero into the middle of the magnet.
    """
    linear, offset = np.asarray(affine, float)[:3, :3], np.asarray(affine, float)[:3, 3]
    spacing = np.linalg.norm(linear, axis=0)
    plain = (np.diag(spacing), np.diag(spacing * (-1, -1, 1)))
    if np.abs(offset).max() > _NEGLIGIBLE:
        return False
    return any(bool(np.abs(linear - other).max() <= _NEGLIGIBLE * spacing.max()) for other in plain)
