"""The spinal canal at a level: its antero-posterior diameter, and the signal of a disc over that of the fluid in it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spine_ignite.anatomy.fitting import fit_surface
from spine_ignite.anatomy.frames import Frame
from spine_ignite.anatomy.surfaces import Mask, Region
from spine_ignite.anatomy.vertebral_body import SLAB

_REACH = 8.0  # mm above and below a level
_HALF = 7.0  # mm to both sides of the canal's middle
_FARTHEST = 60.0  # mm behind a level
_NUCLEUS = 0.3  # of the disc's depth, from its middle
_FLUID = 15.0  # mm above and below the disc
_FEWEST = 10  # voxels of either tissue


def canal_diameter(canal: Region, frame: Frame) -> float:
    """Mid-sagittal diameter of the canal at a frame's origin, perpendicular to the canal there, mm.

    Surfaces are fitted to its anterior and posterior border within 8 mm above and below, and their distance is taken in
    the middle of the canal (mid-sagittal diameter as in Verbiest, J Bone Joint Surg Br 1954). What it means depends on
    what is labelled: the bony canal or the dural sac.

    Returns:
        The diameter; NaN if the canal is not labelled there, or the field of view ends in it.
    """
    indices = np.argwhere(canal.mask)
    local = frame.local(canal.world(indices.astype(float)))
    here = (np.abs(local[:, 2]) < _REACH) & (np.abs(local[:, 1]) < _FARTHEST)
    if here.sum() < _FEWEST or np.ptp(local[here, 2]) < _REACH:
        return math.nan
    part = np.zeros_like(canal.mask)
    part[tuple(indices[here].T)] = True
    if canal.touches(part, lateral=False) and _ends_nearby(canal, part, frame):
        return math.nan
    middle = float((local[here, 0].min() + local[here, 0].max()) / 2)
    slope, offset = np.polyfit(local[here, 2], local[here, 1], 1)
    w, v, s = frame.local(canal.border(part, flat=True)).T
    near = (np.abs(w - middle) < _HALF) & (np.abs(s) < _REACH)
    behind = v > offset + slope * s
    sides = [fit_surface(s[side], w[side] - middle, v[side], across=True) for side in (near & ~behind, near & behind)]
    front, back = sides
    if front is None or back is None:
        return math.nan
    return float((back.at(0.0) - front.at(0.0)) / math.hypot(1.0, slope))


def _ends_nearby(canal: Region, part: Mask, frame: Frame) -> bool:
    """Whether the canal leaves the field of view within half of the reach, above or below."""
    s = frame.local(canal.voxels(part))[:, 2]
    return bool(s.max() < 0.5 * _REACH or s.min() > -0.5 * _REACH)


def disc_signal_ratio(
    image: NDArray[Any], disc: Mask, fluid: Mask, affine: NDArray[np.float64], frame: Frame, depth: float
) -> float:
    """Mean signal of a disc's middle over that of the cerebrospinal fluid at its level.

    The middle is what lies within 30 % of the disc's depth from its centre, in the mid-sagittal slab; of the canal
    without the cord within 15 mm above and below it is the brighter half, since roots and partial volume darken the
    rest, of which the median is taken. Signal of the nucleus relative to the fluid as in Luoma et al., Spine
    2001. It needs a T2-weighted image; over a short distance the coil's sensitivity cancels out.

    Args:
        image: intensities ``(I, J, K)``.
        disc: voxels of the disc, in the same grid.
        fluid: voxels of the canal without the cord.
        affine: voxel indices to RAS+ mm.
        frame: of the disc.
        depth: of the disc, mm.

    Returns:
        The ratio; NaN if there are fewer than ten voxels of either, or the fluid has no signal.
    """
    nucleus = _local(disc, affine, frame)
    canal = _local(fluid, affine, frame)
    inner = image[disc][(np.abs(nucleus[:, 0]) <= SLAB) & (np.abs(nucleus[:, 1]) <= _NUCLEUS * depth)]
    around = image[fluid][(np.abs(canal[:, 2]) <= _FLUID) & (np.abs(canal[:, 1]) < _FARTHEST)]
    if len(inner) < _FEWEST or len(around) < _FEWEST:
        return math.nan
    bright = float(np.median(around[around >= np.median(around)]))
    return float(inner.mean()) / bright if bright > 0 else math.nan


def _local(mask: Mask, affine: NDArray[np.float64], frame: Frame) -> NDArray[np.float64]:
    points = np.argwhere(mask) @ affine[:3, :3].T + affine[:3, 3]
    return frame.local(points)
