"""The one function that trains: a new run, or the rest of one."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from spine_ignite.config import RunConfig, dump_config
from spine_ignite.config.load import Overrides
from spine_ignite.files import write_text
from spine_ignite.inference.records import is_made_by_hand
from spine_ignite.machine.processes import Processes, advise, several_processes
from spine_ignite.machine.workers import workers_end_with_us
from spine_ignite.runs.checkpoints import read_newest
from spine_ignite.runs.contrast_record import contrasts_of
from spine_ignite.runs.directory import (
    RunDirectory,
    describe_environment,
    open_run_directory,
    plan_run_directory,
    read_rows,
)
from spine_ignite.runs.manifest_entries import record_training, shares_sha256
from spine_ignite.runs.provenance import as_recorded, changed_versions, origins_of
from spine_ignite.runs.resumption import (
    configuration_of,
    forget_later_epochs,
    needs_rewriting,
    require_no_results,
    resume_command,
)
from spine_ignite.training.faults import faults_explained
from spine_ignite.training.introduction import introduction
from spine_ignite.training.overfit import LEARNT, verdict
from spine_ignite.training.prepare import Plan, prepare, reopen
from spine_ignite.training.session import Session, attach
from spine_ignite.training.setup import Run, build

if TYPE_CHECKING:
    from spine_ignite.drawing.shown_figure import ShownFigure

Echo = Callable[[str], None]


def _silent(_line: str) -> None:
    """Say nothing: the first process speaks."""


@dataclass(frozen=True)
class RunResult:
    """How a run ended.

    Args:
        directory: the run directory.
        epochs: epochs completed, over all parts of a resumed run.
        iterations: steps taken, likewise.
        best_dice: mean validation Dice of the best network, or None without validation.
        signal: the signal that interrupted it, or None.
        overfit_passed: whether an overfit check passed; None if the run was none, or was interrupted.
    """

    directory: Path
    epochs: int
    iterations: int
    best_dice: float | None
    signal: int | None = None
    overfit_passed: bool | None = None

    @property
    def exit_code(self) -> int:
        """0, 130 after Ctrl-C, 143 after SIGTERM."""
        return 0 if self.signal is None else 128 + self.signal

    def __fspath__(self) -> str:
        """Return the run directory, so that a result can stand for its run: ``predict(result, …)``."""
        return str(self.directory)

    @property
    def history(self) -> list[dict[str, Any]]:
        """What was recorded of each epoch, the first first: the rows of ``metrics.jsonl``, as they are now."""
        return list(read_rows(RunDirectory(self.directory).metrics))

    def plot(self) -> ShownFigure:
        """Return a figure of the loss and of the validation Dice over the epochs; pyplot has no part in it."""
        from spine_ignite.runs.history_plot import plot_history

        return plot_history(self.history, self.directory.name)


def train(
    config: RunConfig,
    out: Path | None = None,
    *,
    force: bool = False,
    echo: Echo = print,
    progress: Callable[[Any], Any] | None = None,
    show_steps: bool = False,
    find_batch_size: Callable[[RunConfig], RunConfig] | None = None,
    handlers: Sequence[Any] = (),
) -> RunResult:
    """Train a network from its first step.

    Args:
        config: everything that defines the run.
        out: the run directory; default ``runs/<date>_<model>``.
        force: replace a run in ``out``.
        echo: takes the lines that tell how it goes.
        progress: wraps the cases that are preprocessed, to show how far that is.
        show_steps: show a progress bar over the steps of each epoch.
        find_batch_size: gives ``data.batch_size: auto`` a number; without it auto is refused.
        handlers: what is attached besides, see :mod:`.given_handlers`.

    Raises:
        SpineIgniteError: the configuration, data, device or directory cannot be used; nothing was started.
        RunError: the loss is not finite, a checkpoint cannot be written, or processes were given two configurations.
    """
    with several_processes() as processes:
        if not processes.first:
            echo, progress, show_steps = _silent, None, False
        processes.require_same(dump_config(config), "configuration")
        root = plan_run_directory(config, out, force).root if processes.first else None
        directory = RunDirectory(processes.of_first(root) or Path())
        with processes.first_before_others():
            sought = find_batch_size if processes.alone else None
            plan = prepare(config, directory, progress=progress, find_batch_size=sought, processes=processes)
        run = build(plan, processes)  # a mistake must not leave a run directory behind
        with directory.own() if processes.first else nullcontext():
            if processes.first:  # another run may have come and gone meanwhile
                plan_run_directory(plan.config, directory.root, force)
            session = attach(run, echo, show_steps, handlers)
            if processes.first:  # only now: what fails before, a plugin's hook say, must not cost the former run
                _begin(plan, run, echo)
            processes.wait()
            return _run(session, echo)


def resume(
    root: Path,
    overrides: Overrides = (),
    *,
    given: Mapping[str, Any] | None = None,
    echo: Echo = print,
    progress: Callable[[Any], Any] | None = None,
    show_steps: bool = False,
    handlers: Sequence[Any] = (),
) -> RunResult:
    """Go on with the run in ``root`` from its last checkpoint, as if it had never stopped.

    Args:
        root: the run directory; its ``config.yaml`` may have been edited where :data:`.resumption.MAY_CHANGE` allows.
        overrides: further such changes, ``a.b=c``; ``config.yaml`` holds them once the checkpoint has been restored.
        given: values by dotted key, likewise; those that are None count as not given.
        echo: takes the lines that tell how it goes.
        progress: wraps the cases that are preprocessed, to show how far that is.
        show_steps: show a progress bar over the steps of each epoch.
        handlers: what is attached besides, see :mod:`.given_handlers`; as to :func:`train`, if they remember something.

    Raises:
        UsageError: something else would change, or a value is wrong.
        RunError: there is no such run, it cannot be gone on with, or it has come to its end.
        DataError: an image or mask that it trains or validates on is gone, or another one than when it began.
    """
    with several_processes() as processes:
        if not processes.first:
            echo, progress, show_steps = _silent, None, False
        return _resume(root, processes, overrides, given, echo, progress, show_steps, handlers)


def _resume(
    root: Path,
    processes: Processes,
    overrides: Overrides,
    given: Mapping[str, Any] | None,
    echo: Echo,
    progress: Callable[[Any], Any] | None,
    show_steps: bool,
    handlers: Sequence[Any],
) -> RunResult:
    directory = open_run_directory(root)
    with directory.lock() if processes.first else nullcontext(), as_recorded(directory):
        for sentence in changed_versions(directory):
            echo(f"Warning:   {sentence}")
        newest = read_newest((directory.last, directory.previous), echo)
        if newest is None:
            require_no_results(directory)
        trained = configuration_of(newest, directory)
        with processes.first_before_others():
            begun = newest is not None
            plan = reopen(directory, trained, overrides, given, progress, begun=begun, processes=processes)
        session = attach(build(plan, processes), echo, show_steps, handlers)  # before what plugins keep is restored
        if newest is not None:
            session.restore(*newest, echo)
        processes.wait()
        if processes.first:
            if needs_rewriting(directory, plan.config):  # only now: what is refused changes nothing
                write_text(directory.config, dump_config(plan.config))
            forget_later_epochs(directory, session.run.trainer.state.iteration // plan.data.training.steps_per_epoch)
        processes.wait()
        return _run(session, echo, session.jump(trained))


def _begin(plan: Plan, run: Run, echo: Echo) -> None:
    """Delete the former run, and write what makes this one a run."""
    directory = plan.directory
    stays = directory.clear(is_made_by_hand)
    if stays:
        echo(f"Note:      {len(stays)} files that are no run's stay in {directory.root}, {stays[0]} for one")
    write_text(directory.split, plan.data.split.to_json())  # first: config.yaml, which refers to it, makes it a run
    if run.start is not None:
        write_text(directory.start, run.start.to_json())
    write_text(directory.config, dump_config(plan.config))
    origins = origins_of(plan.config, plan.data.images)
    environment = describe_environment(
        str(run.device),
        run.precision.name,
        plan.data.store.fingerprint,
        run.description.plugin,
        origins,
        run.processes.count,
        contrasts_of(plan.config.data),
    )
    write_text(directory.environment, environment)


def _run(session: Session, echo: Echo, jump: str | None = None) -> RunResult:
    run = session.run
    advise(f"go on with: {resume_command(run.directory.root)}")
    _have_the_same(run)
    run.data.training.start_at(run.trainer.state.iteration)
    for line in (*introduction(run, session.resumed), *([jump] if jump else [])):
        echo(line)
    with ExitStack() as stack:
        stack.callback(session.close)
        stack.enter_context(session.interruption.listen())
        stack.enter_context(workers_end_with_us())
        with faults_explained(run):
            steps = run.data.training.steps_per_epoch
            run.trainer.run(run.data.training.loader, max_epochs=run.budget.max_epochs, epoch_length=steps)
        return _conclude(session, echo)


def _have_the_same(run: Run) -> None:
    """Let all processes start from the same weights: machines may differ in the last digits of those that they draw."""
    if run.processes.alone:
        return
    states = [network.state_dict() for network in (run.network, run.judged, run.step.criterion)]
    run.processes.copy_first([t.detach() for state in states for t in state.values() if isinstance(t, Tensor)])


def _conclude(session: Session, echo: Echo) -> RunResult:
    """Tell how the run ended."""
    run, interruption, early_stop = session.run, session.interruption, session.early_stop
    state = run.trainer.state
    if interruption.signal is not None:
        name = signal.Signals(interruption.signal).name
        echo(f"Stopped by {name} after step {state.iteration}")
        if state.iteration < run.budget.total_steps:
            echo(f"Go on with: {resume_command(run.directory.root)}")
    elif early_stop.is_over:
        echo(f"Stopped early: in {early_stop.counter} validations the {early_stop.monitor.label} did not become better")
    best, label = session.keep_best, early_stop.monitor.label
    dice = None if best.dice is None or math.isnan(best.dice) else best.dice
    passed = None
    if best.score is not None:
        echo(f"Best {'validation Dice' if label == 'Dice' else label} {best.score:.4f}: {run.directory.best}")
    if dice is not None and run.config.train.overfit_batches and interruption.signal is None:
        passed = dice >= LEARNT
        echo(verdict(run.config.train.overfit_batches, dice))
    if run.processes.first:
        echo(f"Manifest:  {_record(session)}")
    return RunResult(run.directory.root, state.epoch, state.iteration, dice, interruption.signal, passed)


def _record(session: Session) -> str:
    """Add what this process has trained to the run's manifest, and return the head."""
    run, state = session.run, session.run.trainer.state
    return record_training(
        run.directory,
        device=run.device,
        precision=run.precision.name,
        network=run.network,
        distributions=origins_of(run.config, run.data.images).values(),
        settings={
            "ended": session.interruption.signal is None,
            "epochs": state.epoch,
            "steps": state.iteration,
            "from_step": session.begun_at,
            "processes": run.processes.count,
            "progress": shares_sha256(run.budget.shares),
        },
    )
