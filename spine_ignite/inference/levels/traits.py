"""Traits of a prediction and its image: numbers that tell an input unlike those that a network was made for."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spine_ignite.inference.levels.column import Column
from spine_ignite.inference.levels.evidence import usual_distance
from spine_ignite.inference.levels.grey_values import grey_traits
from spine_ignite.inference.levels.pieces import Found
from spine_ignite.inference.levels.sequence import SchemeLevels
from spine_ignite.labels import Kind
from spine_ignite.volumes.geometry import sagittal_axis

Floats = NDArray[np.float64]
Row = dict[str, float]
_MOST_POINTS = 20_000  # of the canal that are looked at
_LEAST_POINTS = 50
_DIGITS = 4


@dataclass(frozen=True, slots=True)
class Trait:
    """What one of the numbers is.

    Args:
        least: a difference that matters, whatever the known cases say.
        unlike: what it means that a case differs from the known ones in it.
    """

    least: float
    unlike: str


_SURE = "the network is less sure of the outlines than in the cases that it is known by"
_SIZE = "sizes of the vertebrae are unlike those of the known cases"
_PLACE = "places of the structures beside each other are unlike those of the known cases"
_GREY = "grey values of the {} beside the vertebral bodies are unlike those of the known cases"
_SHAPE = "the column is bent unlike those of the known cases"
TRAITS = {
    "sure": Trait(0.05, _SURE),
    "sure_low": Trait(0.1, _SURE),
    "sure_names": Trait(0.1, "the network is less sure of the names than in the cases that it is known by"),
    "renamed": Trait(0.1, "more of the vertebrae were renamed than in the known cases"),
    "scattered": Trait(0.05, "more of what is labelled lies apart from the column than in the known cases"),
    "vertebrae": Trait(2.0, "the number of vertebrae is unlike that of the known cases"),
    "discs": Trait(0.3, "the number of discs to the vertebrae is unlike that of the known cases"),
    "size_mm": Trait(3.0, _SIZE),
    "smallest": Trait(0.2, _SIZE),
    "largest": Trait(0.4, _SIZE),
    "breadth_mm": Trait(8.0, _SIZE),
    "step_mm": Trait(4.0, "distances of the vertebrae are unlike those of the known cases"),
    "uneven_steps": Trait(0.3, "distances of the vertebrae are unlike those of the known cases"),
    "taper": Trait(0.02, "the vertebrae do not grow down the column as in the known cases"),
    "disc_size": Trait(0.1, "sizes of the discs are unlike those of the known cases"),
    "canal_mm2": Trait(60.0, "the canal is wider or narrower than in the known cases"),
    "canal_behind_mm": Trait(5.0, _PLACE),
    "canal_aside_mm": Trait(3.0, _PLACE),
    "cord_above": Trait(0.5, "the cord does not end as in the known cases"),
    "sacrum_behind_mm": Trait(10.0, _PLACE),
    "sacrum_size": Trait(0.5, _PLACE),
    "lean_deg": Trait(5.0, _SHAPE),
    "bend_mm": Trait(8.0, _SHAPE),
    "slice_mm": Trait(1.5, "the slices are thicker or thinner than those of the known cases"),
    "pixel_mm": Trait(0.5, "the pixels are larger or smaller than those of the known cases"),
    "grey_disc": Trait(0.1, _GREY.format("discs")),
    "grey_sacrum": Trait(0.1, _GREY.format("sacrum")),
    "grey_canal": Trait(0.1, _GREY.format("canal")),
    "grey_around": Trait(0.1, _GREY.format("surroundings")),
    "grey_middle": Trait(0.1, "dark and bright parts of the image are shared out unlike those of the known cases"),
    "grey_dark": Trait(0.1, _GREY.format("darkest parts")),
    "grey_bright": Trait(0.1, _GREY.format("brightest parts")),
    "cortex": Trait(0.05, "the rims of the vertebrae are brighter or darker than in the known cases"),
    "noise": Trait(0.03, "there is more or less noise than in the known cases"),
    "edges": Trait(0.3, "the outlines follow the edges of the image less than in the known cases"),
}
"""The numbers by name, in the order in which they are told."""


def traits(
    column: Column,
    image: NDArray[np.generic] | None = None,
    before: NDArray[np.uint8] | None = None,
    probabilities: NDArray[np.floating] | None = None,
) -> Row:
    """Return the traits of a prediction, those of :data:`TRAITS` that it has; none without a column.

    Lengths are mm in the patient's directions, so that they do not depend on how a volume is stored.

    Args:
        column: as it was named.
        image: grey values ``(I, J, K)``; without it nothing is said of them.
        before: class indices ``(I, J, K)`` before the column was named; by default those of the column.
        probabilities: of each class where ``before`` is not background, in the array's order ``(M, classes)``; without
            them nothing is said of how sure the network is.
    """
    if column.posterior is None or not column.found.vertebrae:
        return {}
    indices = column.indices if before is None else before
    row = dict(_of_pieces(column, indices))
    row |= dict(_of_places(column))
    if probabilities is not None:
        row |= dict(_of_certainty(column, indices, probabilities))
    if image is not None:
        row |= grey_traits(column, image)
    return {name: float(f"{value:.{_DIGITS}g}") for name, value in row.items() if np.isfinite(value)}


def _of_pieces(column: Column, before: NDArray[np.uint8]) -> Iterator[tuple[str, float]]:
    found, levels = column.found, SchemeLevels(column.scheme)
    vertebrae = found.vertebrae
    inside = before[found.box]
    called = np.isin(inside, list(levels.vertebrae.values()))
    parted = np.isin(inside, [c.index for c in column.scheme.classes if c.kind in ("vertebra", "disc", "sacrum")])
    yield "renamed", column.changed / max(1, int(called.sum()))
    yield "scattered", float((found.ids[parted] == 0).mean()) if parted.any() else 0.0
    yield "vertebrae", len(vertebrae)
    if levels.discs:
        yield "discs", len(found.discs) / len(vertebrae)
    whole = [v for v in vertebrae if not v.cut] or vertebrae
    volumes = np.array([v.volume for v in whole])
    usual = float(np.median(volumes))
    yield "size_mm", 10 * usual ** (1 / 3)
    yield "smallest", float(volumes.min()) / usual
    yield "largest", float(volumes.max()) / usual
    growth = growth_up(column)
    if growth is not None:
        yield "taper", growth
    if found.discs:
        yield "disc_size", float(np.median([disc.volume for disc in found.discs])) / usual
    if found.sacrum is not None:
        yield "sacrum_size", min(found.sacrum.volume / usual, 3.0)  # as far as it is in the field of view
    steps = np.array([np.linalg.norm(b.middle - a.middle) for a, b in itertools.pairwise(vertebrae)])
    if len(steps) > 1:
        step = usual_distance(np.concatenate([[0.0], np.cumsum(steps)]))
        yield "step_mm", step
        yield "uneven_steps", float(np.abs(steps / step - 1).max())
    axis = sagittal_axis(found.affine)
    slices = np.flatnonzero(called.any(axis=tuple(a for a in range(3) if a != axis)))
    spacing = np.linalg.norm(found.affine[:3, :3], axis=0)
    yield "breadth_mm", float((slices[-1] - slices[0] + 1) * spacing[axis]) if len(slices) else 0.0
    yield "slice_mm", float(spacing[axis])
    yield "pixel_mm", float(np.sqrt(np.prod(np.delete(spacing, axis))))


def _of_places(column: Column) -> Iterator[tuple[str, float]]:
    found = column.found
    lowest, highest = found.vertebrae[0], found.vertebrae[-1]
    if found.sacrum is not None:
        yield "sacrum_behind_mm", float(lowest.middle[1] - found.sacrum.centroid[1])
    if len(found.vertebrae) > 1:
        along = highest.middle - lowest.middle
        yield "lean_deg", float(np.degrees(np.arctan2(np.hypot(along[0], along[1]), along[2])))
        between = np.array([v.middle for v in found.vertebrae])
        share = (between[:, 2] - lowest.middle[2]) / along[2] if along[2] else np.zeros(len(between))
        yield "bend_mm", float((between[:, 1] - lowest.middle[1] - share * along[1]).mean())
    above = cord_above(column)
    if above is not None:
        yield "cord_above", above
    canal = canal_places(column)
    if canal is not None:
        to_front, to_side, area = canal
        yield "canal_behind_mm", to_front
        yield "canal_aside_mm", to_side
        yield "canal_mm2", area


def growth_up(column: Column) -> float | None:
    """Return by how much of its length a vertebra exceeds the one below it, on average; None for less than three."""
    whole = [v for v in column.found.vertebrae if not v.cut]
    if len(whole) < 3:
        return None
    return float(np.polyfit([v.id for v in whole], np.log([v.volume for v in whole]), 1)[0]) / 3


def canal_places(column: Column) -> tuple[float, float, float] | None:
    """Return how the canal lies to the column; None where too little of either is seen.

    Returns:
        Mean distance in mm by which it lies behind the column's middle at the same height (negative: in front), mean
        distance to the side, and its cross-section in mm2 (with the cord).
    """
    found = column.found
    places = _kind_places(column, ("canal", "cord"))
    if found.curve is None or len(found.vertebrae) < 2 or not len(places):
        return None
    height = found.curve.heights(places[:: 1 + len(places) // _MOST_POINTS])
    low, high = found.vertebrae[0].height, found.vertebrae[-1].height
    beside = (height >= low) & (height <= high)
    if beside.mean() < 0.1 or high <= low:
        return None
    curve = np.stack([np.interp(height[beside], found.curve.arc, axis) for axis in found.curve.points.T], axis=1)
    offset = curve - places[:: 1 + len(places) // _MOST_POINTS][beside]
    voxel = abs(float(np.linalg.det(found.affine[:3, :3])))
    area = len(places) * float(beside.mean()) * voxel / (high - low)
    return float(offset[:, 1].mean()), float(np.abs(offset[:, 0]).mean()), area


def cord_above(column: Column) -> float | None:
    """Return how far the cord's middle lies above that of the canal without it, in usual distances of vertebrae.

    None where too little is labelled of either. The cord ends at L1 or nearby: below are nerves alone.
    """
    found = column.found
    cord, rest = (_kind_places(column, (kind,)) for kind in ("cord", "canal"))
    if found.curve is None or len(found.vertebrae) < 2 or min(len(cord), len(rest)) < _LEAST_POINTS:
        return None
    step = (found.vertebrae[-1].height - found.vertebrae[0].height) / (len(found.vertebrae) - 1)
    high, middle = (
        float(found.curve.heights(places[:: 1 + len(places) // _MOST_POINTS]).mean()) for places in (cord, rest)
    )
    return (high - middle) / step if step > 0 else None


def _kind_places(column: Column, kinds: tuple[Kind, ...]) -> Floats:
    found: Found = column.found
    wanted = [c.index for c in column.scheme.classes if c.kind in kinds]
    voxels = np.argwhere(np.isin(column.indices[found.box], wanted))
    places: Floats = voxels @ found.affine[:3, :3].T + found.affine[:3, 3]
    return places


def _of_certainty(
    column: Column, before: NDArray[np.uint8], probabilities: NDArray[np.floating]
) -> Iterator[tuple[str, float]]:
    """How much of the probability in what is called vertebra goes to vertebrae, and there to the likeliest name."""
    names = list(SchemeLevels(column.scheme).vertebrae.values())
    called = np.isin(before[before > 0], names)
    if called.any():
        shares = probabilities[called][:, names].astype(np.float32)
        kind = shares.sum(axis=1)
        yield "sure", float(kind.mean())
        yield "sure_low", float(np.quantile(kind, 0.1))
        yield "sure_names", float((shares.max(axis=1) / np.maximum(kind, 1e-6)).mean())
