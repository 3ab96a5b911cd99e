"""What a study's manifest says: its record, the heads of its cells' manifests, and the tables that came of them."""

from __future__ import annotations

from pathlib import Path

from spine_ignite.datasets.folds import read_folds
from spine_ignite.datasets.split import Fingerprint
from spine_ignite.runs.manifest import append_entry, head_of
from spine_ignite.runs.manifest_entries import code_of
from spine_ignite.studies.making import Study

TABLES = (
    "study.json", "study.md", "cells.csv", "comparison.json", "comparison.md", "table.csv", "classes.csv", "pairs.csv",
    "table.tex", "classes.tex",
)  # fmt: skip


def record_study(
    study: Study, folder: Path, split: str, measure: str, difference: float, bootstrap: tuple[int, int]
) -> str:
    """Add the report of a study to its manifest, and return the head.

    Args:
        study: the study.
        folder: of the report's tables.
        split: ``validation`` or ``test``.
        measure: that was ranked by.
        difference: that was to be seen.
        bootstrap: its seed, and how often it resampled.

    Raises:
        RunError: the manifest cannot be written.
    """
    directory = study.directory
    folds = read_folds(directory.splits)
    heads = {f"cells/{cell.name}": head_of(directory.run(cell.name).root) for cell in study.cells}
    return append_entry(
        directory.root,
        "study",
        code=code_of([]),
        data={case.name: Fingerprint(case.image, case.mask) for case in (*folds.cases, *folds.test)},
        files=[
            directory.declaration, directory.splits, directory.seal, directory.openings,
            *(directory.config(method) for method in study.methods),
            *(directory.record(cell.name) for cell in study.cells), *(folder / name for name in TABLES),
        ],
        parts={name: head for name, head in heads.items() if head is not None},
        settings={
            "tables": folder.relative_to(directory.root).as_posix(), "split": split, "measure": measure,
            "difference": difference, "seed": bootstrap[0], "resamples": bootstrap[1],
        },
    )  # fmt: skip
