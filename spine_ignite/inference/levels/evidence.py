"""What a column's pieces say about their levels: pooled names, distances, sizes, the sacrum, the field of view."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spine_ignite.inference.levels.pieces import Found, Instance
from spine_ignite.inference.levels.sequence import SchemeLevels

Floats = NDArray[np.float64]
_USUAL = 36.0  # mm between the middles of lumbar vertebrae, where a column shows one alone
# From the middle of the lowest vertebra to the upper end of the sacrum there is half a vertebra and a disc. Heights of
# insides and of whole labels differ by less than a tenth of the distance of neighbours.
_ON_SACRUM = 0.65
_HALF = 0.45  # of the usual distance: half of a vertebra, which is to be seen whole
_SMALL = 0.3  # of the median vertebra: a piece of less is weak evidence
_NEIGHBOURS = 2  # on either side, that a size is compared with
_LARGE = 1.15  # by which two vertebrae in one piece may fall short of twice the volume of one
_DISC = 0.5  # a disc lies half way between two vertebrae


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of the vertebrae of a column, from the lowest up.

    Args:
        names: mean probability of each class over the voxels of each vertebra ``(N, classes)``.
        volume: of each, in ml ``(N,)``.
        weight: how much each counts, 1 for a whole one, less for what is cut off or small ``(N,)``.
        cut: whether the field of view cuts it off ``(N,)``.
        height: of their middles along the column in usual distances ``(N,)``.
        length: of their insides, in usual lengths ``(N,)``.
        discs: for each disc the vertebra (number from 0) that it lies below and above, None for none, and its names.
        sacrum: distance from the lowest vertebra's middle to the sacrum's upper end in usual distances, less what it is
            where the vertebra stands on the sacrum; None without a sacrum.
        visible: number of vertebrae for which there is room in the image below the lowest.
        ribs: ml of a rib that are seen to the left and to the right of each ``(N, 2)``, NaN where nothing can be said.
    """

    names: Floats
    volume: Floats
    weight: Floats
    cut: NDArray[np.bool_]
    height: Floats
    length: Floats
    discs: tuple[tuple[int | None, int | None, Floats], ...]
    sacrum: float | None
    visible: int
    ribs: Floats


def gather(found: Found, names: Floats, levels: SchemeLevels, ribs: Floats) -> Evidence:
    """Gather the evidence of a column that has at least one vertebra.

    Args:
        found: its pieces.
        names: mean probability of each class over the voxels of each piece ``(pieces, classes)``, in the order of
            their numbers from 1.
        levels: of the scheme.
        ribs: see :func:`~spine_ignite.inference.levels.ribs.ribs_beside`.
    """
    vertebrae = found.vertebrae
    height = _heights(vertebrae)
    volume = np.array([vertebra.volume for vertebra in vertebrae])
    along = np.array([vertebra.height for vertebra in vertebrae])
    usual = usual_distance(height)
    length = np.array([vertebra.extent[1] - vertebra.extent[0] for vertebra in vertebrae])
    whole = [not vertebra.cut for vertebra in vertebrae]
    median = float(np.median(volume[whole] if any(whole) else volume))
    sacrum = None
    if found.sacrum is not None and levels.sacra and found.sacrum.volume >= _SMALL * median:
        sacrum = (along[0] - _upper_end(found.sacrum)) / usual - _ON_SACRUM
    # What is two vertebrae is longer and larger than one: a curve that bends makes one longer, a large body larger.
    stretched = np.minimum(_beside(length), _LARGE * _beside(volume))
    return Evidence(
        names=names[[vertebra.id - 1 for vertebra in vertebrae]],
        volume=volume,
        weight=np.clip(volume / (_SMALL * median), 0.05, 1),
        cut=np.array([vertebra.cut for vertebra in vertebrae]),
        height=height / usual,
        length=stretched,
        discs=tuple(_placed(disc, names[disc.id - 1], along, usual) for disc in found.discs),
        sacrum=sacrum,
        visible=max(0, int(found.room[0] / usual - _HALF)),
        ribs=ribs,
    )


def _heights(vertebrae: Sequence[Instance]) -> Floats:
    """Return the way from the lowest vertebra's middle to each, from middle to middle, in mm: a gap bends no curve."""
    steps = [np.linalg.norm(b.middle - a.middle) for a, b in itertools.pairwise(vertebrae)]
    return np.concatenate([[0.0], np.cumsum(steps)])


def _beside(sizes: Floats) -> Floats:
    """Return sizes as multiples of the median of a vertebra and its neighbours: bodies grow down the column."""
    places = range(len(sizes))
    usual = [float(np.median(sizes[max(0, place - _NEIGHBOURS) : place + _NEIGHBOURS + 1])) for place in places]
    return sizes / np.maximum(usual, 1e-6)


def usual_distance(height: Floats) -> float:
    """Return the distance of neighbouring vertebrae in mm, from heights ``(N,)`` of which some may be missing between.

    The median of the steps, each counted as the number of vertebrae that fits the smaller steps.
    """
    steps = np.diff(height)
    if not len(steps):
        return _USUAL
    small = float(np.quantile(steps, 0.25))
    several = np.maximum(np.rint(steps / max(small, 1e-6) - 0.15), 1)
    return float(np.median(steps / several))


def _upper_end(sacrum: Instance) -> float:
    return sacrum.extent[1]


def _placed(disc: Instance, names: Floats, height: Floats, usual: float) -> tuple[int | None, int | None, Floats]:
    """Return the vertebrae next to a disc: the one above and the one below it."""
    offset = (height - disc.height) / usual
    above = np.flatnonzero((offset > 0) & (offset < 1.7 * _DISC))
    below = np.flatnonzero((offset < 0) & (offset > -1.7 * _DISC))
    return (int(above[0]) if len(above) else None, int(below[-1]) if len(below) else None, names)


def pooled_names(ids: NDArray[np.int16], indices: NDArray[np.uint8], count: int, classes: int) -> Floats:
    """Return the share of each class among the voxels of each piece ``(count, classes)``.

    Args:
        ids: number of each voxel's piece ``(I, J, K)``, from 1; 0 for none.
        indices: class indices ``(I, J, K)``.
        count: how many pieces there are.
        classes: how many classes there are.
    """
    inside = ids > 0
    pairs = (ids[inside].astype(np.intp) - 1) * classes + indices[inside]
    table = np.bincount(pairs, minlength=count * classes).reshape(count, classes).astype(float)
    shares: Floats = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    return shares
