"""Which vertebrae of a label volume stand on which, by their names and by where they are."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from spine_ignite.anatomy.frames import Array, unit
from spine_ignite.anatomy.surfaces import Region
from spine_ignite.errors import DataError

_LEVEL = re.compile(r"([CTL])(\d{1,2})", re.IGNORECASE)
_REGIONS = "CTL"
_LAST = {"C": (7,), "T": (11, 12, 13), "L": (4, 5, 6)}  # variants of the number of vertebrae among them


@dataclass(frozen=True)
class Level:
    """A vertebra of the column.

    Args:
        name: as its scheme says.
        region: where it is.
        up: the direction of the column there.
    """

    name: str
    region: Region
    up: Array


def order_levels(found: Mapping[str, Region], sacrum: Region | None) -> list[Level]:
    """Return the vertebrae from the head down, with the direction of the column at each.

    Raises:
        DataError: their names run against their places: the volume is upside down, or its labels are.
    """
    if not found:
        return []
    centres = {name: region.voxels().mean(axis=0) for name, region in found.items()}
    names = sorted(found, key=lambda name: -centres[name][2])
    _check_direction(names)
    chain = [centres[name] for name in names]
    levels = []
    for place, name in enumerate(names):
        above = chain[max(place - 1, 0)]
        below = chain[min(place + 1, len(chain) - 1)]
        up = unit(above - below) if len(chain) > 1 else _alone(found[name], sacrum)
        levels.append(Level(name, found[name], up))
    return levels


def are_neighbours(upper: str, lower: str) -> bool:
    """Whether nothing is missing between two vertebrae, as far as their names tell; other names are taken to be so."""
    one, two = _LEVEL.fullmatch(upper), _LEVEL.fullmatch(lower)
    if one is None or two is None:
        return True
    (above, number), (below, next_number) = ((m[1].upper(), int(m[2])) for m in (one, two))
    if above == below:
        return next_number == number + 1
    return _REGIONS.index(below) == _REGIONS.index(above) + 1 and next_number == 1 and number in _LAST[above]


def stands_on_sacrum(name: str) -> bool:
    """Whether a vertebra may be the last above the sacrum, as far as its name tells."""
    match = _LEVEL.fullmatch(name)
    return match is None or (match[1].upper() == "L" and int(match[2]) in _LAST["L"])


def _check_direction(names: Sequence[str]) -> None:
    """Names of levels must run downwards, from the highest to the lowest vertebra."""
    known = [match for match in map(_LEVEL.fullmatch, names) if match is not None]
    keys = [(_REGIONS.index(match[1].upper()), int(match[2])) for match in known]
    steps = np.array([1 if two > one else -1 for one, two in pairwise(keys)])
    if steps.size and steps.sum() < 0:
        raise DataError(
            f"{known[0][0]} lies above {known[-1][0]}: the volume is upside down; repair its affine, or its labels"
        )


def _alone(region: Region, sacrum: Region | None) -> Array:
    """The direction at a vertebra without others: from the sacrum to it, or along the body of the patient."""
    if sacrum is None:
        return np.array([0.0, 0.0, 1.0])
    points = sacrum.border()
    centre = region.voxels().mean(axis=0)
    nearest = points[np.linalg.norm(points - centre, axis=1).argmin()]
    return unit(centre - nearest)
