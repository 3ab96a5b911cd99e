"""The result of a cross-validation: over all cases, and as mean and spread over folds."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from spine_ignite.datasets.folds import Folds
from spine_ignite.errors import DataError
from spine_ignite.evaluation.measures import Surfaces, shown
from spine_ignite.evaluation.table_files import read_tables
from spine_ignite.evaluation.tables import MEASURES, Summary
from spine_ignite.files import write_text
from spine_ignite.plain_json import plain_data
from spine_ignite.runs.folds_directory import FoldsDirectory

_MEANS = (*MEASURES, "accuracy", "level_rate", "shifted")
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class FoldResult:
    """What a fold's network makes of the cases that it has not seen.

    Args:
        fold: its number.
        cases: how many were judged.
        means: of each measure over classes, as :attr:`Summary.means`.
    """

    fold: int
    cases: int
    means: Mapping[str, float]


def fold_results(summary: Summary, folds: Folds) -> tuple[FoldResult, ...]:
    """Return the means of each fold that has a case to be judged by."""
    fold_of = folds.fold_of
    found = []
    for number in range(len(folds.folds)):
        cases = tuple(case for case in summary.cases if fold_of[case.case] == number)
        if cases:
            found.append(FoldResult(number, len(cases), replace(summary, cases=cases).means))
    return tuple(found)


def over_folds(results: Sequence[FoldResult], measure: str) -> tuple[float, float]:
    """Return mean and standard deviation (of a sample) of a measure over the folds in which it is defined."""
    values = [r.means[measure] for r in results if not math.isnan(r.means[measure])]
    return (statistics.fmean(values) if values else math.nan, statistics.stdev(values) if len(values) > 1 else math.nan)


def result_record(summary: Summary, per_fold: Sequence[FoldResult]) -> dict[str, Any]:
    """Return plain data: pooled over all cases, per fold, and mean and spread over folds."""
    spread = {name: over_folds(per_fold, name) for name in _MEANS}
    return {
        "cases": len(summary.cases),
        "failed": summary.failed,
        "surfaces": summary.surfaces,
        "pooled": summary.means,
        "folds": [{"fold": r.fold, "cases": r.cases, **r.means} for r in per_fold],
        "mean": {name: mean for name, (mean, _) in spread.items()},
        "spread": {name: deviation for name, (_, deviation) in spread.items()},
    }


def write_result(
    directory: FoldsDirectory,
    summary: Summary,
    per_fold: Sequence[FoldResult],
    predictions: Mapping[str, str],
    pictures: int,
) -> None:
    """Write ``result.json``, which says of which predictions it is the result."""
    record = result_record(summary, per_fold) | {
        "format": _FORMAT,
        "pictures": pictures,
        "predictions": dict(predictions),
    }
    write_text(directory.result, json.dumps(plain_data(record), indent=1, ensure_ascii=False) + "\n")


def read_result(directory: FoldsDirectory, predictions: Mapping[str, str], pictures: int) -> Summary | None:
    """Return the result that is there, if it is whole, and of these predictions and as many pictures."""
    try:
        record = json.loads(directory.result.read_text(encoding="utf-8"))
        same = record["predictions"] == predictions and record["pictures"] == pictures and record["format"] == _FORMAT
        if not same or not directory.suspects.is_file() or not directory.page.is_file():
            return None
        summary = read_tables(directory.tables)
    except (OSError, ValueError, KeyError, TypeError, RecursionError, DataError):
        return None
    return summary if not summary.failed else None  # what failed may do better now


def readable_folds(results: Sequence[FoldResult], surfaces: Surfaces) -> tuple[list[str], list[list[str]]]:
    """Return columns and rows of the table that is printed: a row per fold, then mean and spread."""
    names = ("dice", "iou", "precision", "recall", "hd95", "assd", "nsd")
    measures = {name: shown(name, surfaces) for name in names}
    rows = [[str(r.fold), str(r.cases), *(how.text(r.means[name]) for name, how in measures.items())] for r in results]
    pairs = {name: over_folds(results, name) for name in names}
    rows.append(["mean", "", *(how.text(pairs[name][0]) for name, how in measures.items())])
    rows.append(["spread", "", *(how.text(pairs[name][1]) for name, how in measures.items())])
    return ["fold", "cases", *(how.heading for how in measures.values())], rows
