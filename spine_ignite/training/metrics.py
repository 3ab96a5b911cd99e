"""Metrics of an epoch, all from one accumulated confusion matrix.

With TP, FP, FN and TN the pixels of a class over all slices together: a class that is absent from reference and
prediction has no Dice, IoU or recall (NaN), and means leave it out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from ignite.metrics import ConfusionMatrix
from torch import Tensor

from spine_ignite.labels import IGNORE


class SegmentationConfusion(ConfusionMatrix):
    """Ignite's confusion matrix (rows: reference, columns: prediction), counted from class indices.

    ``update`` takes ``(prediction, label)``, both ``(B, H, W)`` of class indices: the prediction is needed for pictures
    as well, so it is computed once. Counts are exact (int64). Pixels whose label is to be ignored (255) do not count.
    """

    def update(self, output: tuple[Tensor, Tensor]) -> None:
        """Add a batch."""
        prediction, label = output
        cells = label.long().flatten() * self.num_classes + prediction.long().flatten()
        # A row of 255, which no class has, lies behind the last cell.
        counts = torch.bincount(cells.clamp_(max=self.num_classes**2), minlength=self.num_classes**2 + 1)[:-1]
        self.confusion_matrix += counts.view(self.num_classes, self.num_classes).to(self.confusion_matrix)
        self._num_examples += len(label)


def judgeable(prediction: Tensor, label: Tensor, labelled: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return prediction and label as far as the label can judge.

    A class that a row does not label may lie anywhere in its background: there, its prediction is neither right nor
    wrong, and the pixel is left out. On a structure that is labelled, it is a miss like the background.

    Args:
        prediction: class indices ``(B, H, W)``.
        label: class indices ``(B, H, W)``, 255 to be ignored.
        labelled: bool ``(B, K)``; None: each row labels all classes.
    """
    if labelled is None:
        return prediction, label
    known = labelled.gather(1, prediction.flatten(1)).view_as(prediction)
    open_ = ~known & (label == 0)
    return prediction.where(known, 0), label.masked_fill(open_, IGNORE)


def dice(confusion: Tensor) -> Tensor:
    """Dice of each class: ``2 TP / (2 TP + FP + FN)``."""
    tp, fp, fn, _ = _counts(confusion)
    return 2 * tp / (2 * tp + fp + fn)


def iou(confusion: Tensor) -> Tensor:
    """Intersection over union of each class: ``TP / (TP + FP + FN)``."""
    tp, fp, fn, _ = _counts(confusion)
    return tp / (tp + fp + fn)


def recall(confusion: Tensor) -> Tensor:
    """Recall (sensitivity) of each class: ``TP / (TP + FN)``."""
    tp, _, fn, _ = _counts(confusion)
    return tp / (tp + fn)


def false_negative_rate(confusion: Tensor) -> Tensor:
    """False-negative rate of each class: ``FN / (TP + FN)``, 1 minus recall."""
    tp, _, fn, _ = _counts(confusion)
    return fn / (tp + fn)


def false_positive_rate(confusion: Tensor) -> Tensor:
    """False-positive rate of each class: ``FP / (FP + TN)``."""
    _, fp, _, tn = _counts(confusion)
    return fp / (fp + tn)


def pixel_accuracy(confusion: Tensor) -> float:
    """Share of all pixels, background included, whose class is right."""
    return float(confusion.diagonal().sum().double() / confusion.sum().double())


def summarise(
    confusion: Tensor, names: Sequence[str], measures: Mapping[str, Callable[[Tensor], Any]]
) -> dict[str, float]:
    """Return all metrics by name: means over the structures, and ``dice/L5`` and so on per class.

    ``classes`` is the number of structures that the mean Dice and IoU count: those in the reference or the prediction.

    Args:
        confusion: ``(K, K)`` counts, rows reference, columns prediction.
        names: class names; the first is the background, which means leave out.
        measures: by name; each gives a number, or one for each class.
    """
    found = {name: measure(confusion) for name, measure in measures.items()}
    by_class = {name: value for name, value in found.items() if isinstance(value, Tensor)}
    result = {name: _mean(values[1:]) for name, values in by_class.items()}
    result["classes"] = float((~dice(confusion)[1:].isnan()).sum())
    result |= {name: float(value) for name, value in found.items() if name not in by_class}
    for key, values in by_class.items():
        result |= {f"{key}/{name}": float(value) for name, value in zip(names[1:], values[1:], strict=True)}
    return result


def _counts(confusion: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    matrix = confusion.double()
    tp = matrix.diagonal()
    fp = matrix.sum(0) - tp
    fn = matrix.sum(1) - tp
    return tp, fp, fn, matrix.sum() - tp - fp - fn


def _mean(values: Tensor) -> float:
    present = values[~values.isnan()]
    return float(present.mean()) if len(present) else math.nan
