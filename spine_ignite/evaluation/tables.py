"""Results of many cases as tables: means, CSV, JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from spine_ignite.evaluation.cases import CaseResult, ClassResult
from spine_ignite.files import write_text

MEASURES = ("dice", "iou", "precision", "recall", "fnr", "fpr", "hd95", "assd")


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


@dataclass(frozen=True, slots=True)
class Summary:
    """An evaluation.

    Args:
        cases: per case.
        classes: per class, over cases.
        means: mean over the classes of their means, for each measure; ``dice`` is the headline figure. ``accuracy`` is
            the mean over cases of the share of voxels that are right.
    """

    cases: tuple[CaseResult, ...]
    classes: tuple[ClassSummary, ...]
    means: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "cases": len(self.cases),
            "means": self.means,
            "classes": {
                c.label: {"cases": c.cases, "missed": c.missed, "invented": c.invented, **c.means} for c in self.classes
            },
            "per_case": {
                case.case: {"dice": case.dice, "accuracy": case.accuracy, "classes": len(case.classes)}
                for case in self.cases
            },
        }


def summarise(cases: Sequence[CaseResult], names: Sequence[str]) -> Summary:
    """Sum up cases; ``names`` are the classes in the order of the scheme."""
    present = {result.label for case in cases for result in case.classes}
    order = [name for name in names if name in present]
    classes = []
    for label in order:
        found = [result for case in cases for result in case.classes if result.label == label]
        classes.append(
            ClassSummary(
                label=label,
                cases=len(found),
                missed=sum(result.volume_prediction == 0 for result in found),
                invented=sum(result.volume_reference == 0 for result in found),
                means={name: mean([getattr(result, name) for result in found]) for name in MEASURES},
            )
        )
    means = {name: mean([c.means[name] for c in classes]) for name in MEASURES}
    means["accuracy"] = mean([case.accuracy for case in cases])
    return Summary(tuple(cases), tuple(classes), means)


def mean(values: Sequence[float]) -> float:
    """Mean of the values that are defined; NaN if none is."""
    defined = [value for value in values if not math.isnan(value)]
    return sum(defined) / len(defined) if defined else math.nan


def write_tables(summary: Summary, folder: Path) -> None:
    """Write ``cases.csv`` (a row per case and class), ``classes.csv`` (a row per class) and ``summary.json``."""
    names = [field.name for field in fields(ClassResult)]
    rows = [result.to_dict() for case in summary.cases for result in case.classes]
    write_text(folder / "cases.csv", _csv(names, rows))
    columns = ["label", "cases", "missed", "invented", *MEASURES]
    table = [
        {"label": c.label, "cases": c.cases, "missed": c.missed, "invented": c.invented, **c.means}
        for c in summary.classes
    ]
    write_text(folder / "classes.csv", _csv(columns, table))
    write_text(folder / "summary.json", json.dumps(_without_nan(summary.to_dict()), indent=2) + "\n")


def readable_rows(summary: Summary) -> tuple[list[str], list[list[str]]]:
    """Return columns and rows of the table that is printed: a row per class, and their mean."""
    columns = ["class", "cases", "missed", "Dice", "IoU", "precision", "recall", "HD95 mm", "ASSD mm"]
    shown = ("dice", "iou", "precision", "recall", "hd95", "assd")
    rows = [
        [c.label, str(c.cases), str(c.missed), *(_figure(name, c.means[name]) for name in shown)]
        for c in summary.classes
    ]
    rows.append(["mean", str(len(summary.cases)), "", *(_figure(name, summary.means[name]) for name in shown)])
    return columns, rows


def _figure(name: str, value: float) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:.2f}" if name in ("hd95", "assd") else f"{value:.4f}"


def _csv(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: "" if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()} for row in rows)
    return text.getvalue()


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
