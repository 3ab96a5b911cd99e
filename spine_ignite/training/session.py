"""A run with all its handlers attached, ready to start; nothing has been written for it yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ignite.engine import Events
from ignite.handlers import ProgressBar

from spine_ignite.config import RunConfig
from spine_ignite.errors import RunError, RunOverError
from spine_ignite.registry import load_registry
from spine_ignite.runs.description import Description
from spine_ignite.runs.resumption import resume_command
from spine_ignite.runs.weights import load_weights
from spine_ignite.training.budget import Budget
from spine_ignite.training.given_handlers import attach_given
from spine_ignite.training.handlers.average import attach_average
from spine_ignite.training.handlers.clock import Clock
from spine_ignite.training.handlers.early_stop import EarlyStop
from spine_ignite.training.handlers.epoch_end import EpochEnd
from spine_ignite.training.handlers.finite_guard import FiniteGuard
from spine_ignite.training.handlers.interruption import Interruption
from spine_ignite.training.handlers.keep_best import KeepBest
from spine_ignite.training.handlers.keep_last import KeepLast
from spine_ignite.training.handlers.recorder import EpochRecord
from spine_ignite.training.schedule import LearningRateSchedule, rate
from spine_ignite.training.setup import Part, Run
from spine_ignite.training.trackers.of_plugins import attach_tracker

if TYPE_CHECKING:
    from spine_ignite.training.trackers.tensorboard import Board

Echo = Callable[[str], None]


@dataclass
class Session:
    """A run and its handlers.

    Args:
        run: the run.
        schedule: sets the learning rate.
        guard: refuses what is not finite.
        interruption: knows whether a signal came.
        early_stop: knows whether patience has run out.
        keep_best: writes ``best.pt``.
        keep_last: writes ``last.pt``, and knows what of it is restored.
        board: TensorBoard's, which opens its file when training starts; None without one.
        resumed: whether a checkpoint was restored.
    """

    run: Run
    schedule: LearningRateSchedule
    guard: FiniteGuard
    interruption: Interruption
    early_stop: EarlyStop
    keep_best: KeepBest
    keep_last: KeepLast
    board: Board | None = None
    resumed: bool = False

    def restore(self, checkpoint: dict[str, Any], path: Path, echo: Echo) -> None:
        """Go back to where a checkpoint was saved.

        Raises:
            RunError: the checkpoint is of another network or damaged.
            RunOverError: the run has come to its end.
        """
        run = self.run
        run.description.require_same(Description.from_state(checkpoint["description"], path), path)
        load_weights(run.network, checkpoint["model"], path)
        try:
            for name, part in self.keep_last.parts.items():
                # Of the doctor there is nothing if the run was not watched until now.
                if name not in ("model", "trainer") and (name in checkpoint or name != "vitals"):
                    part.load_state_dict(checkpoint[name])
            self._require_unfinished(int(checkpoint["trainer"]["iteration"]))
            run.trainer.load_state_dict({**checkpoint["trainer"], "max_epochs": run.budget.max_epochs})
            kept = dict(checkpoint["kept"])
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
            reason = f"{error} is missing" if isinstance(error, KeyError) else " ".join(str(error).split())[:300]
            raise RunError(f"{path} cannot be resumed from: {reason}") from error
        steps = run.data.training.steps_per_epoch
        if run.trainer.state.epoch_length != steps:
            raise RunError(
                f"{path} cannot be resumed from: an epoch had {run.trainer.state.epoch_length} steps and has {steps} "
                "now; the training cases are not the same"
            )
        _restore_kept(run, kept, path, echo)
        self.resumed = True

    def jump(self, trained: RunConfig) -> str | None:
        """Say how the learning rate changes if the run is longer or shorter than it was to be; None if it is not.

        Args:
            trained: the configuration of the run so far.
        """
        run, step = self.run, self.run.trainer.state.iteration
        if (trained.train.epochs, trained.train.minutes) == (run.config.train.epochs, run.config.train.minutes):
            return None
        before = Budget(trained.train, run.data.training.steps_per_epoch)
        before.load_state_dict(run.budget.state_dict())
        old, new = (
            peak * rate(run.config.schedule, budget.progress(step))
            for peak, budget in ((self.schedule.peaks[0], before), (self.schedule.peaks[0], run.budget))
        )
        if abs(new - old) <= 0.01 * max(new, old):
            return None
        end = f"after {run.budget.limit / 60:g} minutes" if run.budget.limit else f"at epoch {run.budget.max_epochs}"
        return f"Schedule:  the learning rate goes from {old:.2e} to {new:.2e}, since the schedule now ends {end}"

    def close(self) -> None:
        """Close what is open."""
        if self.board is not None:
            self.board.close()

    def _require_unfinished(self, step: int) -> None:
        """Refuse a run that has come to its end, with the command that makes it longer."""
        budget, train = self.run.budget, self.run.config.train
        epochs = step // self.run.data.training.steps_per_epoch
        longer, why = None, ""
        if budget.limit is not None and budget.is_spent():
            longer = f"train.minutes={2 * budget.limit / 60:g}"
        elif step >= budget.total_steps:
            longer = f"train.epochs={2 * epochs}"
        elif self.early_stop.is_over:
            count = self.early_stop.counter
            why = f", {count} validations without a better Dice, where train.patience is {train.patience}"
            longer = f"train.patience={2 * count}"
        if longer is not None:
            root = self.run.directory.root
            raise RunOverError(
                f"{root} has come to its end ({epochs} epochs, {budget.seconds / 60:.1f} minutes{why}); train on with: "
                f"{resume_command(root, longer)}"
            )


def _restore_kept(run: Run, states: dict[str, Any], path: Path, echo: Echo) -> None:
    """Give the parts that plugins keep their states back."""
    for name, part in run.kept.items():
        if name not in states:
            echo(f"Warning:   {path} has no state of '{name}', which a plugin keeps: it begins anew")
            continue
        try:
            part.load_state_dict(states[name])
        except Exception as error:
            reason = " ".join(str(error).split())[:300]
            raise RunError(f"the state of '{name}' in {path} is refused by its plugin: {reason}") from error
    for name in states.keys() - run.kept.keys():
        echo(f"Warning:   {path} has the state of '{name}', which no installed plugin keeps: it is dropped")


def attach(run: Run, echo: Echo, show_steps: bool, handlers: Sequence[Any] = ()) -> Session:
    """Attach all handlers, those of plugins and of the caller last.

    Nothing is written or deleted here, so that a plugin that fails costs nothing: handlers that write open their files
    when training starts (``Events.STARTED``).
    """
    trainer, accumulate = run.trainer, run.config.train.accumulate
    schedule = LearningRateSchedule(
        run.optimizer, run.config.schedule, lambda: run.budget.progress(trainer.state.iteration - 1)
    )
    guard = FiniteGuard(run)
    interruption = Interruption(accumulate)
    record = EpochRecord(run)
    early_stop = EarlyStop(run.config.train.patience)
    keep_best = KeepBest(run, echo)
    epoch_end = EpochEnd(run, guard, interruption, echo)
    parts: dict[str, Part] = {
        "model": run.network,
        "optimizer": run.optimizer,
        "loss": run.step.criterion,
        "scaler": run.step.scaler,
        "trainer": trainer,
        "budget": run.budget,
        "record": record,
        "early_stop": early_stop,
    }
    if run.ema is not None:
        parts["ema"] = run.ema.ema_model
        attach_average(run.ema, trainer, accumulate)
    keep_last = KeepLast(run, parts, guard)
    session = Session(run, schedule, guard, interruption, early_stop, keep_best, keep_last)
    trainer.add_event_handler(Events.ITERATION_STARTED, schedule)
    epoch_end.summaries.append(record.summary)
    for handler in (record, guard, Clock(run.budget, accumulate), keep_best, early_stop):
        handler.attach(trainer)
    if show_steps:
        ProgressBar(persist=False, desc="Training").attach(trainer)
    _attach_watchers(session, epoch_end, echo)
    epoch_end.attach(trainer)
    load_registry().attach_handlers(trainer=trainer, evaluator=run.evaluator, run=run)
    attach_given(handlers, run)
    # After plugins, whose handlers of the same event come first: what they count is in the checkpoint.
    keep_last.attach(trainer)
    epoch_end.attach_saving(trainer)
    interruption.attach(trainer)
    return session


def _attach_watchers(session: Session, epoch_end: EpochEnd, echo: Echo) -> None:
    run = session.run
    if run.config.log.doctor:
        from spine_ignite.training.doctor import attach_doctor

        session.keep_last.parts["vitals"] = attach_doctor(run, epoch_end, echo).vitals
    if run.config.log.tensorboard:
        from spine_ignite.training.trackers.tensorboard import attach_tensorboard

        session.board = attach_tensorboard(run, epoch_end, echo)
    for named in run.config.log.trackers:
        attach_tracker(run, echo, named)
    if run.config.log.volumes_every:
        from spine_ignite.training.trackers.tensorboard import attach_volumes

        attach_volumes(run)
