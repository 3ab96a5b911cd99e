"""Predictions of the training cases, each by the network of the fold that has held it out, and what they are worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spine_ignite.crossval.folds_plan import Plan, Progress
from spine_ignite.datasets.cases import Case
from spine_ignite.datasets.folds import read_folds
from spine_ignite.datasets.patients import listed
from spine_ignite.datasets.sources import Source, find_configured, source_of, sources_of
from spine_ignite.errors import DataError
from spine_ignite.evaluation.pairs import Pair, judge_pairs
from spine_ignite.evaluation.tables import Summary
from spine_ignite.inference.exam_files import NO_EXAMS, Exams, exams_of
from spine_ignite.inference.inputs import case_jobs
from spine_ignite.inference.options import InferenceOptions
from spine_ignite.inference.predict_files import Prediction, predict_files
from spine_ignite.inference.predictor import load_predictor
from spine_ignite.labels import LabelScheme, load_scheme
from spine_ignite.runs.folds_directory import FoldsDirectory
from spine_ignite.volumes.contrasts import contrasts_sha256
from spine_ignite.volumes.digests import file_sha256
from spine_ignite.volumes.volume import Reading, reading_of


@dataclass(frozen=True)
class Predictions:
    """What the folds predict of the cases that they held out.

    Args:
        cases: the training cases, by name.
        results: what became of each, by name.
        settings: how they were made, for the record.
    """

    cases: dict[str, Case]
    results: dict[str, Prediction]
    settings: dict[str, Any]

    @property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of each label volume that was made, by the name of its case."""
        return {name: file_sha256(result.output) for name, result in self.results.items() if result.error is None}


def predict_out_of_fold(plan: Plan, progress: Progress | None = None) -> Predictions:
    """Predict every training case by the network that has not seen its patient; what is there already is left.

    The clean-up is the configured one: a fold's own, which ``spine-ignite postprocess`` looks for on the very cases
    that it held out, would flatter them.

    Raises:
        RunError: a network cannot be used, or another process predicts into the folder.
    """
    config, directory = plan.config, plan.directory
    recorded = {case.name for case in plan.folds.cases}
    cases = {case.name: case for case in find_configured(config.data).cases if case.name in recorded}
    options = InferenceOptions(postprocess=config.predict.postprocess, device=config.device).on(config.data)
    found: dict[str, Prediction] = {}
    members: list[dict[str, Any]] = []
    settings: dict[str, Any] = {}
    for number, fold in enumerate(plan.folds.folds):
        predictor = load_predictor(directory.fold(number).root, options)
        predictor.calibration = None  # which is made of these very columns
        held_out = [cases[name] for name in fold.val]
        jobs, exams = case_jobs(held_out, directory.out_of_fold), exams_of(held_out)
        first = predict_files(predictor, jobs, skip_existing=True, progress=progress, exams=exams)
        results = {r.source: r for r in first}
        # What cannot be left as it is was made in another way: as this says, it is made again.
        again = [(source, output) for source, output in jobs if results[source].error is not None]
        results |= {r.source: r for r in predict_files(predictor, again, exams=exams)}
        found |= {name: results[cases[name].image] for name in fold.val}
        settings = predictor.settings
        members += settings["members"]
    return Predictions(cases, found, {**settings, "members": members})


def judge_out_of_fold(plan: Plan, predictions: Predictions, progress: Progress | None = None) -> Summary:
    """Judge all training cases together, and write the tables of that.

    Raises:
        DataError: none can be judged.
    """
    scheme, cases = scheme_of(plan), predictions.cases
    results = {name: predictions.results[name] for name in cases}
    failed = {name: result.error for name, result in results.items() if result.error is not None}
    patients = {case.name: case.patient for case in plan.folds.cases}
    pairs = [
        Pair(name, result.output, mask_of(cases[name]), mask_source(plan, cases[name]), patient=patients[name])
        for name, result in results.items()
        if result.error is None
    ]
    settings = {"scheme": scheme.name, "split": "out-of-fold", "folds": len(plan.folds.folds), **predictions.settings}
    clean_ups = {name: result.note for name, result in results.items() if result.note}
    nothing = Summary((), scheme.names, settings=settings, clean_ups=clean_ups, failed=failed)
    return judge_pairs(pairs, scheme, nothing, plan.directory.tables, progress, how_read(plan))


def seen_cases(root: Path, images: Sequence[Path], exams: Exams = NO_EXAMS) -> str | None:
    """Say which of some images are training cases of a cross-validation; None if none is, or ``root`` is another thing.

    Args:
        root: its directory.
        images: files that are predicted by all folds together.
        exams: of which further contrasts are images.
    """
    directory = FoldsDirectory(root)
    if not directory.exists:
        return None
    known = {case.image: case.name for case in read_folds(directory.splits).cases}
    hashes = [contrasts_sha256(image, exams.get(image, {})) for image in images if image.is_file()]
    names = [known[sha256] for sha256 in hashes if sha256 in known]
    if not names:
        return None
    return (
        f"networks of {root} were trained on {listed(names)}, so that these labels say nothing of how well they do; "
        f"those of the network that has not seen them are in {directory.out_of_fold}"
    )


def scheme_of(plan: Plan) -> LabelScheme:
    """The label scheme."""
    return load_scheme(plan.config.data.scheme)


def how_read(plan: Plan) -> Reading:
    """How the files of the dataset are read."""
    return reading_of(plan.config.data)


def mask_source(plan: Plan, case: Case) -> Source:
    """The dataset of a case, which says how its mask is read."""
    return source_of(case, sources_of(plan.config.data))


def mask_of(case: Case) -> Path:
    """The mask of a training case.

    Raises:
        DataError: it has none by now.
    """
    if case.label is None:
        raise DataError(f"case {case.name} has no mask any more; restore it")
    return case.label
