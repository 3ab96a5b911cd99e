"""Does a vertebra have its own level? The errors that only labelled spines have."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Confusion = NDArray[np.int64]


def identification_rate(confusion: Confusion, vertebrae: Sequence[int]) -> float:
    """Share of the reference's vertebrae that are found and have the right level; NaN if the reference has none.

    A vertebra is found if any of its voxels is predicted as a vertebra; its level is the one that most of these have
    (of equal counts, the right one).

    Args:
        confusion: voxels by class in the reference (rows) and in the prediction (columns), ``(C, C)``.
        vertebrae: class indices of the vertebrae, in their order along the column.
    """
    offsets = level_offsets(confusion, vertebrae)
    return sum(offset == 0 for offset in offsets) / len(offsets) if offsets else math.nan


def column_shift(confusion: Confusion, vertebrae: Sequence[int]) -> int:
    """Number of levels by which the whole column is named too far along ``vertebrae``; 0 if it is not shifted.

    The column is shifted by ``k`` if more than half of the reference's vertebrae, and at least two, are found ``k``
    levels away from their own. With the vertebrae listed from the sacrum up, 1 means that L4 is called L3, and so on.

    Args:
        confusion: voxels by class in the reference (rows) and in the prediction (columns), ``(C, C)``.
        vertebrae: class indices of the vertebrae, in their order along the column.
    """
    offsets = level_offsets(confusion, vertebrae)
    for offset in {offset for offset in offsets if offset}:
        count = offsets.count(offset)
        if count >= 2 and 2 * count > len(offsets):
            return offset
    return 0


def level_offsets(confusion: Confusion, vertebrae: Sequence[int]) -> list[int | None]:
    """How many levels each vertebra of the reference is away from its own in the prediction; None if it was missed.

    Args:
        confusion: voxels by class in the reference (rows) and in the prediction (columns), ``(C, C)``.
        vertebrae: class indices of the vertebrae, in their order along the column.

    Returns:
        A number for each vertebra that the reference has, in their order.
    """
    among = confusion[np.ix_(vertebrae, vertebrae)]
    offsets: list[int | None] = []
    for place, (index, counts) in enumerate(zip(vertebrae, among, strict=True)):
        if confusion[index].any():
            most = counts.max()
            best = place if counts[place] == most else int(counts.argmax())
            offsets.append(best - place if most else None)
    return offsets
