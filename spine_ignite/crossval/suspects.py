"""Which masks are to be looked at: training cases ranked by how far mask and prediction are apart.

A network that has not seen a case has no reason to repeat a mistake in its mask. But it also fails where a case is hard
or a structure is rare, and that says nothing about the mask. So a disagreement counts for as much as this structure is
usually agreed upon: everything is compared with the median over the other cases. The score of a case, from 0 to 1, is
the largest of

- levels: the square root (so that two exchanged names are not lost among many) of the share of the vertebrae found that
  have another name in the prediction, times the share that usually have their own, times how well all structures as
  one agree;
- structure: for a structure that mask or prediction lacks, its volume as a share of the usual one (at most 1), times
  its usual Dice, times how well the rest of this case agrees; half of that where the prediction lacks it, since
  networks miss what is there more often than they draw, with its usual shape, what is not;
- border: 1 less the mean Dice of the structures present in either, each as a share of its usual Dice (at most 1).

For the last two a prediction whose whole column is named too high or too low is renamed first: then it is the levels
that are wrong, and not every structure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from spine_ignite.evaluation.case_results import CaseResult
from spine_ignite.evaluation.level_rate import level_offsets
from spine_ignite.labels import LabelScheme

Kind = Literal["levels", "missing in mask", "missing in prediction", "place", "border"]
Table = NDArray[np.float64]
_MISSED = 0.5  # what it counts that a network misses a structure of the mask
_ELSEWHERE = 0.5  # share of the usual overlap of all structures below which a mask lies in another place


@dataclass(frozen=True, slots=True)
class Suspicion:
    """How far mask and prediction of a case are apart.

    Args:
        case: its name.
        score: from 0 to 1; see above.
        kind: what it comes from.
        label: the structure that is worst; empty without any.
        shift: levels by which the whole column is named higher in the prediction than in the mask.
        dice: mean Dice of the case, as it is.
        says: a sentence.
    """

    case: str
    score: float
    kind: Kind
    label: str
    shift: int
    dice: float
    says: str


def suspicions(results: Sequence[CaseResult], scheme: LabelScheme) -> list[Suspicion]:
    """Rank cases, the most suspicious first; see the module's text."""
    measured = [_Measured.of(result, scheme) for result in results]
    dice, volumes = (np.array([getattr(m, name) for m in measured]) for name in ("dice", "volumes"))
    rates, overlaps = (np.array([getattr(m, name) for m in measured]) for name in ("rate", "overlap"))
    found = []
    for place, (result, own) in enumerate(zip(results, measured, strict=True)):
        usual = _Usual(*(_of_others(table, place) for table in (dice, volumes, rates, overlaps)))
        found.append(_judge(result, own, usual, scheme))
    return sorted(found, key=lambda suspicion: (-suspicion.score, suspicion.case))


@dataclass(frozen=True, slots=True)
class _Measured:
    """What is measured of a case, its prediction renamed.

    Args:
        dice: per class; NaN for one that is in neither.
        volumes: of the mask per class in ml; NaN for one that it lacks.
        rate: share of the vertebrae found that have their own level; NaN without any.
        overlap: Dice of all structures as one; NaN without any.
        in_mask: voxels of each class in the mask.
        in_prediction: likewise.
        milliliters: of a voxel.
        offsets: how many levels each vertebra that is found is named too high, before the renaming.
    """

    dice: Table
    volumes: Table
    rate: float
    overlap: float
    in_mask: NDArray[np.int64]
    in_prediction: NDArray[np.int64]
    milliliters: float
    offsets: list[int]

    @staticmethod
    def of(result: CaseResult, scheme: LabelScheme) -> _Measured:
        confusion = _renamed(result.confusion, result.shift, scheme)
        in_mask, in_prediction = confusion.sum(1), confusion.sum(0)
        both = np.diag(confusion)
        with np.errstate(invalid="ignore", divide="ignore"):
            dice = 2 * both / (in_mask + in_prediction)
            overlap = 2 * confusion[1:, 1:].sum() / (in_mask[1:].sum() + in_prediction[1:].sum())
        milliliters = _milliliters(result)
        volumes = np.where(in_mask > 0, in_mask * milliliters, np.nan)
        dice[0] = volumes[0] = np.nan
        vertebrae = [entry.index for entry in scheme.classes if entry.kind == "vertebra"]
        offsets = [offset for offset in level_offsets(result.confusion, vertebrae) if offset is not None]
        rate = offsets.count(0) / len(offsets) if offsets else np.nan
        return _Measured(dice, volumes, rate, float(overlap), in_mask, in_prediction, milliliters, offsets)


@dataclass(frozen=True, slots=True)
class _Usual:
    """Medians over the other cases."""

    dice: Table
    volumes: Table
    rate: Table
    overlap: Table


