"""Metrics of a case, per class and in 3D."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spine_ignite.errors import DataError
from spine_ignite.evaluation.distances import (
    average_symmetric_distance,
    hausdorff_95,
    normalised_surface_dice,
    surface_distances,
)
from spine_ignite.evaluation.known_voxels import count_pairs, known_voxels
from spine_ignite.evaluation.level_rate import column_shift, identification_rate
from spine_ignite.evaluation.measures import Surfaces
from spine_ignite.labels import LabelScheme

TOLERANCE = 2.0  # mm; the default of the normalised surface Dice


@dataclass(frozen=True, slots=True)
class ClassResult:
    """A class in a case in which it is present, in the reference or the prediction or both.

    With TP, FP, FN and TN voxels of the volume: ``dice = 2 TP / (2 TP + FP + FN)``, ``iou = TP / (TP + FP + FN)``,
    ``precision = TP / (TP + FP)``, ``recall = TP / (TP + FN)``, ``fnr = FN / (TP + FN)``, ``fpr = FP / (FP + TN)``.
    ``hd95`` and ``assd`` are in mm, volumes in ml, ``nsd`` is the normalised surface Dice, and ``volume_error`` the
    prediction's volume less the reference's, as a share of the latter. A class that one of the two lacks has Dice, IoU
    and ``nsd`` 0; what is not defined then is NaN: distances, and precision or recall and volume error.
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
    nsd: float
    volume_reference: float
    volume_prediction: float
    volume_error: float

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class CaseResult:
    """A case.

    Args:
        case: its name.
        accuracy: share of voxels that count, background included, whose class is right.
        classes: the classes that are present in reference or prediction.
        level_rate: share of the reference's vertebrae that have their own level in the prediction; NaN without any.
        shift: levels by which the whole column is named too high, 0 if it is not; see
            :func:`spine_ignite.evaluation.level_rate.column_shift`.
        reference: fingerprint of the reference mask: two evaluations judge by the same mask if theirs are equal.
        confusion: voxels by class in the reference (rows) and in the prediction (columns).
    """

    case: str
    accuracy: float
    classes: tuple[ClassResult, ...]
    level_rate: float
    shift: int
    reference: str
    confusion: NDArray[np.int64]

    @property
    def dice(self) -> float:
        """Mean Dice of the structures that are present in reference or prediction."""
        return defined_mean([c.dice for c in self.classes])


def evaluate_case(
    case: str,
    reference: NDArray[np.uint8],
    prediction: NDArray[np.uint8],
    spacing: tuple[float, ...],
    scheme: LabelScheme,
    tolerance: float = TOLERANCE,
    surfaces: Surfaces = "area",
    labelled: Sequence[bool] | None = None,
) -> CaseResult:
    """Compare two label volumes of class indices, as far as the reference can judge; see :func:`.known_voxels`.

    Args:
        case: its name.
        reference: ``(I, J, K)``; 255 is to be ignored.
        prediction: the same shape.
        spacing: mm between voxels along I, J and K.
        scheme: names the classes; its vertebrae are listed from the sacrum up.
        tolerance: of the normalised surface Dice, in mm.
        surfaces: what the surface measures count, see :func:`.distances.surface_distances`.
        labelled: for each class whether the reference declares it, None: all; the others are left out.

    Raises:
        DataError: the shapes differ.
    """
    if reference.shape != prediction.shape:
        raise DataError(f"case {case}: prediction {prediction.shape} and reference {reference.shape} differ in shape")
    count = scheme.num_classes
    fingerprint = _fingerprint(reference, labelled)
    reference, prediction, counted = known_voxels(reference, prediction, labelled)
    confusion = count_pairs(reference, prediction, count, counted)
    classes = []
    for index, box in enumerate(_boxes(reference, prediction, count), 1):
        if box is not None:  # absent from both, it would say nothing
            masks = reference[box] == index, prediction[box] == index
            of_surfaces = _surface_measures(*masks, spacing, tolerance, surfaces)
            overlaps = _overlap_measures(confusion, index, math.prod(spacing) / 1000)
            classes.append(ClassResult(case=case, label=scheme.classes[index].name, **overlaps, **of_surfaces))
    vertebrae = [c.index for c in scheme.classes if c.kind == "vertebra" and (labelled is None or labelled[c.index])]
    return CaseResult(
        case=case,
        accuracy=_ratio(int(np.trace(confusion)), int(confusion.sum())),
        classes=tuple(classes),
        level_rate=identification_rate(confusion, vertebrae),
        shift=column_shift(confusion, vertebrae),
        reference=fingerprint,
        confusion=confusion,
    )


def defined_mean(values: Sequence[float]) -> float:
    """Mean of the values that are defined; NaN if none is."""
    defined = [value for value in values if not math.isnan(value)]
    return sum(defined) / len(defined) if defined else math.nan


def _overlap_measures(confusion: NDArray[np.int64], index: int, milliliters: float) -> dict[str, float]:
    tp = int(confusion[index, index])
    fp = int(confusion[:, index].sum()) - tp
    fn = int(confusion[index].sum()) - tp
    return {
        "dice": 2 * tp / (2 * tp + fp + fn),
        "iou": tp / (tp + fp + fn),
        "precision": _ratio(tp, tp + fp),
        "recall": _ratio(tp, tp + fn),
        "fnr": _ratio(fn, tp + fn),
        "fpr": _ratio(fp, int(confusion.sum()) - tp - fn),
        "volume_reference": (tp + fn) * milliliters,
        "volume_prediction": (tp + fp) * milliliters,
        "volume_error": _ratio(fp - fn, tp + fn),
    }


def _surface_measures(
    reference: NDArray[np.bool_],
    prediction: NDArray[np.bool_],
    spacing: tuple[float, ...],
    tolerance: float,
    surfaces: Surfaces,
) -> dict[str, float]:
    if not reference.any() or not prediction.any():
        return {"hd95": math.nan, "assd": math.nan, "nsd": 0.0}
    distances = surface_distances(reference, prediction, spacing, surfaces)
    return {
        "hd95": hausdorff_95(distances),
        "assd": average_symmetric_distance(distances),
        "nsd": normalised_surface_dice(distances, tolerance),
    }


def _boxes(reference: NDArray[np.uint8], prediction: NDArray[np.uint8], count: int) -> list[tuple[slice, ...] | None]:
    """Return the smallest box around each class but the background in both volumes; None for one that is in neither."""
    found = (ndimage.find_objects(volume, count - 1) for volume in (reference, prediction))
    return [
        tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(first, second, strict=True))
        if first and second
        else first or second
        for first, second in zip(*found, strict=True)
    ]


def _fingerprint(mask: NDArray[np.uint8], labelled: Sequence[bool] | None) -> str:
    declared = b"" if labelled is None else bytes(labelled)
    return hashlib.sha256(repr(mask.shape).encode() + mask.tobytes() + declared).hexdigest()[:16]


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else math.nan
