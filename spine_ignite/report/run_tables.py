"""The tables of the page: per class, per case, and Dice of each class in each case."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from spine_ignite.evaluation.case_results import CaseResult, defined_mean
from spine_ignite.evaluation.measures import SHOWN, Shown, shown
from spine_ignite.evaluation.tables import Summary

_PERCENT = Shown("Volume error", 1, 0, "%", 100.0)
_OF_CLASSES = ("dice", "iou", "precision", "recall", "hd95", "assd", "nsd")
_OF_CASES = ("dice", "iou", "hd95", "assd", "nsd")
_MEANINGS = {
    "Dice": "overlap of prediction and reference, 1 is perfect",
    "IoU": "intersection over union, 1 is perfect",
    "Precision": "share of what is predicted that is right",
    "Recall": "share of the reference that is found",
    "HD95": "95th percentile of the distances between the surfaces, 0 is perfect",
    "ASSD": "mean distance between the surfaces, 0 is perfect",
    "NSD": "share of the surfaces within the tolerance, 1 is perfect",
    "Volume error (%)": "volume of the prediction less that of the reference, 0 is perfect",
    "Missed": "cases in which the prediction lacks the structure",
    "Invented": "cases in which the reference lacks the structure",
    "PA": "share of all voxels, background included, whose class is right",
    "Levels": "share of the vertebrae that have their own level",
    "Shift": "levels by which the whole column is named too high",
}


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell.

    Args:
        text: what is shown.
        sort: the figure that it is sorted by, if it is one.
        tint: how strong it is tinted as an error, from 0 to 10.
        right: whether it counts what is right among errors.
    """

    text: str
    sort: str = ""
    tint: int | None = None
    right: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """A column's heading, what it means, and whether it holds figures."""

    heading: str
    meaning: str = ""
    number: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """A table with a row of means below, if ``foot`` is not empty; the first cell of a row is its heading."""

    id: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    foot: tuple[Cell, ...] = ()


def figure(value: float, how: Shown) -> Cell:
    """A cell of a measure: rounded as shown, sorted by the whole figure."""
    return Cell(how.text(value), "" if math.isnan(value) else repr(float(value)))


def share(value: float, tint: float | None = None, digits: int = 0) -> Cell:
    """A cell of a share in percent; ``tint`` from 0 to 1 colours it as an error."""
    if math.isnan(value):
        return Cell("-")
    return Cell(f"{value:.{digits}%}", repr(float(value)), None if tint is None else strength(tint))


def strength(value: float) -> int:
    """How strong an error from 0 to 1 is tinted: from 0 to 10, small ones already visibly."""
    return max(0, min(10, math.ceil(10 * math.sqrt(max(value, 0.0)) - 1e-9)))


def class_table(summary: Summary) -> Table:
    """A row per class, its means over the cases that count."""
    columns = {name: shown(name, summary.surfaces) for name in _OF_CLASSES} | {"volume_error": _PERCENT}
    headings = ["Cases", "Missed", "Invented", *(how.heading for how in columns.values())]
    rows = tuple(
        (
            Cell(c.label),
            *(_count(number) for number in (c.cases, c.missed, c.invented)),
            *(figure(c.means[name], how) for name, how in columns.items()),
        )
        for c in summary.classes
    )
    sums = [sum(getattr(c, name) for c in summary.classes) for name in ("missed", "invented")]
    foot = (
        Cell("Mean of classes"),
        _count(len(summary.cases)),
        *map(_count, sums),
        *(figure(summary.means[name], how) for name, how in columns.items()),
    )
    return Table("classes", "Means over cases, per class", _columns("Class", headings), rows, foot)


def case_table(summary: Summary) -> Table:
    """A row per case, its means over the classes that it has; the last column is what post-processing did, if any."""
    spines = any(not math.isnan(case.level_rate) for case in summary.cases)
    headings = ["Classes", *(shown(name, summary.surfaces).heading for name in _OF_CASES), SHOWN["accuracy"].heading]
    headings += ["Levels", "Shift"] if spines else []
    columns = _columns("Case", headings)
    if summary.clean_ups:
        columns += (Column("Post-processing", "what it changed", number=False),)
    rows = tuple(
        (*_case_row(case, spines), *([Cell(summary.clean_ups.get(case.case, "-"))] if summary.clean_ups else []))
        for case in summary.cases
    )
    return Table("cases", "Means over classes, per case", columns, rows)


def matrix(summary: Summary) -> Table:
    """Dice of each class (columns) in each case (rows), tinted by what it lacks of 1."""
    labels = [c.label for c in summary.classes]
    rows = []
    for case in summary.cases:
        dice = {c.label: c.dice for c in case.classes}
        cells = [_dice_cell(dice.get(label, math.nan)) for label in labels]
        rows.append((Cell(case.case), *cells))
    columns = (Column("Case", number=False), *(Column(label) for label in labels))
    return Table("matrix", "Dice of each class in each case", columns, tuple(rows))


def _case_row(case: CaseResult, spines: bool) -> list[Cell]:
    means = {name: defined_mean([getattr(c, name) for c in case.classes]) for name in _OF_CASES}
    cells = [Cell(case.case), _count(len(case.classes))]
    cells += [figure(value, SHOWN[name]) for name, value in means.items()]
    cells.append(figure(case.accuracy, SHOWN["accuracy"]))
    if spines:
        cells += [share(case.level_rate), Cell(f"{case.shift:+d}" if case.shift else "0", str(case.shift))]
    return cells


def _dice_cell(value: float) -> Cell:
    if math.isnan(value):
        return Cell("-")
    return Cell(f"{value:.2f}", repr(float(value)), strength((1 - value) ** 2))  # in proportion: 0.95 is no alarm


def _count(number: int) -> Cell:
    return Cell(str(number), str(number))


def _columns(first: str, headings: Sequence[str]) -> tuple[Column, ...]:
    return (Column(first, number=False), *(Column(heading, _meaning(heading)) for heading in headings))


def _meaning(heading: str) -> str:
    return _MEANINGS.get(heading, _MEANINGS.get(heading.split(" (")[0], ""))
