"""A clean-up step: specks go, named by ``predict.postprocess: [specks]``, or of some structures as ``specks:L5,L4``."""

from __future__ import annotations

from typing import Any

from spine_ignite.hookspecs import RegisterComponent, hookimpl
from spine_ignite.spec import Component, OfClasses

LEAST = 200.0  # mm³


@hookimpl
def register_cleanup_steps(register: RegisterComponent) -> None:
    """Register ``specks``."""
    register(Component("specks", f"{__name__}:remove", "pieces of a structure below 200 mm³ are none", OfClasses))


def remove(indices: Any, affine: Any, scheme: Any, classes: list[int]) -> Any:
    """Turn small connected pieces of each class into background."""
    import numpy as np
    from scipy import ndimage

    from spine_ignite.inference.postprocess import Cleaned

    voxel = abs(np.linalg.det(affine[:3, :3]))
    result = indices.copy()
    for index in classes:
        pieces, _ = ndimage.label(indices == index)
        result[(np.bincount(pieces.ravel()) * voxel < LEAST)[pieces] & (pieces > 0)] = 0
    return Cleaned(result, f"{int((result != indices).sum())} voxels of specks removed")
