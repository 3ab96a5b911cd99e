"""An evaluation once more: label volumes from the weights, tables from the label volumes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from spine_ignite.crossval.result import fold_results, result_record
from spine_ignite.datasets.cases import Case
from spine_ignite.datasets.folds import read_folds
from spine_ignite.datasets.sources import source_of
from spine_ignite.errors import DataError, RunError, SpineIgniteError
from spine_ignite.evaluation.evaluation_entry import TABLES
from spine_ignite.evaluation.pairs import Pair, judge_pairs
from spine_ignite.evaluation.table_files import write_tables
from spine_ignite.evaluation.tables import Summary
from spine_ignite.inference.exam_files import exams_of
from spine_ignite.inference.inputs import case_jobs
from spine_ignite.inference.options import InferenceOptions
from spine_ignite.inference.predict_files import predict_files
from spine_ignite.inference.predictor import load_predictor
from spine_ignite.inference.records import record_file
from spine_ignite.labels import load_scheme
from spine_ignite.machine.hardware import describe_hardware, other_kind
from spine_ignite.machine.left_as_found import left_as_found
from spine_ignite.machine.precision import choose_device
from spine_ignite.plain_json import plain_data
from spine_ignite.runs.folds_directory import FoldsDirectory
from spine_ignite.runs.manifest import Entry
from spine_ignite.verification.evaluations import Evaluation
from spine_ignite.verification.examined import said
from spine_ignite.verification.findings import Findings
from spine_ignite.verification.table_cells import differing_cells, differing_leaves
from spine_ignite.volumes.volume import Reading, read_label, reading_of

Progress = Callable[[Any], Any]
MOST_OTHER = 1e-3  # share of the labelled voxels that another kind of machine may label otherwise
_HOW = ("postprocess", "orientation", "nan", "tta")  # of the record of a label volume, as its summary has them


def check_predictions(evaluation: Evaluation, scratch: Path, findings: Findings, progress: Progress | None) -> None:
    """Predict the cases of an evaluation again into ``scratch``, and compare the label volumes voxel by voxel."""
    weights: list[str] = []
    other = None
    try:
        for job in evaluation.jobs:
            with _as_then(evaluation.entry):
                predictor = load_predictor(job.run, _here(job.options))
                weights += [str(member["weights"]) for member in predictor.settings["members"]]
                jobs = case_jobs(job.cases, scratch)
                results = predict_files(predictor, jobs, progress=progress, exams=exams_of(job.cases))
                now = describe_hardware(predictor.device, predictor.precision.name)
            other = other_kind(evaluation.entry.machine, now)
            for case, result in zip(job.cases, results, strict=True):
                if result.error is None:
                    _compare(evaluation, case, result.output, predictor.settings, other, findings)
                elif case.name in evaluation.outputs:
                    findings.refuse(f"{_name(evaluation, case)}: it cannot be predicted again: {result.error}")
    except SpineIgniteError as error:
        findings.leave(f"{evaluation.tables}: its cases cannot be predicted again: {said(error)}")
        return
    if weights != evaluation.entry.settings.get("weights"):
        findings.refuse(
            f"{evaluation.tables}: it is not of the networks that are there now, which were trained or replaced since; "
            "evaluate again"
        )
    if other is not None:
        findings.note(f"{evaluation.tables}: predicted again on another kind of machine ({other})")


def check_tables(evaluation: Evaluation, scratch: Path, findings: Findings, progress: Progress | None) -> None:
    """Compute the tables of an evaluation from its label volumes again, and compare them cell by cell.

    Of label volumes that were replaced since, those are taken that were predicted again into ``scratch``.
    """
    folder = evaluation.examined.root / evaluation.tables
    try:
        recorded = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        summary = _judged_again(evaluation, recorded, scratch, progress)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        findings.refuse(f"{evaluation.tables}/summary.json: it cannot be read ({type(error).__name__}: {error})")
        return
    except (DataError, RunError) as error:
        findings.refuse(f"{evaluation.tables}: its tables cannot be computed again: {said(error)}")
        return
    left_out = evaluation.left_out
    findings.refuse(*(f"{evaluation.tables}: {name} of the split was not judged" for name in left_out))
    write_tables(summary, scratch / "tables")
    for name in TABLES:
        sentences = differing_cells(f"{evaluation.tables}/{name}", folder / name, scratch / "tables" / name)
        findings.refuse(*sentences)
        findings.checked["tables"] += not sentences
    if evaluation.entry.kind == "cross-validation":
        _check_folds(evaluation, summary, findings)


def _check_folds(evaluation: Evaluation, summary: Summary, findings: Findings) -> None:
    directory = FoldsDirectory(evaluation.examined.root)
    again = plain_data(result_record(summary, fold_results(summary, read_folds(directory.splits))))
    recorded = json.loads(directory.result.read_text(encoding="utf-8"))
    sentences = differing_leaves("result.json", {key: recorded.get(key) for key in again}, again)
    findings.refuse(*sentences)
    findings.checked["tables"] += not sentences


def _judged_again(
    evaluation: Evaluation, recorded: Mapping[str, Any], scratch: Path, progress: Progress | None
) -> Summary:
    examined, entry = evaluation.examined, evaluation.entry
    data = examined.config.data
    scheme = load_scheme(data.scheme)
    made: dict[str, Mapping[str, Any]] = {}
    pairs, clean_ups = [], {}
    for name, output in evaluation.outputs.items():
        case = evaluation.cases[name]
        if not examined.recorded(examined.relative(output), evaluation.number):
            output = scratch / output.name
        made[name] = json.loads(record_file(output).read_text(encoding="utf-8"))
        if note := made[name]["postprocessing"]:
            clean_ups[name] = str(note)
        if case.label is not None:
            pairs.append(Pair(name, output, case.label, source_of(case, evaluation.sources)))
    settings = dict(recorded["settings"])
    first = next(iter(made.values()))
    settings |= {key: first[key] for key in ("checkpoint", *_HOW)} | {"scheme": scheme.name}
    if entry.kind == "evaluation":
        settings |= {"split": entry.settings.get("split"), "members": first["members"]}
    failed = {name: str(recorded["failed"].get(name)) for name in evaluation.cases if name not in made}
    tolerance, surfaces = float(entry.settings["tolerance"]), entry.settings["surfaces"]
    nothing = Summary((), scheme.names, tolerance, settings, clean_ups, failed, surfaces)
    reading = reading_of(data) if entry.kind != "evaluation" else _reading(evaluation)
    return judge_pairs(pairs, scheme, nothing, None, progress, reading)


def _reading(evaluation: Evaluation) -> Reading:
    options = evaluation.jobs[0].options
    return Reading(options.orientation, options.nan)


def _compare(
    evaluation: Evaluation, case: Case, again: Path, settings: Mapping[str, Any], other: str | None, findings: Findings
) -> None:
    output = evaluation.outputs.get(case.name)
    if output is None or not evaluation.examined.recorded(
        evaluation.examined.relative(output), evaluation.number
    ):  # it failed then, or was replaced since
        return
    name = _name(evaluation, case)
    try:
        one, two = (read_label(path, Reading("any")) for path in (output, again))
        made = _how_made(json.loads(record_file(output).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, DataError) as error:
        findings.refuse(f"{name}: it or its record cannot be read ({said(error)})")
        return
    now = _how_made(plain_data(settings))
    sentences = differing_leaves(f"{name}'s record", made, now)
    if one.array.shape != two.array.shape or not np.array_equal(one.affine, two.affine):
        sentences.append(f"{name}: its grid is not that of the label volume that was predicted again")
    else:
        differing = int(np.count_nonzero(one.array != two.array))
        labelled = int(np.count_nonzero((one.array != 0) | (two.array != 0)))
        if differing and other is not None and differing <= MOST_OTHER * labelled:
            findings.note(f"{name}: {differing} of {labelled} labelled voxels are other ones on this kind of machine")
        elif differing:
            sentences.append(
                f"{name}: {differing} of {labelled} labelled voxels are other ones when predicted again"
                + (f", on another kind of machine ({other})" if other is not None else "")
            )
    findings.refuse(*sentences)
    findings.checked["label volumes"] += not sentences


def _how_made(record: Mapping[str, Any]) -> dict[str, Any]:
    """What a record says of how a label volume came about, but for the places of the networks."""
    members = [{key: value for key, value in member.items() if key != "run"} for member in record["members"]]
    return {**{key: record[key] for key in _HOW}, "naming": record.get("naming"), "members": members}


def _name(evaluation: Evaluation, case: Case) -> str:
    output = evaluation.outputs.get(case.name)
    return evaluation.examined.relative(output) if output is not None else f"{evaluation.tables}: {case.name}"


def _here(options: InferenceOptions) -> InferenceOptions:
    """Options for a machine that may lack the device of then."""
    try:
        choose_device(options.device)
    except RunError:
        return replace(options, device="auto")
    return options


@contextmanager
def _as_then(entry: Entry) -> Iterator[None]:
    """Compute with as many threads as then."""
    threads = entry.machine.get("threads")
    with left_as_found():
        if isinstance(threads, int) and 0 < threads < 1024:
            torch.set_num_threads(threads)
        yield
