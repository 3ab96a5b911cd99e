"""What no lumbar spine in sagittal slices can be, whatever the network is sure of: laws of anatomy and of the scan.

They need no known cases to compare with, and hold for label volumes of any tool. Left and right cannot be told: a
column that is mirrored from side to side looks like another person's.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from spine_ignite.inference.levels.column import Column
from spine_ignite.inference.levels.pieces import Instance
from spine_ignite.inference.levels.sequence import SchemeLevels
from spine_ignite.inference.levels.traits import canal_places, cord_above, growth_up
from spine_ignite.volumes.geometry import SliceGrid

_THICKER = 2.0  # times the distance of sagittal slices: pixels of that size belong to slices in another plane
_TURNED = 30.0  # degrees out of the sagittal plane
_FEWEST_SLICES = 3
_FEWEST_NAMED = 3  # vertebrae whose names have an order
_IN_FRONT = (
    15.0  # mm by which the sacrum's middle may lie before that of the vertebra on it: a slip brings it no further
)
_CORD_BELOW = 1.0  # usual distances: a tethered cord fills the canal, but does not leave its upper part
# Vertebrae become smaller up the column, but L5 is often smaller than L4: of a few nothing can be said.
_MANY = 8
_GROWTH = 0.02  # of a length, from one vertebra to the next above
_ASIDE = 45.0  # degrees by which the column may lean
# Distances of the middles of neighbours in mm, by the region that they are named for: the least of small adults and the
# most of tall ones (Panjabi et al., Spine 16:861, 1991 and 17:299, 1992; Zhou et al., Eur Spine J 9:242, 2000), with a
# fifth to spare.
_STEPS = {"L": (23.0, 52.0), "T": (16.0, 42.0)}
_WRONG = "its directions are wrong"
_REGIONS = {"L": "lumbar", "T": "thoracic"}


def impossible(column: Column) -> list[str]:
    """Return what rules out that a label volume shows a lumbar or thoracic spine as it should, in words.

    Args:
        column: as it was named, or with nothing found.
    """
    return [*_of_the_scan(column.found.affine, column.indices.shape), *_of_the_anatomy(column)]


def _of_the_scan(affine: NDArray[np.float64], shape: tuple[int, ...]) -> Iterator[str]:
    grid = SliceGrid.from_geometry(shape, affine)
    rows, columns = grid.native_spacing
    across = grid.slice_spacing
    if max(rows, columns) > _THICKER * across and grid.num_slices > 1:
        yield f"the slices are {'axial' if rows >= columns else 'coronal'}, not sagittal"
    direction = affine[:3, grid.axes[0]] / across
    turned = np.degrees(np.arccos(min(1.0, abs(float(direction[0])))))
    if turned > _TURNED:
        yield f"the slices are turned by {turned:.0f} degrees out of the sagittal plane"
    if grid.num_slices < _FEWEST_SLICES:
        yield "there is only one slice" if grid.num_slices == 1 else "there are only two slices"


def _of_the_anatomy(column: Column) -> Iterator[str]:
    found = column.found
    if column.evidence is None or not found.vertebrae:
        return
    lowest, highest = found.vertebrae[0], found.vertebrae[-1]
    if found.sacrum is not None:
        if found.sacrum.centroid[2] > np.mean([v.middle[2] for v in found.vertebrae]):
            yield f"the sacrum lies above the vertebrae: the image is upside down, or {_WRONG}"
        elif found.sacrum.centroid[1] > lowest.middle[1] + _IN_FRONT:
            yield "the sacrum lies in front of the column: front and back are mirrored, or no spine is seen"
    canal = canal_places(column)
    if canal is not None and canal[0] < 0:
        yield f"the canal lies in front of the vertebrae: front and back are mirrored, or {_WRONG}"
    cord = cord_above(column)
    if cord is not None and cord < -_CORD_BELOW:
        yield f"the cord lies in the lower part of the canal: the image is upside down, or {_WRONG}"
    if _names_fall(column):
        yield f"the names of the vertebrae run from above to below: the image is upside down, or {_WRONG}"
    growth = growth_up(column) if sum(not v.cut for v in found.vertebrae) >= _MANY else None
    if growth is not None and growth > _GROWTH:
        yield f"the vertebrae grow from below to above: the image is upside down, or {_WRONG}"
    if len(found.vertebrae) > 1:
        along = highest.middle - lowest.middle
        if np.hypot(along[0], along[1]) > np.tan(np.radians(_ASIDE)) * along[2]:
            yield "the column does not stand upright in the image: its directions are wrong, or no spine is seen"
    yield from _of_the_sizes(column)


def _of_the_sizes(column: Column) -> Iterator[str]:
    for region, (least, most) in _STEPS.items():
        pairs = itertools.pairwise(column.found.vertebrae)
        steps = [float(np.linalg.norm(b.middle - a.middle)) for a, b in pairs if _follow(column, a, b, region)]
        if len(steps) > 1 and not least <= (step := float(np.median(steps))) <= most:
            size = "too close together" if step < least else "too far apart"
            yield f"what is called {_REGIONS[region]} vertebrae lies {size} for an adult ({step:.0f} mm)"


def _follow(column: Column, below: Instance, above: Instance, region: str) -> bool:
    """Whether two vertebrae are named as neighbours within a region."""
    names = column.levels[below.id] or "", column.levels[above.id] or ""
    if not all(name.startswith(region) and name[1:].isdigit() for name in names):
        return False
    return int(names[0][1:]) == int(names[1][1:]) + 1


def _names_fall(column: Column) -> bool:
    """Whether the names that were there before run down the column where they should run up."""
    assert column.evidence is not None
    order = list(SchemeLevels(column.scheme).vertebrae.values())
    shares = column.evidence.names[:, order]
    known = shares.sum(axis=1) > 0
    if np.count_nonzero(known) < _FEWEST_NAMED:
        return False
    places = (shares[known] @ np.arange(len(order))) / shares[known].sum(axis=1)
    slope = np.polyfit(np.arange(len(places)), places, 1)[0]
    return bool(slope < -0.5)
