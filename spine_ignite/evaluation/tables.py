"""Results of many cases: means over cases and classes, and the table that is printed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spine_ignite.evaluation.case_results import TOLERANCE, CaseResult, ClassResult, defined_mean
from spine_ignite.evaluation.certainty import ColumnResult, figures
from spine_ignite.evaluation.measures import OF_SURFACES, Surfaces, shown

MEASURES = ("dice", "iou", "precision", "recall", "fnr", "fpr", "hd95", "assd", "nsd", "volume_error")
_MILLIMETRES = ("hd95", "assd")


@dataclass(frozen=True, slots=True)
class ClassSummary:
    """A class over all cases in which it is present in reference or prediction.

    Args:
        label: the class.
        cases: number of cases that count.
        missed: of these, cases in which the prediction lacks it.
        invented: of these, cases in which the reference lacks it.
        means: mean of each measure over the cases in which it is defined.
    """

    label: str
    cases: int
    missed: int
    invented: int
    means: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the name."""
        return {"cases": self.cases, "missed": self.missed, "invented": self.invented, **self.means}


@dataclass(frozen=True)
class Summary:
    """An evaluation.

    Args:
        cases: per case.
        names: all classes of the scheme, the background first.
        tolerance: of the normalised surface Dice, in mm.
        settings: how the predictions were made, for the record (scheme, checkpoint, post-processing …).
        clean_ups: what post-processing did, by case.
        failed: cases that could not be judged, with the reason; no figure counts them.
        surfaces: what the surface measures count.
        columns: of the cases whose levels were named, how surely.
    """

    cases: tuple[CaseResult, ...]
    names: tuple[str, ...]
    tolerance: float = TOLERANCE
    settings: dict[str, Any] = field(default_factory=dict)
    clean_ups: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    surfaces: Surfaces = "area"
    columns: tuple[ColumnResult, ...] = ()

    @cached_property
    def classes(self) -> tuple[ClassSummary, ...]:
        """Per class, over cases, in the order of the scheme."""
        found: dict[str, list[ClassResult]] = {}
        for case in self.cases:
            for result in case.classes:
                found.setdefault(result.label, []).append(result)
        return tuple(_class_summary(name, found[name]) for name in self.names if name in found)

    @cached_property
    def means(self) -> dict[str, float]:
        """Mean over the classes of their means, for each measure; ``dice`` is the headline figure.

        ``accuracy`` and ``level_rate`` are means over cases, ``shifted`` is the share of cases whose whole column is
        named one or more levels too high or too low.
        """
        classes = self.classes
        means = {name: defined_mean([c.means[name] for c in classes]) for name in MEASURES}
        means["accuracy"] = defined_mean([case.accuracy for case in self.cases])
        means["level_rate"] = defined_mean([case.level_rate for case in self.cases])
        spines = [case for case in self.cases if not math.isnan(case.level_rate)]
        means["shifted"] = sum(case.shift != 0 for case in spines) / len(spines) if spines else math.nan
        return means

    @cached_property
    def certainty(self) -> dict[str, Any]:
        """How sure the columns are and how often right, see :func:`.certainty.figures`; empty without any."""
        return figures(self.columns)

    @cached_property
    def confusion(self) -> NDArray[np.int64]:
        """Voxels of all cases by class in the reference (rows) and in the prediction (columns), ``(C, C)``."""
        total = np.zeros((len(self.names), len(self.names)), np.int64)
        for case in self.cases:
            total += case.confusion
        return total

    def __repr__(self) -> str:
        """Return the table of the classes, as a console shows it: the figures of all cases would fill screens."""
        columns, rows = readable_rows(self)
        widths = [max(map(len, cells)) for cells in zip(columns, *rows, strict=True)]
        lines = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in (columns, *rows)]
        return "\n".join("  ".join(line).rstrip() for line in lines)

    def _repr_html_(self) -> str:
        """Return the table of the classes, as a notebook shows it."""
        columns, rows = readable_rows(self)
        lines = [f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows]
        head = "".join(f"<th>{escape(name)}</th>" for name in columns)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        columns = {column.case: column.to_dict() for column in self.columns}
        return {
            "cases": len(self.cases),
            "names": list(self.names),
            "tolerance": self.tolerance,
            "surfaces": self.surfaces,
            "settings": self.settings,
            "failed": self.failed,
            "means": self.means,
            "columns": self.certainty,
            "classes": {c.label: c.to_dict() for c in self.classes},
            "per_case": {
                case.case: {
                    "dice": case.dice,
                    "accuracy": case.accuracy,
                    "classes": len(case.classes),
                    "level_rate": case.level_rate,
                    "shift": case.shift,
                    "reference": case.reference,
                    "postprocessing": self.clean_ups.get(case.case),
                    "column": columns.get(case.case),
                }
                for case in self.cases
            },
        }


def _class_summary(label: str, results: Sequence[ClassResult]) -> ClassSummary:
    return ClassSummary(
        label=label,
        cases=len(results),
        missed=sum(result.volume_prediction == 0 for result in results),
        invented=sum(result.volume_reference == 0 for result in results),
        means={name: defined_mean([getattr(result, name) for result in results]) for name in MEASURES},
    )


def readable_rows(summary: Summary) -> tuple[list[str], list[list[str]]]:
    """Return columns and rows of the table that is printed: a row per class, and their mean."""
    columns = [
        "class",
        "cases",
        "missed",
        "Dice",
        "IoU",
        "precision",
        "recall",
        *(shown(name, summary.surfaces).heading for name in OF_SURFACES),
        "volume %",
    ]
    figures = ("dice", "iou", "precision", "recall", "hd95", "assd", "nsd", "volume_error")
    rows = [
        [c.label, str(c.cases), str(c.missed), *(_figure(name, c.means[name]) for name in figures)]
        for c in summary.classes
    ]
    means = summary.means
    rows.append(["mean", str(len(summary.cases)), "", *(_figure(name, means[name]) for name in figures)])
    return columns, rows


def level_sentence(summary: Summary) -> str | None:
    """Say how many vertebrae have their own level, and which cases are shifted; None for a scheme without vertebrae."""
    means = summary.means
    if math.isnan(means["level_rate"]):
        return None
    shifted = [f"{case.case} ({case.shift:+d})" for case in summary.cases if case.shift]
    text = f"Levels: {means['level_rate']:.1%} of the vertebrae have their own, the mean over cases"
    return (
        f"{text}; the whole column is shifted in {', '.join(shifted)}" if shifted else f"{text}; no column is shifted"
    )


def _figure(name: str, value: float) -> str:
    if math.isnan(value):
        return "-"
    if name == "volume_error":
        return f"{100 * value:+.1f}"
    return f"{value:.2f}" if name in _MILLIMETRES else f"{value:.4f}"
