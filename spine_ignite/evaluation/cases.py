"""Metrics of a case, per class and in 3D."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spine_ignite.errors import DataError
from spine_ignite.evaluation.distances import average_symmetric_distance, hausdorff_95, surface_distances
from spine_ignite.labels import LabelScheme


@dataclass(frozen=True, slots=True)
class ClassResult:
    """A class in a case in which it is present, in the reference or the prediction or both.

    With TP, FP, FN and TN voxels of the volume: ``dice = 2 TP / (2 TP + FP + FN)``, ``iou = TP / (TP + FP + FN)``,
    ``precision = TP / (TP + FP)``, ``recall = TP / (TP + FN)``, ``fnr = FN / (TP + FN)``, ``fpr = FP / (FP + TN)``.
    ``hd95`` and ``assd`` are in mm, volumes in ml. What is not defined is NaN: distances and precision or recall of a
    class that one of the two lacks.
    """

    case: str
    label: str
    dice: float
    iou: float
    precision: float
    recall: float
    fnr: float
    fpr: float
    hd95: float
    assd: float
    volume_reference: float
    volume_prediction: float

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class CaseResult:
    """A case: its classes, and the share of voxels (background included) whose class is right."""

    case: str
    accuracy: float
    classes: tuple[ClassResult, ...]

    @property
    def dice(self) -> float:
        """Mean Dice of the structures that are present in reference or prediction."""
        return _mean([c.dice for c in self.classes])


def evaluate_case(
    case: str,
    reference: NDArray[np.uint8],
    prediction: NDArray[np.uint8],
    spacing: tuple[float, ...],
    scheme: LabelScheme,
) -> CaseResult:
    """Compare two label volumes of class indices.

    Args:
        case: its name.
        reference: ``(I, J, K)``.
        prediction: the same shape.
        spacing: mm between voxels along I, J and K.
        scheme: names the classes.

    Raises:
        DataError: the shapes differ.
    """
    if reference.shape != prediction.shape:
        raise DataError(f"case {case}: prediction {prediction.shape} and reference {reference.shape} differ in shape")
    count = scheme.num_classes
    cells = reference.ravel().astype(np.int64) * count + prediction.ravel()
    confusion = np.bincount(cells, minlength=count * count).reshape(count, count)
    milliliters = math.prod(spacing) / 1000
    results = []
    for index in range(1, count):
        tp = int(confusion[index, index])
        fp = int(confusion[:, index].sum()) - tp
        fn = int(confusion[index].sum()) - tp
        if tp + fp + fn == 0:
            continue  # absent from both: says nothing about the prediction
        hd95 = assd = math.nan
        if tp + fn and tp + fp:
            distances = surface_distances(reference == index, prediction == index, spacing)
            hd95, assd = hausdorff_95(*distances), average_symmetric_distance(*distances)
        results.append(
            ClassResult(
                case=case,
                label=scheme.classes[index].name,
                dice=2 * tp / (2 * tp + fp + fn),
                iou=tp / (tp + fp + fn),
                precision=_ratio(tp, tp + fp),
                recall=_ratio(tp, tp + fn),
                fnr=_ratio(fn, tp + fn),
                fpr=_ratio(fp, reference.size - tp - fn),
                hd95=hd95,
                assd=assd,
                volume_reference=(tp + fn) * milliliters,
                volume_prediction=(tp + fp) * milliliters,
            )
        )
    return CaseResult(case, float(np.trace(confusion) / confusion.sum()), tuple(results))


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else math.nan


def _mean(values: list[float]) -> float:
    defined = [value for value in values if not math.isnan(value)]
    return sum(defined) / len(defined) if defined else math.nan
