"""Evaluate a run, or any tool's predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from spine_ignite.config import load_config
from spine_ignite.datasets.cases import Case
from spine_ignite.datasets.pairing import match_by_id
from spine_ignite.datasets.sources import Source, alone, source_of
from spine_ignite.datasets.volume_files import volume_files
from spine_ignite.errors import DataError, UsageError
from spine_ignite.evaluation.case_results import TOLERANCE
from spine_ignite.evaluation.evaluation_entry import record_evaluation
from spine_ignite.evaluation.judged_cases import Judged, JudgedCases, judged_cases
from spine_ignite.evaluation.measures import Surfaces
from spine_ignite.evaluation.pairs import Pair, judge_pairs
from spine_ignite.evaluation.tables import Summary
from spine_ignite.files import guard
from spine_ignite.inference.exam_files import exams_of
from spine_ignite.inference.inputs import case_jobs
from spine_ignite.inference.network_sources import find_runs
from spine_ignite.inference.options import InferenceOptions
from spine_ignite.inference.predict_files import Prediction, predict_files
from spine_ignite.inference.predictor import Predictor, load_predictor
from spine_ignite.labels import LabelScheme, load_scheme
from spine_ignite.locks import lock_folder
from spine_ignite.machine.processes import ALONE, Processes
from spine_ignite.ownership import Listed, own_folder
from spine_ignite.places import require_apart
from spine_ignite.runs.directory import RunDirectory
from spine_ignite.runs.provenance import as_recorded
from spine_ignite.volumes.volume import Reading

Progress = Callable[[Any], Any]
_CONTENTS = (Listed("", r"summary\.json|(cases|classes|confusion)\.csv"), Listed("pictures", r".+\.png"))


def evaluate(
    run: Path,
    *,
    split: Judged = "test",
    data: Path | None = None,
    masks: LabelScheme | None = None,
    options: InferenceOptions | None = None,
    out: Path | None = None,
    tolerance: float = TOLERANCE,
    surfaces: Surfaces = "area",
    progress: Progress | None = None,
    echo: Callable[[str], None] = lambda _line: None,
    processes: Processes = ALONE,
) -> Summary:
    """Predict a split with a run's network and judge it; writes into the run's ``predictions/`` and ``evaluation/``.

    Every case is predicted again, since label volumes that are there may have been made in another way. A case that
    cannot be predicted or read is listed in the summary's ``failed``, and the others are judged.

    Args:
        run: the run directory, or a folder of runs, whose probabilities are averaged and whose first decides the cases.
        split: ``test`` or ``validation``.
        data: another dataset, or where the validation cases are now; see :func:`.judged_cases.judged_cases`.
        masks: scheme of its masks, if they are not in that of ``data.root``'s.
        options: how to predict; by default as the run's configuration says.
        out: a folder for the tables, and in it ``predictions/``, in place of the run's own.
        tolerance: of the normalised surface Dice, in mm.
        surfaces: what the surface measures count, see :func:`.distances.surface_distances`.
        progress: wraps what is done one by one.
        echo: takes the sentences that a reader of the result must know.
        processes: that share the cases; all call this with the same, and get the summary.

    Raises:
        DataError: the split has no labelled cases, none can be used, or they are not what the run recorded.
        RunError: the run has recorded no split, or another process is evaluating or predicting into the same folders.
        UsageError: a member of an ensemble was trained on a validation case, or masks are given without data.
    """
    if masks is not None and data is None:
        raise UsageError("the run knows the scheme of its own masks; --masks is for those of --data")
    options = options or InferenceOptions()
    runs = [found for path in (run, *options.ensemble) for found in find_runs(path)]
    with as_recorded(runs[0]):
        config = load_config(runs[0].config)
        options = options.on(config.data)
        judged = _judged(runs, split, data, masks, options, echo, processes)
        tables, folder = _folders(run, split, out, {"--data": data} if data is not None else config.data.roots)
        predictor = load_predictor(run, options, processes)
        exams = exams_of(judged.cases)
        jobs = processes.by_first(lambda: case_jobs(judged.cases, folder))
        scheme = load_scheme(config.data.scheme)
        settings = _settings(scheme, split, judged, predictor, masks)
        nothing = Summary((), scheme.names, tolerance, settings, surfaces=surfaces)
        record = partial(record_evaluation, run, predictor, options, tables=tables, cases=judged.cases, data=data)
        with _held(processes, tables, own=out is not None, predictions=folder):
            made = predict_files(predictor, jobs, progress=progress, lock=False, processes=processes, exams=exams)
            pairs, nothing = _pairs(judged, made, nothing)
            summary = judge_pairs(pairs, scheme, nothing, tables, progress, predictor.reading, processes)
            if out is None and processes.first:
                record(outputs=[pair.prediction for pair in pairs], summary=summary)
            return summary


def evaluate_folders(
    predictions: Path,
    labels: Path,
    scheme: LabelScheme,
    out: Path | None = None,
    masks: LabelScheme | None = None,
    tolerance: float = TOLERANCE,
    surfaces: Surfaces = "area",
    progress: Progress | None = None,
    echo: Callable[[str], None] = lambda _line: None,
    processes: Processes = ALONE,
) -> Summary:
    """Judge the predictions of any tool; a pair that cannot be compared is listed in ``failed``.

    Args:
        predictions: folder of label volumes.
        labels: folder of reference masks, matched by case id; see :func:`.cases.match_by_id`.
        scheme: the values of the predictions, whose classes are judged.
        out: where tables go; None writes nothing.
        masks: the values of the references, if they are others; classes that it does not have are left out.
        tolerance: of the normalised surface Dice, in mm.
        surfaces: what the surface measures count, see :func:`.distances.surface_distances`.
        progress: wraps what is done one by one.
        echo: takes the sentences that a reader of the result must know.
        processes: that share the cases; all call this with the same, and get the summary.

    Raises:
        DataError: a reference has no prediction, or no pair can be compared.
        UsageError: the schemes have no structure in common.
        RunError: another process is evaluating into ``out``, or it holds files of others under our names.
    """
    source = alone(labels, scheme, masks)
    for note in source.notes():
        echo(note)
    pairs = processes.by_first(lambda: _matched(predictions, labels, source, echo))
    if out is not None:
        require_apart({"--out": out}, {"--labels": labels})
    settings = {"scheme": scheme.name} | ({"notes": source.notes()} if source.notes() else {})
    nothing = Summary((), scheme.names, tolerance, settings, surfaces=surfaces)
    with _held(processes, out, own=True) if out is not None else nullcontext():
        # Two masks are compared voxel by voxel: where their axes point to plays no part.
        return judge_pairs(pairs, scheme, nothing, out, progress, Reading("any"), processes)


def _matched(predictions: Path, labels: Path, source: Source, echo: Callable[[str], None]) -> list[Pair]:
    """Pair predictions and references by case id; all references must have a prediction."""
    references = volume_files(labels)
    if not references:
        raise DataError(f"folder {labels} holds no label volumes")
    matches = match_by_id(volume_files(predictions), references)
    missing = [reference.name for found, reference in matches.values() if reference is not None and found is None]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(references)} masks have no prediction in {predictions}, {missing[0]} for one; "
            "predict all cases, or give a folder with the masks of those predicted"
        )
    unmatched = [found.name for found, reference in matches.values() if found is not None and reference is None]
    if unmatched:
        echo(
            f"{len(unmatched)} predictions in {predictions} have no mask in {labels} and are not judged, "
            f"{unmatched[0]} for one"
        )
    return [Pair(key, found, reference, source) for key, (found, reference) in matches.items() if found and reference]


@contextmanager
def _held(processes: Processes, tables: Path, *, own: bool, predictions: Path | None = None) -> Iterator[None]:
    """Keep others out of the folders; one for tables outside of a run must hold no files of others under our names."""
    what = "is evaluating into it"
    with ExitStack() as stack:
        if processes.first:
            stack.enter_context(own_folder(tables, "evaluation", what, _CONTENTS) if own else lock_folder(tables, what))
        guard(tables)
        if predictions is not None:
            if processes.first:
                stack.enter_context(lock_folder(predictions, "is predicting into it"))
            guard(predictions)
        processes.wait()
        yield


def _judged(
    runs: Sequence[RunDirectory],
    split: Judged,
    data: Path | None,
    masks: LabelScheme | None,
    options: InferenceOptions,
    echo: Callable[[str], None],
    processes: Processes,
) -> JudgedCases:
    """Decide which cases are judged, and tell what a reader must know of them."""
    reading = Reading(options.orientation, options.nan)
    judged = processes.by_first(lambda: judged_cases(runs, split, data, reading, masks))
    for note in judged.notes:
        echo(note)
    return judged


def _folders(run: Path, split: Judged, out: Path | None, data: Mapping[str, Path]) -> tuple[Path, Path]:
    """Return where tables and label volumes go: into the run, or into ``out``, which is apart from the data."""
    guard(run)
    if out is None:
        directory = RunDirectory(run)
        return directory.evaluation / split, directory.predictions / split
    require_apart({"--out": out}, data)
    return out, out / "predictions"


def _settings(
    scheme: LabelScheme, split: Judged, judged: JudgedCases, predictor: Predictor, masks: LabelScheme | None
) -> dict[str, Any]:
    """Say for the record what was judged, and how it was predicted."""
    settings = {"scheme": scheme.name, "split": split, "notes": list(judged.notes), **predictor.settings}
    return settings if masks is None else settings | {"masks": masks.to_dict()}


def _pairs(judged: JudgedCases, made: Sequence[Prediction], nothing: Summary) -> tuple[list[Pair], Summary]:
    """Pair what was predicted with its references; the summary tells what was cleaned up, and what failed."""
    results = {result.source: result for result in made}
    predicted = [(case, results[case.image]) for case in judged.cases]
    pairs = [_pair(case, result.output, judged) for case, result in predicted if result.error is None]
    clean_ups = {case.name: result.note for case, result in predicted if result.note}
    failed = {case.name: result.error for case, result in predicted if result.error is not None}
    return pairs, replace(nothing, clean_ups=clean_ups, failed=failed)


def _pair(case: Case, prediction: Path, judged: JudgedCases) -> Pair:
    assert case.label is not None
    source, patient = source_of(case, judged.sources), judged.patients.get(case.name)
    return Pair(case.name, prediction, case.label, source, case.image, patient)