def _judge(result: CaseResult, own: _Measured, usual: _Usual, scheme: LabelScheme) -> Suspicion:
    expected = np.where(np.isnan(usual.dice), _mean(usual.dice), usual.dice)  # of a structure that only this case has
    with np.errstate(invalid="ignore", divide="ignore"):
        agreement = np.where(expected > 0, np.minimum(1, own.dice / expected), np.nan)
    agreement[np.isnan(own.dice)] = np.nan
    candidates = [
        _levels(result, own, usual, scheme),
        _structure(own, expected, agreement, usual.volumes, scheme),
        _border(own, agreement, float(usual.overlap), scheme),
    ]
    score, kind, label, says = max(candidates, key=lambda candidate: candidate[0])
    return Suspicion(result.case, round(float(score), 4), kind, label, result.shift, result.dice, says)


def _levels(result: CaseResult, own: _Measured, usual: _Usual, scheme: LabelScheme) -> tuple[float, Kind, str, str]:
    wrong = sum(offset != 0 for offset in own.offsets)
    if not wrong:
        return 0.0, "levels", "", ""
    vertebrae = [entry.index for entry in scheme.classes if entry.kind == "vertebra"]
    among = result.confusion[np.ix_(vertebrae, vertebrae)]
    worst = scheme.classes[vertebrae[int((among.sum(1) - np.diag(among)).argmax())]].name
    if result.shift:
        levels = "1 level" if abs(result.shift) == 1 else f"{abs(result.shift)} levels"
        says = f"the mask names the column {levels} {'lower' if result.shift > 0 else 'higher'} than the prediction"
    else:
        says = f"{wrong} of {len(own.offsets)} vertebrae have another name in the prediction, {worst} for one"
    agreed = min(1.0, own.overlap / float(usual.overlap)) if usual.overlap > 0 else 1.0
    score = math.sqrt(wrong / len(own.offsets)) * float(np.nan_to_num(usual.rate, nan=1.0)) * agreed
    return score, "levels", worst, says


def _structure(
    own: _Measured, expected: Table, agreement: Table, volumes: Table, scheme: LabelScheme
) -> tuple[float, Kind, str, str]:
    best: tuple[float, Kind, str, str] = (0.0, "missing in mask", "", "")
    for entry in scheme.classes[1:]:
        index = entry.index
        present, predicted = own.in_mask[index], own.in_prediction[index]
        if (present > 0) == (predicted > 0):
            continue
        volume = max(present, predicted) * own.milliliters
        share = min(1.0, volume / volumes[index]) if volumes[index] > 0 else 1.0
        others = np.delete(agreement, index)
        score = share * float(np.nan_to_num(expected[index])) * float(np.nan_to_num(_mean(others)))
        in_mask = present > 0
        score *= _MISSED if in_mask else 1.0
        if score > best[0]:
            kind: Kind = "missing in prediction" if in_mask else "missing in mask"
            says = f"{entry.name} ({volume:.1f} ml) is " + (
                "in the mask and not predicted" if in_mask else "predicted and not in the mask"
            )
            best = score, kind, entry.name, says
    return best


def _border(own: _Measured, agreement: Table, usual: float, scheme: LabelScheme) -> tuple[float, Kind, str, str]:
    if np.isnan(agreement).all():
        return 0.0, "border", "", "mask and prediction have no structure that is usually agreed upon"
    worst = int(np.nanargmin(agreement))
    name, score = scheme.classes[worst].name, 1 - _mean(agreement)
    if not own.in_mask[1:].any():
        return score, "place", name, "the mask is empty"
    if not own.in_prediction[1:].any():
        return score, "place", name, "nothing is predicted: is the image like the others?"
    if own.overlap < _ELSEWHERE * usual:
        return score, "place", name, "the mask lies elsewhere than the prediction: is it of another image?"
    return score, "border", name, f"the borders differ, most of {name} (Dice {own.dice[worst]:.2f})"


def _renamed(confusion: NDArray[np.int64], shift: int, scheme: LabelScheme) -> NDArray[np.int64]:
    """Give a prediction that is named ``shift`` levels too high the names of the mask; what has none is background."""
    if not shift:
        return confusion
    moved: NDArray[np.int64] = confusion.copy()
    for kind in ("vertebra", "disc"):
        column = [entry.index for entry in scheme.classes if entry.kind == kind]
        moved[:, column] = 0
        for place, index in enumerate(column):
            new = place - shift
            moved[:, column[new] if 0 <= new < len(column) else 0] += confusion[:, index]
    return moved


def _of_others(table: Table, place: int) -> Table:
    """Median over all rows but one, of what is defined; NaN where nothing is."""
    others = np.delete(table, place, axis=0)
    if not len(others):
        return np.full(table.shape[1:], np.nan)
    found = np.full(others.shape[1:], np.nan)
    defined = ~np.isnan(others).all(axis=0)
    if others.ndim == 1:
        return np.array(np.nanmedian(others)) if defined else found
    found[defined] = np.nanmedian(others[:, defined], axis=0)
    return found


def _milliliters(result: CaseResult) -> float:
    """Of a voxel: from the volumes that are known; 0 where nothing is."""
    voxels = result.confusion[1:].sum()
    if voxels:
        return float(sum(entry.volume_reference for entry in result.classes) / voxels)
    voxels = result.confusion[:, 1:].sum()
    return float(sum(entry.volume_prediction for entry in result.classes) / voxels) if voxels else 0.0


def _mean(values: Table) -> float:
    return float("nan") if np.isnan(values).all() else float(np.nanmean(values))
