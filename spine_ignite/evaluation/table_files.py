"""The files that keep an evaluation: three tables, and a summary that says by their hashes what belongs to it."""

from __future__ import annotations

import json
import math
import shlex
from dataclasses import fields
from pathlib import Path
from typing import get_args

import numpy as np

from spine_ignite.csv_files import csv_text, read_csv
from spine_ignite.errors import DataError
from spine_ignite.evaluation.case_results import CaseResult, ClassResult
from spine_ignite.evaluation.certainty import ColumnResult
from spine_ignite.evaluation.measures import Surfaces
from spine_ignite.evaluation.tables import MEASURES, Summary
from spine_ignite.files import write_text
from spine_ignite.plain_json import plain_data
from spine_ignite.volumes.digests import file_sha256

_TABLES = ("cases.csv", "classes.csv", "confusion.csv")


def write_tables(summary: Summary, folder: Path) -> None:
    """Write ``cases.csv``, ``classes.csv``, ``confusion.csv`` and ``summary.json``; :func:`read_tables` reads them.

    ``cases.csv`` has a row per case and class, ``classes.csv`` one per class; ``confusion.csv`` has the voxels
    that each case and pair of classes (in the reference, in the prediction) has in common, if any. The summary comes
    last and holds the SHA-256 of the others, so that an evaluation that is interrupted here is seen not to be whole.
    """
    columns = [column.name for column in fields(ClassResult)]
    results = [result.to_dict() for case in summary.cases for result in case.classes]
    classes = [{"label": c.label, **c.to_dict()} for c in summary.classes]
    headings = ["label", "cases", "missed", "invented", *MEASURES]
    counted = ["surfaces"]  # in every row: a table may be read without the summary
    cells = [
        (case.case, summary.names[row], summary.names[column], int(count))
        for case in summary.cases
        for (row, column), count in np.ndenumerate(case.confusion)
        if count
    ]
    tables = {
        "cases.csv": csv_text(
            columns + counted, ([*(result[name] for name in columns), summary.surfaces] for result in results)
        ),
        "classes.csv": csv_text(
            headings + counted, ([*(entry[name] for name in headings), summary.surfaces] for entry in classes)
        ),
        "confusion.csv": csv_text(["case", "reference", "prediction", "voxels"], cells),
    }
    for name, text in tables.items():
        write_text(folder / name, text)
    plain = plain_data(summary.to_dict()) | {"tables": table_hashes(folder)}
    write_text(folder / "summary.json", json.dumps(plain, indent=2) + "\n")


def table_hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of the tables beside a summary, which says by them what belongs to it.

    Raises:
        DataError: one is missing, or cannot be read.
    """
    return {name: file_sha256(folder / name) for name in _TABLES}


def read_tables(folder: Path) -> Summary:
    """Read back what :func:`write_tables` wrote.

    Raises:
        DataError: there is no evaluation in ``folder``, its tables do not belong together, or it is damaged or of an
            older version.
    """
    if not (folder / "summary.json").is_file():
        raise DataError(f"there is no evaluation in {folder}; make it with: spine-ignite evaluate{_arguments(folder)}")
    try:
        plain = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        if plain["tables"] != table_hashes(folder):
            raise DataError(
                f"the tables in {folder} are not those of its summary.json: an evaluation was interrupted, or a table "
                "was changed; make it again with: spine-ignite evaluate"
            )
        names = tuple(plain["names"])
        if len(names) > 256:
            raise ValueError(f"{len(names)} classes")
        classes: dict[str, list[ClassResult]] = {}
        for row in read_csv(folder / "cases.csv"):
            values = {
                key: float(text) if text else math.nan
                for key, text in row.items()
                if key not in ("case", "label", "surfaces")
            }
            classes.setdefault(row["case"], []).append(ClassResult(case=row["case"], label=row["label"], **values))
        confusions = {case: np.zeros((len(names), len(names)), np.int64) for case in plain["per_case"]}
        for row in read_csv(folder / "confusion.csv"):
            cell = names.index(row["reference"]), names.index(row["prediction"])
            confusions[row["case"]][cell] = int(row["voxels"])
        cases = tuple(
            CaseResult(
                case=case,
                accuracy=float(kept["accuracy"]),
                classes=tuple(classes.get(case, ())),
                level_rate=math.nan if kept["level_rate"] is None else float(kept["level_rate"]),
                shift=int(kept["shift"]),
                reference=str(kept["reference"]),
                confusion=confusions[case],
            )
            for case, kept in plain["per_case"].items()
        )
        clean_ups = {
            case: str(kept["postprocessing"]) for case, kept in plain["per_case"].items() if kept["postprocessing"]
        }
        failed = {str(case): str(reason) for case, reason in plain["failed"].items()}
        surfaces = plain.get("surfaces", "voxels")  # what older versions counted
        if surfaces not in get_args(Surfaces):
            raise ValueError(f"surfaces {surfaces}")
        columns = tuple(
            ColumnResult(case=case, **kept["column"])
            for case, kept in plain["per_case"].items()
            if kept.get("column") is not None
        )
        settings = dict(plain["settings"])
        return Summary(cases, names, float(plain["tolerance"]), settings, clean_ups, failed, surfaces, columns)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(
            f"the evaluation in {folder} cannot be read ({type(error).__name__}: {error}); "
            "make it again with: spine-ignite evaluate"
        ) from error


def _arguments(folder: Path) -> str:
    """Return what ``evaluate`` is given to write into a folder, where that is the place in a run that it writes to."""
    if folder.parent.name != "evaluation" or folder.name not in ("test", "validation"):
        return ""
    split = "" if folder.name == "test" else f" --split {folder.name}"
    return f" {shlex.quote(str(folder.parents[1]))}{split}"
