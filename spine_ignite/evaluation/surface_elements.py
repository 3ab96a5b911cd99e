"""Elements of a mask's surface, and their areas.

A mask's voxels are the corners of cubes, between them. A cube of which some corners are inside and some outside holds a
piece of the surface, an *element*: the marching-cubes polygons (Lorensen and Cline 1987) whose corners lie halfway
between a voxel inside and one outside. An element lies at the centre of its cube. That is the surface of Nikolov et al.
(2021, "Clinically applicable segmentation of head and neck anatomy for radiotherapy: deep learning algorithm
development and validation study"), and the areas are those of their released table.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray

Corner = tuple[int, int, int]
Vector = tuple[float, float, float]
_CORNERS: tuple[Corner, ...] = tuple((i, j, k) for i, j, k in itertools.product((0, 1), repeat=3))
_FULL = 255


def cube_codes(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return which of its eight corners are inside, for each cube between the voxels of ``(I, J, K)`` and around them.

    The corner at ``(i, j, k)`` has the bit ``4 i + 2 j + k``. What lies beyond the array is outside.

    Returns:
        ``(I + 1, J + 1, K + 1)``; the cube ``(i, j, k)`` lies between the voxels ``i - 1`` and ``i`` along the first
        axis, and so on.
    """
    codes = np.pad(mask.view(np.uint8), 1)
    codes = codes[:, :, :-1] | codes[:, :, 1:] << np.uint8(1)
    codes = codes[:, :-1] | codes[:, 1:] << np.uint8(2)
    whole: NDArray[np.uint8] = codes[:-1] | codes[1:] << np.uint8(4)
    return whole


def element_areas(spacing: tuple[float, ...]) -> NDArray[np.float64]:
    """Return the area of the element of each code of :func:`cube_codes`, in mm², for a spacing in mm: ``(256,)``."""
    i, j, k = spacing
    normals = _normals() * (j * k, i * k, i * j)
    areas: NDArray[np.float64] = np.linalg.norm(normals, axis=2).sum(1)
    return areas


@cache
def _normals() -> NDArray[np.float64]:
    """Normals of the triangles of each code's element in a unit cube, as long as their areas: ``(256, 4, 3)``.

    Corners that no edge joins are cut off one by one; of more than four inside, those outside are taken.
    """
    normals = np.zeros((_FULL + 1, 4, 3))
    for code in range(1, _FULL):
        inside = {corner for bit, corner in enumerate(_CORNERS) if code >> bit & 1}
        few = inside if len(inside) <= 4 else set(_CORNERS) - inside
        triangles = [normal for part in _parts(few) for normal in _flattest(_polygon(part))]
        normals[code, : len(triangles)] = triangles
    return normals


def _parts(corners: set[Corner]) -> Iterator[set[Corner]]:
    """Split corners into those that edges join."""
    left = set(corners)
    while left:
        part = {left.pop()}
        while found := {corner for corner in left if any(corner in _neighbours(one) for one in part)}:
            part |= found
            left -= found
        yield part


def _neighbours(corner: Corner) -> list[Corner]:
    i, j, k = corner
    return [(1 - i, j, k), (i, 1 - j, k), (i, j, 1 - k)]


def _polygon(part: set[Corner]) -> list[Vector]:
    """Return the middles of the edges that leave a part, in the order in which they follow each other over faces."""
    middles = [
        (_middle(one[0], other[0]), _middle(one[1], other[1]), _middle(one[2], other[2]))
        for one in sorted(part)
        for other in _neighbours(one)
        if other not in part
    ]
    polygon = [middles.pop()]
    while middles:
        following = next(point for point in middles if _on_one_face(point, polygon[-1]))
        middles.remove(following)
        polygon.append(following)
    return polygon


def _middle(one: float, other: float) -> float:
    return (one + other) / 2


def _on_one_face(one: Vector, other: Vector) -> bool:
    return any(a == b and a != 0.5 for a, b in zip(one, other, strict=True))


def _flattest(polygon: list[Vector]) -> list[Vector]:
    """Return the triangles of a polygon whose corners lie in several planes, in as few planes as can be.

    These have the largest area in a unit cube, and are as symmetric as the polygon: the area of an element does not
    depend on where axes point to.
    """
    return max(_triangulations(polygon), key=lambda normals: round(sum(math.hypot(*normal) for normal in normals), 9))


def _triangulations(polygon: list[Vector]) -> Iterator[list[Vector]]:
    if len(polygon) < 3:
        yield []
        return
    for apex in range(1, len(polygon) - 1):  # of the triangle on the side from the last corner to the first
        for before in _triangulations(polygon[: apex + 1]):
            for after in _triangulations(polygon[apex:]):
                yield [_normal(polygon[0], polygon[apex], polygon[-1]), *before, *after]


def _normal(one: Vector, two: Vector, three: Vector) -> Vector:
    u, v = ([b - a for a, b in zip(one, other, strict=True)] for other in (two, three))
    return (u[1] * v[2] - u[2] * v[1]) / 2, (u[2] * v[0] - u[0] * v[2]) / 2, (u[0] * v[1] - u[1] * v[0]) / 2
