"""What a person, or another scan of the patient, says of the levels of a column."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spine_ignite.errors import DataError, UsageError, suggest
from spine_ignite.inference.levels.hypotheses import Given
from spine_ignite.inference.levels.pieces import Found
from spine_ignite.inference.levels.sequence import VARIANTS, SchemeLevels
from spine_ignite.labels import LabelScheme

Floats = NDArray[np.float64]
# A click lies in a vertebra or close to it: half of the height of a small one.
_NEAR = 12.0  # mm between centroids of one vertebra in two scans, or from a click to a vertebra's voxels
_KNOWN = tuple(dict.fromkeys(name for variant in VARIANTS for name in variant.levels))


@dataclass(frozen=True, slots=True)
class Click:
    """A level that is known: of the vertebra at a point, or of one by its number.

    Args:
        level: as ``L3``.
        point: ``(x, y, z)`` in RAS+ mm; None if the number is given.
        number: ``id`` of the instance in ``<name>.levels.json``; None if the point is given.
    """

    level: str
    point: tuple[float, float, float] | None = None
    number: int | None = None

    def __str__(self) -> str:
        where = f"#{self.number}" if self.point is None else ",".join(f"{mm:g}" for mm in self.point)
        return f"{self.level}@{where}"


@dataclass(frozen=True, slots=True)
class Conditions:
    """All that is known of the levels of a column.

    Args:
        clicks: levels of single vertebrae.
        lowest: level of the lowest vertebra.
        elsewhere: centroid of each level in another scan of the patient, in the same RAS+ mm.
    """

    clicks: tuple[Click, ...] = ()
    lowest: str | None = None
    elsewhere: tuple[tuple[str, tuple[float, float, float]], ...] = ()

    @property
    def are_empty(self) -> bool:
        """Whether nothing is known."""
        return not (self.clicks or self.lowest or self.elsewhere)

    def __str__(self) -> str:
        said = [str(click) for click in self.clicks] + ([f"lowest {self.lowest}"] if self.lowest else [])
        return ", ".join([*said, *(["another scan"] if self.elsewhere else [])])

    def given(self, found: Found) -> Given:
        """Return the levels of the vertebrae that they are about, by their places in the column.

        Raises:
            DataError: a click is near no vertebra, or no vertebra of the other scan is near one of this.
        """
        levels: dict[int, str] = {}
        for click in self.clicks:
            place = _clicked(click, found)
            if levels.setdefault(place, click.level) != click.level:
                raise DataError(f"one vertebra is said to be {levels[place]} and {click.level}; leave one out")
        if self.elsewhere:
            matched = _matched(self.elsewhere, found)
            levels = {**matched, **levels}
        return Given(levels, self.lowest)


def parse_click(text: str) -> Click:
    """Read ``L3@x,y,z`` (mm, RAS+) or ``L3@#7``.

    Raises:
        UsageError: it is neither, or there is no such level.
    """
    name, at, where = text.partition("@")
    level = check_level(name)
    try:
        if at and where.startswith("#"):
            return Click(level, number=int(where[1:]))
        x, y, z = (float(part) for part in where.split(","))
        if all(math.isfinite(mm) for mm in (x, y, z)):
            return Click(level, point=(x, y, z))
    except ValueError:
        pass
    raise UsageError(f"'{text}' does not say where: a level is given as L3@x,y,z (mm, RAS+) or L3@#7 (its id)")


def check_level(name: str) -> str:
    """Return the name of a level in capital letters.

    Raises:
        UsageError: there is none of this name.
    """
    level = name.strip().upper()
    if level not in _KNOWN:
        raise UsageError(f"there is no level '{name}'.{suggest(level, _KNOWN)} Levels are called L5, L1, T12 and so on")
    return level


def centroids(indices: NDArray[np.uint8], affine: Floats, scheme: LabelScheme) -> Conditions:
    """Return where each vertebra of a labelled scan is, as what is known of another scan of the patient."""
    known = []
    for level, index in SchemeLevels(scheme).vertebrae.items():
        voxels = np.nonzero(indices == index)
        if level in _KNOWN and len(voxels[0]):
            x, y, z = affine[:3, :3] @ np.mean(voxels, axis=1) + affine[:3, 3]
            known.append((level, (float(x), float(y), float(z))))
    return Conditions(elsewhere=tuple(known))


def _clicked(click: Click, found: Found) -> int:
    numbers = [vertebra.id for vertebra in found.vertebrae]
    if click.number is not None:
        if click.number not in numbers:
            raise DataError(f"{click}: there is no vertebra #{click.number}; the vertebrae are {_listed(numbers)}")
        return numbers.index(click.number)
    voxels = np.nonzero((found.ids > 0) & (found.ids <= max(numbers, default=0)))  # vertebrae come first
    places = np.stack(voxels, 1) @ found.affine[:3, :3].T + found.affine[:3, 3]
    distance = np.linalg.norm(places - np.array(click.point), axis=1)
    if not len(distance) or distance.min() > _NEAR:
        far = f"the nearest is {distance.min():.0f} mm away" if len(distance) else "there is none"
        raise DataError(f"{click}: no vertebra is at this point ({far}); points are in mm, RAS+ (x to the right)")
    nearest = int(distance.argmin())
    return numbers.index(int(found.ids[tuple(axis[nearest] for axis in voxels)]))


def _matched(elsewhere: Sequence[tuple[str, tuple[float, float, float]]], found: Found) -> dict[int, str]:
    """Match vertebrae of two scans that are each other's nearest, and close."""
    here = np.array([vertebra.centroid for vertebra in found.vertebrae]).reshape(-1, 3)
    there = np.array([point for _, point in elsewhere])
    if not len(here):
        raise DataError("the scan has no vertebrae to compare with the other scan")
    distance = np.linalg.norm(here[:, None] - there[None], axis=2)
    pairs = [(place, int(row.argmin())) for place, row in enumerate(distance) if row.min() <= _NEAR]
    matched = {place: elsewhere[other][0] for place, other in pairs if distance[:, other].argmin() == place}
    if not matched:
        raise DataError(
            f"no vertebra of the other scan lies within {_NEAR:g} mm of one of this; both must be in one frame "
            "of the scanner, or registered"
        )
    return matched


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(f"#{number}" for number in numbers) or "none"
