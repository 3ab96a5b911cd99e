"""What a reference can judge: it may leave voxels open, or know some of the classes alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from spine_ignite.labels import IGNORE

Indices = NDArray[np.uint8]


def known_voxels(
    reference: Indices, prediction: Indices, labelled: Sequence[bool] | None = None
) -> tuple[Indices, Indices, NDArray[np.bool_] | None]:
    """Return reference and prediction as far as the one can judge the other, and which voxels count.

    A voxel of the reference that is to be ignored (255) counts nowhere. A class that the reference does not declare may
    lie anywhere in its background: there, its prediction is neither right nor wrong, and the voxel does not count. On a
    structure that the reference does declare it is a miss, as the background would be. That is as in validation
    (:func:`spine_ignite.training.metrics.judgeable`).

    Args:
        reference: class indices, 255 to be ignored.
        prediction: class indices, of the same shape.
        labelled: for each class whether the reference declares it; None: all.

    Returns:
        Reference and prediction, with the background where a voxel does not count, or where the prediction is a class
        that the reference does not declare; and the voxels that count, None if all do.
    """
    counted = reference != IGNORE
    if labelled is not None and not all(labelled):
        declared = np.zeros(IGNORE + 1, bool)
        declared[: len(labelled)] = labelled
        known = declared[prediction]
        counted &= known | (reference > 0)
        prediction = np.where(known, prediction, 0).astype(np.uint8)
    if counted.all():
        return reference, prediction, None
    return np.where(counted, reference, 0).astype(np.uint8), np.where(counted, prediction, 0).astype(np.uint8), counted


def voxel_confusion(
    reference: Indices, prediction: Indices, count: int, labelled: Sequence[bool] | None = None
) -> NDArray[np.int64]:
    """Count voxels by class in the reference (rows) and in the prediction (columns), ``(count, count)``.

    Args:
        reference: class indices, 255 to be ignored.
        prediction: class indices, of the same shape.
        count: number of classes.
        labelled: for each class whether the reference declares it; None: all.
    """
    reference, prediction, counted = known_voxels(reference, prediction, labelled)
    return count_pairs(reference, prediction, count, counted)


def count_pairs(
    reference: Indices, prediction: Indices, count: int, counted: NDArray[np.bool_] | None
) -> NDArray[np.int64]:
    """Do the same for what :func:`known_voxels` returned."""
    cells = reference.ravel().astype(np.int64) * count + prediction.ravel()
    if counted is not None:
        cells = cells[counted.ravel()]
    return np.bincount(cells, minlength=count * count).reshape(count, count)
