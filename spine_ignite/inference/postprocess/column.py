"""Names from places: the lowest vertebra stands on the sacrum, a disc lies between its vertebrae."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spine_ignite.inference.postprocess.cleaned import Cleaned
from spine_ignite.labels import Kind, LabelScheme

Indices = NDArray[np.uint8]
Point = NDArray[np.float64]
_WHOLE = 0.5  # a sacrum of less than this share of the median vertebra says nothing about the column
_ALL_NEIGHBOURS = np.ones((3, 3, 3), bool)


def anchor_on_sacrum(indices: Indices, affine: NDArray[np.float64], scheme: LabelScheme) -> Cleaned:
    """Move the names of all vertebrae and discs along the column until the vertebra on the sacrum is the first.

    A network that takes one level for the next often does so for the whole column. Between the sacrum and the lowest
    vertebra there is either a disc or room for the vertebrae that were missed: the gap, in distances between
    neighbouring vertebrae, rounded, is the number of the lowest vertebra, counted from the sacrum. Names that the move
    would take beyond the scheme's last become background. Where the gap would hold all vertebrae of the scheme, their
    names are scattered (those of a weak network lie in one place), and nothing is moved.

    Args:
        indices: class indices ``(I, J, K)``.
        affine: voxel indices to RAS+ mm.
        scheme: its vertebrae and discs are listed from the sacrum up.
    """
    sacra, vertebrae, discs = (_indices(scheme, kind) for kind in ("sacrum", "vertebra", "disc"))
    sizes = np.bincount(indices.ravel(), minlength=scheme.num_classes)
    present = [place for place, index in enumerate(vertebrae) if sizes[index]]
    if not sacra or len(present) < 2 or sizes[sacra].sum() < _WHOLE * np.median(sizes[vertebrae][sizes[vertebrae] > 0]):
        return Cleaned(indices, "the sacrum says nothing")
    centres = [_centre(indices == vertebrae[place], affine) for place in present]
    steps = np.linalg.norm(np.diff(centres, axis=0), axis=1) / np.diff(present)
    gap = _gap(np.isin(indices, sacra), indices == vertebrae[present[0]], affine)
    step = float(np.median(steps))
    if gap >= step * len(vertebrae):
        return Cleaned(indices, "the sacrum says nothing")
    shift = round(gap / step) - present[0]
    if not shift:
        return Cleaned(indices, "the lowest vertebra fits the sacrum")
    table = np.arange(scheme.num_classes, dtype=np.uint8)
    for names in (vertebrae, discs):
        for place, index in enumerate(names):
            table[index] = names[place + shift] if 0 <= place + shift < len(names) else 0
    moved = f"the column moved by {shift:+d} level{'s' if abs(shift) > 1 else ''} to fit the sacrum"
    return Cleaned(table[indices], moved)


def name_discs(indices: Indices, affine: NDArray[np.float64], scheme: LabelScheme) -> Cleaned:
    """Name each disc by the vertebra next to it and the side on which it lies.

    The connected components of all discs together are taken one by one. The nearest vertebra (between centres) and the
    direction of the column there tell whether the disc is the one below or above it. A component that lies more than
    the distance between two vertebrae away from any is left alone.

    Args:
        indices: class indices ``(I, J, K)``.
        affine: voxel indices to RAS+ mm.
        scheme: its vertebrae and discs are listed from the sacrum up, the first disc below the first vertebra.
    """
    vertebrae, discs = _indices(scheme, "vertebra"), _indices(scheme, "disc")
    present = [place for place, index in enumerate(vertebrae) if np.any(indices == index)]
    if not discs or len(present) < 2:
        return Cleaned(indices, "no column to name discs by")
    centres = np.array([_centre(indices == vertebrae[place], affine) for place in present])
    distance = float(np.median(np.linalg.norm(np.diff(centres, axis=0), axis=1) / np.diff(present)))
    upwards = np.gradient(centres, axis=0)
    components, _ = ndimage.label(np.isin(indices, discs), _ALL_NEIGHBOURS)
    result = indices.copy()
    for component, box in enumerate(ndimage.find_objects(components), 1):
        inside = components[box] == component
        centre = _centre(inside, affine, [axis.start for axis in box])
        near = int(np.linalg.norm(centres - centre, axis=1).argmin())
        place = present[near] + int((centre - centres[near]) @ upwards[near] > 0)
        if np.linalg.norm(centres[near] - centre) <= distance and place < len(discs):
            result[box][inside] = discs[place]
    changed = int((result != indices).sum())
    return Cleaned(result, f"{changed} voxels of discs renamed" if changed else "discs lie between their vertebrae")


def _indices(scheme: LabelScheme, kind: Kind) -> list[int]:
    return [c.index for c in scheme.classes if c.kind == kind]


def _centre(mask: NDArray[np.bool_], affine: NDArray[np.float64], offset: list[int] | None = None) -> Point:
    """Return the mean place of a mask in RAS+ mm; ``offset`` is the mask's first voxel in the volume."""
    voxels = np.array([axis.mean() for axis in np.nonzero(mask)]) + (offset or 0)
    centre: Point = affine[:3, :3] @ voxels + affine[:3, 3]
    return centre


def _gap(first: NDArray[np.bool_], second: NDArray[np.bool_], affine: NDArray[np.float64]) -> float:
    """Return the smallest distance in mm between voxels of two masks."""
    box = ndimage.find_objects((first | second).astype(np.int8))[0]
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    return float(ndimage.distance_transform_edt(~first[box], sampling=spacing)[second[box]].min())
