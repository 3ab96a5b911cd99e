"""Train all folds, predict each case by the network that has not seen its patient, and judge the whole."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spine_ignite.config import RunConfig
from spine_ignite.crossval.calibrate import calibrate, told
from spine_ignite.crossval.cross_validation_entry import record_cross_validation
from spine_ignite.crossval.folds_at_once import train_at_once
from spine_ignite.crossval.folds_plan import (
    Echo,
    Plan,
    Progress,
    make_plan,
    open_plan,
    plan_cross_validation,
    require_alike,
)
from spine_ignite.crossval.out_of_fold import judge_out_of_fold, predict_out_of_fold
from spine_ignite.crossval.result import FoldResult, fold_results, read_result, write_result
from spine_ignite.crossval.suspect_pictures import show_suspects
from spine_ignite.crossval.suspect_table import Suspect, find_suspects, read_suspects, write_suspects
from spine_ignite.errors import UsageError
from spine_ignite.evaluation.tables import Summary
from spine_ignite.ownership import own_folder
from spine_ignite.runs.folds_directory import cross_validate_command
from spine_ignite.tuning.start import train_or_resume

PICTURES = 10


@dataclass(frozen=True)
class CrossValidation:
    """How a cross-validation ended.

    Args:
        directory: where it lies.
        folds: how many there are.
        trained: how many of them have come to their end.
        summary: the out-of-fold result over all training cases; None if it was interrupted.
        per_fold: means of each fold.
        suspects: the training cases, those first whose masks are to be looked at.
        signal: the signal that interrupted it, or None.
    """

    directory: Path
    folds: int
    trained: int
    summary: Summary | None = None
    per_fold: tuple[FoldResult, ...] = ()
    suspects: tuple[Suspect, ...] = ()
    signal: int | None = None

    @property
    def exit_code(self) -> int:
        """0, 1 if a case could not be judged, 130 after Ctrl-C, 143 after SIGTERM."""
        if self.signal is not None:
            return 128 + self.signal
        return 1 if self.summary is not None and self.summary.failed else 0


def cross_validate(
    config: RunConfig,
    out: Path,
    *,
    pictures: int = PICTURES,
    echo: Echo = print,
    progress: Progress | None = None,
    show_steps: bool = False,
    at_once: int = 1,
    devices: Sequence[str] | None = None,
) -> CrossValidation:
    """Train every fold, and judge every training case by the network that has not seen its patient.

    What is done already in ``out`` is left: called again after an interruption, a kill or a power cut, it goes on where
    it was, and ends with the files that an uninterrupted one has.

    Args:
        config: of all folds; ``data.folds`` is how many there are, unless ``data.split`` lists several splits.
        out: the directory; what lies where in it is said in docs/cross-validation.md.
        pictures: of how many suspect cases pictures are drawn.
        echo: takes the lines that tell how it goes.
        progress: wraps what is done one by one, to show how far it is.
        show_steps: show a progress bar over the steps of each epoch.
        at_once: how many folds are trained at once; with more than one, each by a process of its own.
        devices: GPUs that these are given, one each; default: those that are there.

    Raises:
        UsageError: the configuration cannot be used, or is another one than it was begun with.
        DataError: the folds cannot be made, or an image or mask is gone or another one than when it began.
        RunError: ``out`` holds something else or is in use, or a fold cannot be trained.
    """
    directory = plan_cross_validation(config, Path(out))
    with own_folder(directory.root, "cross-validation", "is cross-validating in it"):
        plan = make_plan(directory, config, progress, echo)
        trained = directory.trained_folds()
        plan.write()
        for number in trained:
            require_alike(plan, number)
        left = [number for number in range(len(plan.folds.folds)) if number not in trained]
        if at_once > 1:
            stopped = train_at_once(plan, left, at_once, devices, echo)
        else:
            stopped = _train_in_turn(plan, left, echo, progress, show_steps)
        if stopped is not None:
            echo(f"Go on with all folds: {cross_validate_command(directory.root)}")
            count = len(directory.trained_folds())
            return CrossValidation(directory.root, len(plan.folds.folds), count, signal=stopped)
        return _conclude(plan, pictures, progress, echo)


def train_fold(
    root: Path,
    number: int,
    *,
    echo: Echo = print,
    progress: Progress | None = None,
    show_steps: bool = False,
) -> int | None:
    """Train one fold of a cross-validation that was begun, or go on with it, beside whoever trains others.

    Returns:
        The signal that stopped it before its end, or None.

    Raises:
        UsageError: there is no such fold.
        RunError: ``root`` is no cross-validation, or another process trains this fold.
    """
    plan = open_plan(root)
    count = len(plan.folds.folds)
    if number >= count:
        raise UsageError(f"{root} has no fold {number}: its folds are numbered 0 to {count - 1}")
    return _train_fold(plan, number, echo, progress, show_steps)


def _train_in_turn(
    plan: Plan, numbers: Sequence[int], echo: Echo, progress: Progress | None, show_steps: bool
) -> int | None:
    """Train folds one after the other; return the signal that stopped them."""
    count = len(plan.folds.folds)
    for number in numbers:
        echo(f"Fold {number} ({number + 1} of {count}): {plan.directory.fold(number).root}")
        stopped = _train_fold(plan, number, echo, progress, show_steps)
        if stopped is not None:
            return stopped
        plan.directory.add_trained(number)
        gc.collect()  # of a network there are circles, and its memory is needed for the next
    return None


def _train_fold(
    plan: Plan, number: int, echo: Echo, progress: Callable[[Any], Any] | None, show_steps: bool
) -> int | None:
    """Train a fold from its start, or go on with it; return the signal that stopped it before its end."""
    run, changes = plan.directory.fold(number), None
    if run.config.is_file():
        require_alike(plan, number)
        changes = plan.changes_of(number)
    result = train_or_resume(plan.of_fold(number), run, changes, echo=echo, progress=progress, show_steps=show_steps)
    return None if result is None else result.signal


def _conclude(plan: Plan, pictures: int, progress: Progress | None, echo: Echo) -> CrossValidation:
    """Predict, judge and rank, unless that is done and nothing has changed since."""
    directory, count = plan.directory, len(plan.folds.folds)
    predictions = predict_out_of_fold(plan, progress)
    summary = read_result(directory, predictions.hashes, pictures)
    if summary is not None:
        suspects = read_suspects(directory)
    else:
        echo(f"Judging {len(plan.folds.cases)} cases, each by the network that has not seen its patient")
        directory.result.unlink(missing_ok=True)
        summary = judge_out_of_fold(plan, predictions, progress)
        suspects = find_suspects(summary, plan, predictions)
        write_suspects(directory, suspects)
        show_suspects(plan, predictions, suspects, pictures, progress)
        directory.calibration.unlink(missing_ok=True)
        calibrate(plan, predictions, summary)
        write_result(directory, summary, fold_results(summary, plan.folds), predictions.hashes, pictures)
    calibration = calibrate(plan, predictions, summary)
    for line in told(calibration, plan.config.predict.risk) if calibration is not None else ():
        echo(line)
    echo(f"Manifest:  {record_cross_validation(plan, predictions, summary)}")
    per_fold = fold_results(summary, plan.folds)
    return CrossValidation(directory.root, count, count, summary, per_fold, suspects)
