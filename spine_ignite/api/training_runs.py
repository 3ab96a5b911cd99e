"""Train, resume, and look for a learning rate, from Python."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any

from spine_ignite.config import load_config
from spine_ignite.config.load import Overrides, Source
from spine_ignite.crossval import cross_validate as folds
from spine_ignite.crossval.cross_validate import CrossValidation
from spine_ignite.machine.left_as_found import left_as_found
from spine_ignite.training import run
from spine_ignite.training.run import RunResult
from spine_ignite.tuning import lr_finder, start
from spine_ignite.tuning.lr_finder import RateCurve

Name = str | PathLike[str]
Echo = Callable[[str], None]


def silent(_line: str) -> None:
    """Take a line and say nothing."""


def train(
    config: Source = None,
    out: Name | None = None,
    *,
    overrides: Overrides = (),
    handlers: Any = (),
    force: bool = False,
    echo: Echo | None = print,
    progress: Callable[[Any], Any] | None = None,
    show_steps: bool = False,
) -> RunResult:
    """Train a network, and validate it as it learns.

    An interrupt (Ctrl-C, a notebook's stop button) in the main thread saves the step that it is at and returns.

    Args:
        config: a YAML file; a dict of sections, whose outermost keys may be dotted; or a configuration of
            :func:`load_config`. None: the defaults.
        out: the run directory; default ``runs/<date>_<model>``.
        overrides: changes to it: ``"train.epochs=2"``, a list of such, or a dict of dotted keys.
        handlers: one or a list: objects with ``attach(trainer)``, as Ignite's, or functions of
            ``(trainer, evaluator, run)``. What has ``state_dict`` and ``load_state_dict`` is in the run's checkpoints.
        force: replace a run in ``out``.
        echo: takes the lines that tell how it goes; None for silence.
        progress: wraps the cases that are preprocessed, to show how far that is (``tqdm``, say).
        show_steps: show a progress bar over the steps of each epoch.

    Raises:
        SpineIgniteError: the configuration, data, device, a handler or the directory cannot be used; nothing was lost.
        RunError: the loss is not finite, or a checkpoint cannot be written.
    """
    with left_as_found():
        return start.train(
            load_config(config, overrides, echo=echo),
            None if out is None else Path(out),
            force=force,
            echo=echo or silent,
            progress=progress,
            show_steps=show_steps,
            handlers=handlers,
        )


def resume(
    root: Name,
    overrides: Overrides = (),
    *,
    handlers: Any = (),
    echo: Echo | None = print,
    progress: Callable[[Any], Any] | None = None,
    show_steps: bool = False,
) -> RunResult:
    """Go on with a run from its last checkpoint, as if it had never stopped.

    Args:
        root: the run directory.
        overrides: what is to change, as to :func:`train`: where it runs, where its data lies, its length, its log.
        handlers: as to :func:`train`; those that remember something take it back from the checkpoint.
        echo: as to :func:`train`.
        progress: likewise.
        show_steps: likewise.

    Raises:
        UsageError: something else would change, or a value is wrong.
        RunError: there is no such run, it cannot be gone on with, or it has come to its end.
        DataError: an image or mask that it trains or validates on is gone, or another one than when it began.
    """
    with left_as_found():
        return run.resume(
            Path(root),
            overrides,
            echo=echo or silent,
            progress=progress,
            show_steps=show_steps,
            handlers=handlers,
        )


def cross_validate(
    config: Source,
    out: Name,
    *,
    overrides: Overrides = (),
    pictures: int = 10,
    echo: Echo | None = print,
    progress: Callable[[Any], Any] | None = None,
    show_steps: bool = False,
) -> CrossValidation:
    """Train a network for each fold of the patients, and judge each training case by the one that has not seen it.

    What is done already in ``out`` is left: called again after an interruption, it goes on where it was. ``predict``
    and ``evaluate`` take ``out`` for the mean of all folds.

    Args:
        config: as to :func:`train`; ``data.folds`` says how many.
        out: the directory; what lies where in it is said in docs/cross-validation.md.
        overrides: as to :func:`train`.
        pictures: of how many suspect cases pictures are drawn.
        echo: as to :func:`train`.
        progress: wraps what is done one by one, to show how far it is.
        show_steps: as to :func:`train`.

    Raises:
        UsageError: the configuration cannot be used, or is another one than it was begun with.
        DataError: the folds cannot be made, or an image or mask is gone or another one than when it began.
        RunError: ``out`` holds something else or is in use, or a fold cannot be trained.
    """
    with left_as_found():
        return folds.cross_validate(
            load_config(config, overrides, echo=echo),
            Path(out),
            pictures=pictures,
            echo=echo or silent,
            progress=progress,
            show_steps=show_steps,
        )


def find_learning_rate(
    config: Source = None,
    *,
    overrides: Overrides = (),
    start: float = 1e-7,
    end: float = 10.0,
    steps: int = 100,
    diverge: float = 5.0,
    echo: Echo | None = print,
    progress: Callable[[Any], Any] | None = None,
) -> RateCurve:
    """Train for some updates with a rate that rises, and suggest the one at which the loss falls fastest.

    Args:
        config: as to :func:`train`.
        overrides: likewise.
        start: the first rate.
        end: the last rate.
        steps: updates.
        diverge: stop when the loss is this many times its lowest.
        echo: as to :func:`train`.
        progress: likewise.

    Raises:
        RunError: the loss has not come down, so that there is nothing to suggest.
        SpineIgniteError: an argument, the configuration, data or device cannot be used.
    """
    with left_as_found():
        return lr_finder.find_learning_rate(
            load_config(config, overrides, echo=echo),
            start=start,
            end=end,
            steps=steps,
            diverge=diverge,
            echo=echo or silent,
            progress=progress,
        )
