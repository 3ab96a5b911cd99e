"""Is a whole column named right? From the voxels of reference and prediction alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Confusion = NDArray[np.int64]
_SLIVER = 0.1  # of the reference's median vertebra: what is smaller has no level that could be wrong
_WHOLE = 0.5  # of it: what is larger and is not found is missed
_FOUND = 0.1  # of a vertebra's voxels, from which it counts as found


@dataclass(frozen=True, slots=True)
class ColumnJudgement:
    """What is right and wrong in a column, by class indices.

    Args:
        wrong: vertebrae of the reference that have another's name, and names that are given to what is no vertebra.
        missed: vertebrae of the reference, at least half of the usual one, that were not found.
    """

    wrong: tuple[int, ...]
    missed: tuple[int, ...]

    @property
    def is_right(self) -> bool:
        """Whether every name is right; a vertebra that was not found has none."""
        return not self.wrong


def judge_column(confusion: Confusion, vertebrae: Sequence[int]) -> ColumnJudgement | None:
    """Judge the names of a column.

    A vertebra's name is the one that most of its voxels have that are predicted as any vertebra. A name is given to
    what is no vertebra if most of its voxels lie in another structure of the reference, or lie in its background though
    the reference has this vertebra elsewhere: references often end before the image does. What is smaller than a tenth
    of the reference's median vertebra counts neither way, but where none of the reference's vertebrae is found every
    name is wrong.

    Args:
        confusion: voxels by class in the reference (rows) and in the prediction (columns), ``(C, C)``, the background
            first.
        vertebrae: class indices of the vertebrae.

    Returns:
        None if the reference has no vertebra, or the prediction has none.
    """
    chosen = list(vertebrae)
    reference, predicted = confusion.sum(axis=1), confusion.sum(axis=0)
    sizes = reference[chosen]
    if not sizes.any():
        return None
    usual = float(np.median(sizes[sizes > 0]))
    others = [index for index in range(1, len(confusion)) if index not in set(chosen)]
    wrong, missed, found = set[int](), [], 0
    for index in chosen:
        among = confusion[index, chosen]
        if reference[index] >= _SLIVER * usual and among.sum() >= _FOUND * reference[index] and among.any():
            found += 1
            if confusion[index, index] < among.max():
                wrong.add(index)
        elif reference[index] >= _WHOLE * usual:
            missed.append(index)
        here = confusion[:, index]
        if predicted[index] >= _SLIVER * usual and 2 * here[chosen].sum() < predicted[index]:
            elsewhere = reference[index] > 0 and 2 * here[0] > predicted[index]
            if elsewhere or 2 * here[others].sum() > predicted[index]:
                wrong.add(index)
    if not found:  # names there are, but none of them on a vertebra of the reference
        wrong |= {index for index in chosen if predicted[index]}
    return ColumnJudgement(tuple(sorted(wrong)), tuple(missed)) if found or wrong else None
