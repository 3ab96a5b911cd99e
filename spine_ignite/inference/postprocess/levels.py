"""One vertebra, one level, and the levels in the order of the column."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spine_ignite.inference.postprocess.cleaned import Cleaned
from spine_ignite.labels import LabelScheme

# A part below this share of the median vertebra says nothing about the column: it takes the nearest vertebra's level.
_FRAGMENT = 0.05
# A component of at least this share of the median one is a vertebra, whole or nearly so.
_LARGE = 0.3
# Parts whose centres lie closer along the column than this share of the distance between neighbours are one vertebra,
_SAME = 0.5
# if they touch, or if one covers this share of the other's height: the stump of a vertebra that the field of view cuts
# off lies close to its neighbour, but beside it.
_BESIDE = 0.5
# Components whose centres differ by less than this share of their height lie at one height of the column. How far they
# overlap would not tell: vertebrae with long spinous processes do so by more than half.
_LEVEL = 0.2
_FEWEST = 3  # vertebrae that a column must show for its spacing to be known
_MOST = 30  # vertebrae that a spine may have, with room for more than the usual ones


def order_levels(indices: NDArray[np.uint8], affine: NDArray[np.float64], scheme: LabelScheme) -> Cleaned:
    """Give every vertebra the one level that fits the order of the column best.

    A network that sees a slice at a time tends to name a vertebra differently from slice to slice, or to give two
    neighbours one name. Here the voxels of all vertebrae are cut into connected components, and these into parts of one
    class. Parts at the same height of the column are one vertebra: the same one named in two ways. Parts of a component
    that lie one above the other are two vertebrae that touch. From the lowest up, the vertebrae get consecutive levels
    (a gap of two distances counts as a vertebra that was missed), and the lowest level is the one with which most
    voxels keep their class. Levels that the network gave to no voxel are not given here either: a vertebra beyond them
    becomes background. All that is no vertebra is left alone, and so is a volume with fewer than three vertebrae, or
    with fragments all over it, as a weak network makes them.

    Args:
        indices: class indices ``(I, J, K)``.
        affine: voxel indices to RAS+ mm.
        scheme: its vertebrae are listed from the sacrum up.
    """
    known = [c.index for c in scheme.classes if c.kind == "vertebra"]
    present = [level for level in known if np.any(indices == level)]
    if not present:
        return Cleaned(indices, "no vertebrae")
    levels = known[known.index(present[0]) : known.index(present[-1]) + 1]
    parts = _parts(indices, levels, affine)
    whole = [part for part in parts if part.size >= _FRAGMENT * _median_size(parts)]
    distance = _distance(whole)
    if distance is None:
        return Cleaned(indices, "left as it was: too few vertebrae to know their distance")
    column = _column(whole, distance)
    places = _places(column, distance)
    if places[-1] >= _MOST:
        return Cleaned(indices, "left as it was: what is named vertebrae is no column")
    first = max(range(1 - places[-1] - 1, len(levels)), key=lambda start: _agreement(column, places, start, levels))
    result = _relabel(indices, parts, column, [first + place for place in places], levels, affine)
    changed = int((result != indices).sum())
    return Cleaned(result, f"{changed} voxels changed level" if changed else "levels are in order")


@dataclass(frozen=True, slots=True)
class _Part:
    """Voxels of one class in one connected component."""

    component: int
    level: int
    size: int
    centre: NDArray[np.float64]  # right, anterior, superior in mm
    extent: tuple[float, float]  # lower and upper border of its voxels in mm
    voxels: tuple[NDArray[np.intp], ...]


def _parts(indices: NDArray[np.uint8], levels: list[int], affine: NDArray[np.float64]) -> list[_Part]:
    components, _ = ndimage.label(np.isin(indices, levels))
    half = float(np.abs(affine[2, :3]).sum()) / 2  # of a voxel's height
    found = []
    for component, box in enumerate(ndimage.find_objects(components), 1):
        inside = components[box] == component
        offset = [axis.start for axis in box]
        for level in levels:
            local = np.nonzero(inside & (indices[box] == level))
            if len(local[0]):
                voxels = tuple(axis + start for axis, start in zip(local, offset, strict=True))
                places = affine[:3, :3] @ np.array(voxels) + affine[:3, 3:]
                extent = (float(places[2].min()) - half, float(places[2].max()) + half)
                found.append(_Part(component, level, len(local[0]), places.mean(axis=1), extent, voxels))
    return found


def _components(parts: list[_Part]) -> list[list[_Part]]:
    """Group parts by connected component."""
    groups: dict[int, list[_Part]] = {}
    for part in parts:
        groups.setdefault(part.component, []).append(part)
    return list(groups.values())


def _size(group: list[_Part]) -> int:
    return sum(part.size for part in group)


def _height(group: list[_Part]) -> float:
    """Height of the centre in mm."""
    return float(np.average([part.centre[2] for part in group], weights=[part.size for part in group]))


def _median_size(parts: list[_Part]) -> int:
    """Size of a component, the median over voxels: fragments do not count, however many they are."""
    sizes = np.sort([_size(group) for group in _components(parts)])
    return int(sizes[np.searchsorted(np.cumsum(sizes), sizes.sum() / 2)])


def _extent(group: list[_Part]) -> tuple[float, float]:
    return min(part.extent[0] for part in group), max(part.extent[1] for part in group)


def _tall(group: list[_Part]) -> float:
    low, high = _extent(group)
    return high - low


def _distance(parts: list[_Part]) -> float | None:
    """Height in mm between neighbouring vertebrae: the median over the large components, None if these are too few.

    Components that lie at one height count as one, so that the distance is never zero.
    """
    least = _LARGE * _median_size(parts)
    large = [group for group in _components(parts) if _size(group) >= least]
    heights: list[float] = []
    below: list[_Part] = []
    for group in sorted(large, key=_height):
        if heights and _height(group) - heights[-1] < _LEVEL * min(_tall(below), _tall(group)):
            below = below + group
            heights[-1] = _height(below)
        else:
            below = group
            heights.append(_height(group))
    return float(np.median(np.diff(heights))) if len(heights) >= _FEWEST else None


def _column(parts: list[_Part], distance: float) -> list[list[_Part]]:
    """Group parts into vertebrae, from the lowest up."""
    column: list[list[_Part]] = []
    for part in sorted(parts, key=lambda item: item.centre[2]):
        if column and part.centre[2] - _height(column[-1]) < _SAME * distance and _at_one_height(part, column[-1]):
            column[-1].append(part)
        else:
            column.append([part])
    return column


def _at_one_height(part: _Part, vertebra: list[_Part]) -> bool:
    """Whether a part touches one of a vertebra, or covers much of its height, or is covered by it."""
    if any(other.component == part.component for other in vertebra):
        return True
    low, high = _extent(vertebra)
    common = min(high, part.extent[1]) - max(low, part.extent[0])
    return common > _BESIDE * min(high - low, part.extent[1] - part.extent[0])


def _places(column: list[list[_Part]], distance: float) -> list[int]:
    """Number the vertebrae from the lowest up; where one was missed, a number is left out."""
    places = [0]
    for below, above in itertools.pairwise(column):
        places.append(places[-1] + max(1, round((_height(above) - _height(below)) / distance)))
    return places


def _agreement(column: list[list[_Part]], places: list[int], first: int, levels: list[int]) -> int:
    """Voxels that keep their class if the lowest vertebra has level number ``first``."""
    return sum(
        part.size
        for vertebra, place in zip(column, places, strict=True)
        for part in vertebra
        if 0 <= first + place < len(levels) and part.level == levels[first + place]
    )


def _relabel(
    indices: NDArray[np.uint8],
    parts: list[_Part],
    column: list[list[_Part]],
    numbers: list[int],
    levels: list[int],
    affine: NDArray[np.float64],
) -> NDArray[np.uint8]:
    result: NDArray[np.uint8] = indices.copy()
    settled = np.zeros(indices.shape, bool)
    used = set()
    for vertebra, number in zip(column, numbers, strict=True):
        for part in vertebra:
            result[part.voxels] = levels[number] if 0 <= number < len(levels) else 0
            settled[part.voxels] = True
            used.add((part.component, part.level))
    fragments = [part for part in parts if (part.component, part.level) not in used]
    if fragments:
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        nearest = ndimage.distance_transform_edt(
            ~settled, sampling=spacing, return_distances=False, return_indices=True
        )
        for part in fragments:
            result[part.voxels] = result[tuple(axis[part.voxels] for axis in nearest)]
    return result
