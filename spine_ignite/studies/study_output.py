"""The report of a study as tables, as a page, as plain data, and as the files of its folder."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from spine_ignite.compare.output import comparison_record, write_comparison
from spine_ignite.csv_files import csv_text
from spine_ignite.evaluation.measures import SHOWN, shown
from spine_ignite.files import write_text
from spine_ignite.names import counted, in_json, in_markdown
from spine_ignite.plain_json import plain_data
from spine_ignite.studies.making import Study
from spine_ignite.studies.pooling import Split
from spine_ignite.studies.seal import read_seal
from spine_ignite.studies.spread import POWER, Interval
from spine_ignite.studies.study_manifest import record_study
from spine_ignite.studies.study_report import StudyReport, make_report


def report_study(study: Study, split: Split = "validation", **how: Any) -> StudyReport:
    """Compare all cells of a study, write tables and figures into its ``report/``, and add them to its manifest.

    Args:
        study: the study.
        split: which cases.
        how: what else :func:`.study_report.make_report` takes; it says what is raised, too.

    Raises:
        RunError: the folder cannot be written, or holds files of others.
    """
    report = make_report(study, split, **how)
    comparison = report.comparison
    write_comparison(comparison, report.folder)
    _write(report)
    bootstrap = comparison.seed, comparison.resamples
    record_study(study, report.folder, split, comparison.measure, report.difference, bootstrap)
    return report


def method_rows(report: StudyReport) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of the table of methods over their trainings."""
    how = shown(report.comparison.measure, report.comparison.surfaces)
    order = report.comparison.ranking.order
    rows = [
        [
            found.name,
            how.text(found.cells.mean),
            _limits(how.text, found.cells),
            how.text(found.seeds.deviation),
            _limits(how.text, found.seeds),
            how.text(found.folds.deviation),
        ]
        for found in (report.methods[i] for i in order)
    ]
    columns = ["method", how.heading, "95 % over folds and seeds", "SD of seeds", "95 % over seeds", "SD of folds"]
    return columns, rows


def pair_rows(report: StudyReport) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of the table of pairs."""
    how = shown(report.comparison.measure, report.comparison.surfaces)
    rows = [
        [
            f"{pair.first} - {pair.second}",
            how.text(pair.cells.mean),
            _limits(how.text, pair.cells),
            how.text(pair.deviation),
            "-" if math.isnan(pair.needed) else f"{pair.needed:,.0f}",
            how.text(pair.visible),
        ]
        for pair in report.pairs
    ]
    columns = ["pair", "difference", "95 % over folds and seeds", "SD of cases", "cases needed", "can be seen"]
    return columns, rows


def _limits(text: Any, found: Interval) -> str:
    return "-" if math.isnan(found.low) else f"[{text(found.low)}, {text(found.high)}]"


def method_text(report: StudyReport) -> str:
    """Say how the figures over trainings came about, for a methods section."""
    title = SHOWN[report.comparison.measure].title
    folds, seeds = report.study.declaration.folds, len(report.pooled.seeds)
    overlap = (
        "allow for what the training sets of folds have in common by the variance "
        f"(1/n + {report.pooled.overlap:.3g}) s² (Nadeau and Bengio 2003; Bouckaert and Frank 2004)"
        if report.split == "validation"
        else "take trainings for independent, which those on folds are not quite"
    )
    return (
        f"Each method was trained {folds * seeds} times ({folds} folds of the patients x {counted(seeds, 'seed')}). "
        "The figure of a case is its mean over the trainings that have judged it. Intervals over folds and seeds are "
        f"by Student's t and {overlap}. Cases needed: for a paired t-test at 5 % (two-sided) to see a mean difference "
        f"of {report.difference:g} in {title} with a probability of {POWER:.0%}, n = (z(0.975) + z(0.8))² s² / d² + "
        "z(0.975)² / 2, s the standard deviation of the differences per case (Guenther 1981); Wilcoxon's test needs at "
        "most 16 % more (Hodges and Lehmann 1956). Can be seen: the same, solved for d."
    )


def study_page(report: StudyReport) -> str:
    """Return what a study found beside its comparison, as Markdown."""
    parts = [
        f"# {in_markdown(report.study.directory.root.absolute().name)}: {report.split}",
        "\n".join(f"- {in_markdown(note)}" for note in report.notes),
        "## Methods over their trainings",
        _markdown(*method_rows(report)),
        "## Pairs",
        _markdown(*pair_rows(report)),
        "Case by case, with tests and figures: [comparison.md](comparison.md).",
        "## How this was computed",
        method_text(report),
    ]
    return "\n\n".join(parts) + "\n"


def _markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *([in_markdown(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def report_record(report: StudyReport) -> dict[str, Any]:
    """Everything as plain data for JSON; NaN becomes None."""
    methods = [
        {"name": found.name, **{name: _interval(getattr(found, name)) for name in ("cells", "seeds", "folds")}}
        for found in report.methods
    ]
    shared = ("first", "second", "deviation", "needed", "visible")
    pairs = [
        {**{name: getattr(pair, name) for name in shared}, "cells": _interval(pair.cells)} for pair in report.pairs
    ]
    record = {
        "study": str(report.study.directory.root.absolute()),
        "split": report.split,
        "measure": report.comparison.measure,
        "difference": report.difference,
        "seal": read_seal(report.study.directory).sha256,
        "openings": [opening.model_dump(mode="json") for opening in report.openings],
        "methods": methods,
        "pairs": pairs,
        "cells": _cells(report),
        "notes": list(report.notes),
    }
    plain: dict[str, Any] = plain_data(record)
    return plain | {"comparison": comparison_record(report.comparison)}


def _cells(report: StudyReport) -> list[dict[str, Any]]:
    """The figures of each cell, a row for each."""
    pooled, folds = report.pooled, range(report.study.declaration.folds)
    return [
        {"method": run.name, "seed": seed, "fold": fold} | {key: of[m, s, fold] for key, of in pooled.cells.items()}
        for m, run in enumerate(pooled.runs)
        for s, seed in enumerate(pooled.seeds)
        for fold in folds
    ]


def cells_csv(report: StudyReport) -> str:
    """Return the figures of each cell as a table."""
    rows = plain_data(_cells(report))
    names = list(rows[0])
    return csv_text(names, ([row[name] for name in names] for row in rows))


def _interval(found: Interval) -> dict[str, float]:
    return {name: getattr(found, name) for name in ("mean", "deviation", "low", "high", "p")}


def _write(report: StudyReport) -> None:
    record = report_record(report)
    write_text(report.folder / "cells.csv", cells_csv(report))
    write_text(report.folder / "study.md", study_page(report))
    text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(report.folder / "study.json", in_json(text) + "\n")
