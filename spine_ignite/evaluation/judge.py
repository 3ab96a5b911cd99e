"""Evaluate a run, or any tool's predictions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spine_ignite.config import load_config
from spine_ignite.config.postprocess import LEVELS
from spine_ignite.datasets.cases import Case
from spine_ignite.datasets.pairing import match_by_id
from spine_ignite.datasets.patients import patient_of
from spine_ignite.datasets.sources import Source, alone, source_of
from spine_ignite.datasets.volume_files import volume_files
from spine_ignite.errors import DataError, UsageError, reason
from spine_ignite.evaluation.case_pictures import write_picture
from spine_ignite.evaluation.case_results import TOLERANCE, CaseResult, evaluate_case
from spine_ignite.evaluation.certainty import ColumnResult, column_result
from spine_ignite.evaluation.evaluation_entry import record_evaluation
from spine_ignite.evaluation.judged_cases import Judged, JudgedCases, judged_cases
from spine_ignite.evaluation.measures import Surfaces
from spine_ignite.evaluation.table_files import write_tables
from spine_ignite.evaluation.tables import Summary
from spine_ignite.files import guard
from spine_ignite.inference.inputs import case_jobs
from spine_ignite.inference.levels.record import levels_file, read_levels
from spine_ignite.inference.network_sources import find_runs
from spine_ignite.inference.options import InferenceOptions
from spine_ignite.inference.predict_files import predict_files
from spine_ignite.inference.predictor import load_predictor
from spine_ignite.inference.records import vouches_for
from spine_ignite.labels import LabelScheme, load_scheme
from spine_ignite.locks import lock_folder
from spine_ignite.ownership import Listed, own_folder
from spine_ignite.places import require_apart
from spine_ignite.runs.directory import RunDirectory
from spine_ignite.runs.provenance import as_recorded
from spine_ignite.volumes.alignment import aligned
from spine_ignite.volumes.volume import Reading, Volume, read_image, read_label

Progress = Callable[[Any], Any]
_CONTENTS = (Listed("", r"summary\.json|(cases|classes|confusion)\.csv"), Listed("pictures", r".+\.png"))


@dataclass(frozen=True, slots=True)
class Pair:
    """A prediction and its reference, the image for a picture if there is one, and how the reference is read.

    Args:
        case: its name.
        prediction: label volume.
        reference: label volume.
        source: the dataset of the reference.
        image: what is labelled.
        patient: whose it is; None: what the name of the case tells.
    """

    case: str
    prediction: Path
    reference: Path
    source: Source
    image: Path | None = None
    patient: str | None = None


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
        judged = judged_cases(runs, split, data, Reading(options.orientation, options.nan), masks)
        for note in judged.notes:
            echo(note)
        cases = judged.cases
        directory = RunDirectory(run)
        tables, folder = directory.evaluation / split, directory.predictions / split
        if out is not None:
            tables, folder = out, out / "predictions"
        guard(run)
        if out is not None:
            require_apart({"--out": out}, {"--data": data} if data is not None else config.data.roots)
        predictor = load_predictor(run, options)
        jobs = case_jobs(cases, folder)
        scheme = load_scheme(config.data.scheme)
        settings = {"scheme": scheme.name, "split": split, "notes": list(judged.notes), **predictor.settings}
        if masks is not None:
            settings["masks"] = masks.to_dict()
        with _held(tables, own=out is not None), lock_folder(folder, "is predicting into it"):
            results = {r.source: r for r in predict_files(predictor, jobs, progress=progress, lock=False)}
            predicted = [(case, results[case.image]) for case in cases]
            pairs = [_pair(case, result.output, judged) for case, result in predicted if result.error is None]
            clean_ups = {case.name: result.note for case, result in predicted if result.note}
            failed = {case.name: result.error for case, result in predicted if result.error is not None}
            nothing = Summary((), scheme.names, tolerance, settings, clean_ups, failed, surfaces)
            summary = judge_pairs(pairs, scheme, nothing, tables, progress, predictor.reading)
            if out is None:
                outputs = [result.output for _, result in predicted if result.error is None]
                record_evaluation(
                    run, predictor, options, tables=tables, cases=cases, outputs=outputs, summary=summary, data=data
                )
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

    Raises:
        DataError: a reference has no prediction, or no pair can be compared.
        UsageError: the schemes have no structure in common.
        RunError: another process is evaluating into ``out``, or it holds files of others under our names.
    """
    source = alone(labels, scheme, masks)
    for note in source.notes():
        echo(note)
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
    pairs = [Pair(key, found, reference, source) for key, (found, reference) in matches.items() if found and reference]
    unmatched = [found.name for found, reference in matches.values() if found is not None and reference is None]
    if unmatched:
        echo(
            f"{len(unmatched)} predictions in {predictions} have no mask in {labels} and are not judged, "
            f"{unmatched[0]} for one"
        )
    if out is not None:
        require_apart({"--out": out}, {"--labels": labels})
    settings = {"scheme": scheme.name} | ({"notes": source.notes()} if source.notes() else {})
    nothing = Summary((), scheme.names, tolerance, settings, surfaces=surfaces)
    with _held(out, own=True) if out is not None else nullcontext():
        # Two masks are compared voxel by voxel: where their axes point to plays no part.
        return judge_pairs(pairs, scheme, nothing, out, progress, Reading("any"))


