"""One person's column: vertebrae with a place and a direction each, discs between them, the sacrum's endplate below.

World coordinates are mm to the left, to the back and up; the origin is the middle of the sacral endplate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Array = NDArray[np.float64]

USUAL = ("L5", "L4", "L3", "L2", "L1", *(f"T{n}" for n in range(12, 0, -1)))
"""Names of the vertebrae of most people, from the lowest up to T1."""
SACRUM_LENGTH = 108.0  # along its curve, S1 to S5
COCCYX_LENGTH = 35.0


@dataclass(frozen=True)
class Vertebra:
    """A body in its own frame: ``a`` mm to the left, ``b`` to the back, ``u`` up, from its middle.

    Args:
        name: ``L5``.
        centre: of the body, world.
        axes: unit vectors of ``a``, ``b`` and ``u``, as rows.
        height: at the back, mm.
        depth: front to back, mm.
        width: left to right, mm.
        wedge: what the front is higher than the back, mm.
        hollow: depth of the lower and of the upper endplate's hollow, mm.
        crush: loss of height below the upper endplate at the front, in the middle and at the back, mm.
        lips: bone that grows beyond the lower and upper rim, mm.
        node: Schmorl node of the upper endplate: place ``a, b``, radius and depth in mm; radius 0 for none.
        modic: marrow beside the lower and the upper endplate: 0 as usual, 1 oedema, 2 fat.
        fatness: of this marrow against the others', about -1 … 1.
        spot: haemangioma: ``a, b, u`` and radius, mm.
        lumbar: 0 for thoracic to 1 for lumbar arches.
        rib: length of its rib or transverse process.
    """

    name: str
    centre: Array
    axes: Array
    height: float
    depth: float
    width: float
    wedge: float
    hollow: tuple[float, float]
    crush: tuple[float, float, float]
    lips: tuple[float, float]
    node: tuple[float, float, float, float]
    modic: tuple[int, int]
    fatness: float
    spot: tuple[float, float, float, float]
    lumbar: float
    rib: float


@dataclass(frozen=True)
class Disc:
    """The disc below a vertebra.

    Args:
        name: ``L4/L5``.
        height: mm in its middle.
        worn: 0 (healthy) to 1.
        bulge: beyond the bodies, mm.
        herniation: further to the back near the midline, mm.
        fused: the bodies have grown together; there is no disc left to label.
    """

    name: str
    height: float
    worn: float
    bulge: float
    herniation: float
    fused: bool


@dataclass(frozen=True)
class Spine:
    """A column, with smooth coordinates: ``s`` mm up along it, ``v`` back from its middle line, ``w`` to the left.

    Args:
        vertebrae: from the lowest up.
        discs: the one below each vertebra.
        plate: the sacral endplate's frame, as a vertebra without height.
        middles: ``s`` of each body's middle.
        arc: ``s`` of the points of the curve.
        curve: ``(x, y, z)`` at ``arc``, mm.
        conus: ``s`` at which the cord ends.
        findings: names of what is not as in most people, as in ``RATES``.
    """

    vertebrae: tuple[Vertebra, ...]
    discs: tuple[Disc, ...]
    plate: Vertebra
    middles: Array
    arc: Array
    curve: Array
    conus: float
    findings: tuple[str, ...]

    def place(self, name: str) -> float:
        """Return ``s`` of the middle of a vertebra, or of the nearest that there is."""
        names = [vertebra.name for vertebra in self.vertebrae]
        if name in names:
            return float(self.middles[names.index(name)])
        return float(np.interp(USUAL.index(name), np.arange(len(self.middles)), self.middles))

    def flat(self, z: Array, y: Array) -> tuple[Array, Array]:
        """Return ``s`` and ``v`` at points of the sagittal plane, mm."""
        tree = self.curve[:, 2:0:-1]
        points = np.stack([z.ravel(), y.ravel()], axis=1)
        nearest = cKDTree(tree).query(points)[1]
        tangent = np.gradient(tree, self.arc, axis=0)
        tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
        tangent = tangent[nearest]
        offset = points - tree[nearest]
        s = self.arc[nearest] + (offset * tangent).sum(axis=1)
        v = -offset[:, 0] * tangent[:, 1] + offset[:, 1] * tangent[:, 0]
        return s.reshape(z.shape), v.reshape(z.shape)
