"""What is a study's own: its seal, the openings of its test set, and its tables, from the tables of its cells."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

from spine_ignite.compare.grids import classes_csv, pairs_csv, table_csv
from spine_ignite.datasets.folds import read_folds
from spine_ignite.errors import SpineIgniteError
from spine_ignite.files import write_text
from spine_ignite.runs.manifest import Entry
from spine_ignite.studies.making import Study, load_study
from spine_ignite.studies.seal import make_seal, read_openings, read_seal
from spine_ignite.studies.study_output import cells_csv, report_record
from spine_ignite.studies.study_report import make_report
from spine_ignite.verification.examined import Examined, said
from spine_ignite.verification.findings import Findings
from spine_ignite.verification.table_cells import differing_cells, differing_leaves
from spine_ignite.volumes.digests import file_sha256

# Of a report's record: where it lies, what was measured by a clock, what tells of the moment.
_COSTS = ("path", "parameters", "gflops", "latency_ms", "input")
_OF_THEN = re.compile(r"study|notes.*|comparison\.(notes.*|runs\.\d+\.(cost|manifest|path).*)|openings.*")


def check_study(examined: Examined, findings: Findings, quick: bool) -> None:
    """Compare seal, folds, openings and networks of a study with each other, and compute its tables again.

    Args:
        examined: the study.
        findings: takes what is found.
        quick: compute nothing again.
    """
    try:
        study = load_study(examined.root)
        _check_seal(study, findings)
    except SpineIgniteError as error:
        findings.refuse(f"the study: {said(error)}")
        return
    for number, entry in () if quick else examined.live:
        tables = str(entry.settings.get("tables"))
        if entry.kind == "study" and examined.recorded(f"{tables}/study.json", number):
            _check_tables(study, examined.root / tables, tables, entry, findings)


def _check_seal(study: Study, findings: Findings) -> None:
    directory, before = study.directory, len(findings.wrong)
    seal = read_seal(directory)
    if make_seal(read_folds(directory.splits).test).sha256 != seal.sha256:
        findings.refuse("sealed.json: it does not seal the test cases of splits.json")
    openings = read_openings(directory)
    for number, opening in enumerate(openings, 1):
        if opening.seal != seal.sha256:
            findings.refuse(f"openings.json: opening {number} was of another test set than the sealed one")
    for name, weights in openings[-1].weights.items() if openings else ():
        best = directory.run(name).best
        if not best.is_file() or file_sha256(best) != weights:
            findings.refuse(f"openings.json: the test set was opened for another network of {name} than is there")
    findings.checked["records"] += len(findings.wrong) == before


def _check_tables(study: Study, folder: Path, tables: str, entry: Entry, findings: Findings) -> None:
    settings = entry.settings
    try:
        report = make_report(
            study,
            settings["split"],
            measure=settings["measure"],
            difference=float(settings["difference"]),
            seed=int(settings["seed"]),
            resamples=int(settings["resamples"]),
            cost=False,
        )
        recorded = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    except (SpineIgniteError, OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        findings.refuse(f"{tables}: it cannot be computed again: {said(error)}")
        return
    again = report_record(report)
    sentences = differing_leaves(f"{tables}/study.json", _lasting(recorded), _lasting(again))
    findings.refuse(*sentences)
    findings.checked["tables"] += not sentences
    comparison = report.comparison
    with tempfile.TemporaryDirectory(prefix="spine-ignite-verify-") as scratch:
        for name, text, naming in (
            ("cells.csv", cells_csv(report), 3),
            ("table.csv", table_csv(comparison), 1),
            ("classes.csv", classes_csv(comparison), 1),
            ("pairs.csv", pairs_csv(comparison), 2),
        ):
            write_text(Path(scratch) / name, text)
            sentences = differing_cells(f"{tables}/{name}", folder / name, Path(scratch) / name, naming, _COSTS)
            findings.refuse(*sentences)
            findings.checked["tables"] += not sentences


def _lasting(value: Any, path: str = "") -> Any:
    """The parts of a record that are the same whenever it is made."""
    if isinstance(value, dict):
        kept = {key: _lasting(item, f"{path}.{key}" if path else key) for key, item in value.items()}
        return {key: item for key, item in kept.items() if not _OF_THEN.fullmatch(f"{path}.{key}" if path else key)}
    if isinstance(value, list):
        return [_lasting(item, f"{path}.{number}") for number, item in enumerate(value)]
    return value