def _held(folder: Path, own: bool) -> AbstractContextManager[None]:
    """Keep others out of a folder for tables; one outside of a run must hold no files of others under our names."""
    what = "is evaluating into it"
    return own_folder(folder, "evaluation", what, _CONTENTS) if own else lock_folder(folder, what)


def _pair(case: Case, prediction: Path, judged: JudgedCases) -> Pair:
    assert case.label is not None
    source, patient = source_of(case, judged.sources), judged.patients.get(case.name)
    return Pair(case.name, prediction, case.label, source, case.image, patient)


def judge_pairs(
    pairs: Sequence[Pair],
    scheme: LabelScheme,
    nothing: Summary,
    out: Path | None,
    progress: Progress | None,
    reading: Reading,
) -> Summary:
    """Judge pairs; one that cannot be compared is listed in ``failed``.

    Args:
        pairs: of predictions and references; those with an image get a picture in ``out``.
        scheme: the values of the predictions.
        nothing: the summary without cases.
        out: where tables go; None writes nothing.
        progress: wraps the pairs.
        reading: how files are read.

    Raises:
        DataError: no pair can be compared.
    """
    results, columns, failed = [], [], dict(nothing.failed)
    for pair in progress(pairs) if progress is not None else pairs:
        try:
            result = _judge_pair(pair, scheme, nothing, out, reading)
            column = _column(pair, result, scheme)
            results.append(result)
            columns += [column] if column is not None else []
        except Exception as error:  # whatever is wrong with one case, the others are judged
            failed[pair.case] = reason(error, pair.prediction)
    if not results:
        raise DataError(f"no case can be judged: {next(iter(failed.values()))}")
    summary = replace(nothing, cases=tuple(results), failed=failed, columns=tuple(columns))
    if out is not None:
        write_tables(summary, out)
    return summary


def _column(pair: Pair, result: CaseResult, scheme: LabelScheme) -> ColumnResult | None:
    """Hold what is said of the levels beside a prediction against the reference; None where nothing is said."""
    described = read_levels(pair.prediction)
    if described is None:
        return None
    if not vouches_for(pair.prediction, LEVELS, levels_file(pair.prediction)):
        described = {**described, "column": {**described["column"], "verdict": "ask"}}  # it was accepted as another one
    patient = pair.patient if pair.patient is not None else patient_of(pair.case)
    return column_result(pair.case, patient, result.confusion, described, scheme)


def _judge_pair(pair: Pair, scheme: LabelScheme, how: Summary, out: Path | None, reading: Reading) -> CaseResult:
    reference, prediction = (read_label(path, reading) for path in (pair.reference, pair.prediction))
    result, indices = _compare(pair.case, prediction, reference, pair.source, how)
    if out is not None and pair.image is not None:
        image = read_image(pair.image, reading)
        truth, found = (aligned(replace(reference, array=array), image) for array in indices)
        write_picture(out / "pictures" / f"{pair.case}.png", image, truth, found, scheme, result.dice)
    return result


def evaluate_volumes(
    volumes: Sequence[tuple[str, Volume, Volume]],
    scheme: LabelScheme,
    tolerance: float = TOLERANCE,
    surfaces: Surfaces = "area",
    masks: LabelScheme | None = None,
) -> Summary:
    """Judge label volumes that are in memory.

    Args:
        volumes: the name of each case, its prediction and its reference.
        scheme: the values of the predictions, whose classes are judged.
        tolerance: of the normalised surface Dice, in mm.
        surfaces: what the surface measures count, see :func:`.distances.surface_distances`.
        masks: the values of the references, if they are others; classes that it does not have are left out.

    Raises:
        DataError: a pair cannot be compared.
        UsageError: the schemes have no structure in common.
    """
    source = alone(Path(), scheme, masks)
    nothing = Summary((), scheme.names, tolerance, {"scheme": scheme.name}, surfaces=surfaces)
    return replace(nothing, cases=tuple(_compare(*volume, source, nothing)[0] for volume in volumes))


def _compare(
    case: str, prediction: Volume, reference: Volume, source: Source, how: Summary
) -> tuple[CaseResult, tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Return the result, and the class indices of reference and prediction on the reference's grid."""
    prediction = replace(prediction, array=aligned(prediction, reference, "reference"))
    scheme = source.mapping.target
    indices = _indices(reference, source.indices), _indices(prediction, scheme.to_indices)
    spacing = tuple(float(n) for n in np.linalg.norm(reference.affine[:3, :3], axis=0))
    labelled = None if source.labels_all else source.labelled
    return evaluate_case(case, *indices, spacing, scheme, how.tolerance, how.surfaces, labelled), indices


def _indices(volume: Volume, read: Callable[[NDArray[Any]], NDArray[np.uint8]]) -> NDArray[np.uint8]:
    try:
        return read(volume.array)
    except DataError as error:
        raise DataError(f"{volume.path}: {error}") from error
