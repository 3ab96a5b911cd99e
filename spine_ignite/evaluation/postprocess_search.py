"""Find the clean-up that helps: each step is tried on the validation cases and kept only where it raises Dice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spine_ignite.config import load_config
from spine_ignite.config.postprocess import steps, takes_classes
from spine_ignite.datasets.sources import Source, source_of
from spine_ignite.errors import DataError
from spine_ignite.evaluation.evaluation_entry import record_predictions
from spine_ignite.evaluation.judged_cases import judged_cases
from spine_ignite.evaluation.known_voxels import known_voxels
from spine_ignite.inference.exam_files import exams_of
from spine_ignite.inference.inputs import case_jobs
from spine_ignite.inference.options import InferenceOptions
from spine_ignite.inference.postprocess import clean
from spine_ignite.inference.postprocess.learned import Trial, write_learned
from spine_ignite.inference.predict_files import predict_files
from spine_ignite.inference.predictor import load_predictor
from spine_ignite.labels import LabelScheme, load_scheme
from spine_ignite.runs.directory import open_run_directory
from spine_ignite.runs.provenance import as_recorded
from spine_ignite.volumes.alignment import aligned
from spine_ignite.volumes.volume import STRICT, Reading, read_label, reading_of

Progress = Callable[[Any], Any]
Pairs = Sequence[tuple[Path, Path, Source]]
Dice = NDArray[np.float64]


def learn_postprocess(
    run: Path, *, checkpoint: str = "best", device: str = "auto", progress: Progress | None = None
) -> list[Trial]:
    """Find the steps that raise the mean 3D Dice of a run's validation cases, and write them into the run.

    As in nnU-Net, a step is kept only if it helps. Steps are tried one after the other in their order, each on top of
    those kept before it; ``components`` and ``holes`` are kept for the classes whose Dice they raise.

    Args:
        run: the run directory; its validation cases are predicted into ``predictions/validation``.
        checkpoint: ``best`` or ``last``.
        device: where to predict.
        progress: wraps what is done one by one.

    Raises:
        DataError: the run has no validation cases, or one cannot be used.
        RunError: another process trains or writes in the run.
    """
    directory = open_run_directory(run)
    with directory.lock("is looking for its clean-up"), as_recorded(directory):
        config = load_config(directory.config)
        judged = judged_cases([directory], "validation")
        cases = judged.cases
        jobs = case_jobs(cases, directory.predictions / "validation")
        options = InferenceOptions(checkpoints=(checkpoint,), postprocess=(), device=device).on(config.data)
        predictor = load_predictor(run, options)
        for result in predict_files(predictor, jobs, progress=progress, exams=exams_of(cases)):
            if result.error is not None:
                raise DataError(result.error)
        outputs = dict(jobs)
        pairs = [
            (outputs[case.image], case.label, source_of(case, judged.sources))
            for case in cases
            if case.label is not None
        ]
        trials = try_steps(pairs, load_scheme(config.data.scheme), progress, reading_of(config.data))
        write_learned(directory, trials, [case.name for case in cases])
        record_predictions(run, "postprocessing", predictor, cases, outputs.values(), [directory.postprocess])
    return trials


def try_steps(
    pairs: Pairs, scheme: LabelScheme, progress: Progress | None = None, reading: Reading = STRICT
) -> list[Trial]:
    """Try each step on predictions and their reference masks, given as pairs of files.

    Args:
        pairs: a prediction without clean-up, its reference, and the dataset of that, which says how it is read.
        scheme: the values of the predictions.
        progress: wraps the steps.
        reading: how the files are read.
    """
    kept: list[str] = []
    trials = []
    before = _dice(pairs, scheme, kept, reading)
    known = steps()
    for name in progress(list(known)) if progress is not None else known:
        step = name
        after = _dice(pairs, scheme, [*kept, step], reading)
        if takes_classes(known[name]):
            helped = [label for label, gain in zip(scheme.names[1:], after - before, strict=True) if gain > 0]
            step = f"{name}:{','.join(helped)}" if helped else name
            after = _dice(pairs, scheme, [*kept, step], reading) if helped else after
        trials.append(Trial(step, _mean(before), _mean(after), _mean(after) > _mean(before)))
        if trials[-1].kept:
            kept.append(step)
            before = after
    return trials


def _dice(pairs: Pairs, scheme: LabelScheme, steps: Sequence[str], reading: Reading) -> Dice:
    """Mean Dice over cases of each structure ``(C - 1,)``; NaN for one that is nowhere, or is not labelled."""
    rows = []
    for prediction, reference, source in pairs:
        volume = read_label(prediction, reading)
        found = clean(scheme.to_indices(volume.array), volume.affine, scheme, steps).indices
        truth = source.indices(aligned(read_label(reference, reading), volume))
        truth, found, _ = known_voxels(truth, found, source.labelled)
        sizes = [np.bincount(array.ravel(), minlength=scheme.num_classes) for array in (found, truth)]
        common = np.bincount(truth[truth == found], minlength=scheme.num_classes)
        with np.errstate(invalid="ignore"):
            rows.append((2 * common / (sizes[0] + sizes[1]))[1:])
    table = np.array(rows)
    counts = (~np.isnan(table)).sum(0)
    with np.errstate(invalid="ignore"):
        means: Dice = np.nansum(table, 0) / counts
    return means


def _mean(dice: Dice) -> float:
    return float(np.nanmean(dice)) if not np.isnan(dice).all() else float("nan")
