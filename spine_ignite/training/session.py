"""A run with all its handlers attached, ready to start; nothing has been written for it yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, cast

from ignite.engine import Engine
from ignite.handlers import ProgressBar

from spine_ignite.config import RunConfig
from spine_ignite.errors import RunError, RunOverError, SpineIgniteError
from spine_ignite.registry import load_registry
from spine_ignite.runs.description import Description
from spine_ignite.runs.resumption import repeat_command, resume_command
from spine_ignite.runs.weights import load_weights
from spine_ignite.training.budget import AgreedClock, Budget
from spine_ignite.training.finite import Soundness
from spine_ignite.training.given_handlers import attach_given
from spine_ignite.training.handlers.average import Average
from spine_ignite.training.handlers.clock import Clock
from spine_ignite.training.handlers.consensus import Consensus
from spine_ignite.training.handlers.early_stop import EarlyStop
from spine_ignite.training.handlers.ending import Ending
from spine_ignite.training.handlers.finite_guard import FiniteGuard
from spine_ignite.training.handlers.interruption import Interruption
from spine_ignite.training.handlers.keep_best import KeepBest
from spine_ignite.training.handlers.keep_last import KeepLast
from spine_ignite.training.handlers.recorder import Recorder
from spine_ignite.training.handlers.step_figures import StepFigures
from spine_ignite.training.handlers.validation import Validation
from spine_ignite.training.monitor import Monitor
from spine_ignite.training.schedule import LearningRateSchedule, rate
from spine_ignite.training.setup import Part, Run
from spine_ignite.training.trackers.choice import attach_named, core_trackers

Echo = Callable[[str], None]


class Handler(Protocol):
    """Something that acts on events of training; one that remembers is a :class:`Part` too."""

    def attach(self, trainer: Engine) -> None:
        """Connect to the trainer."""
        ...


@dataclass
class Session:
    """A run and the core's handlers.

    Args:
        run: the run.
        handlers: by name.
        resumed: whether a checkpoint was restored.
        begun_at: the steps that had been taken before.
    """

    run: Run
    handlers: dict[str, Handler]
    resumed: bool = False
    begun_at: int = 0

    @property
    def interruption(self) -> Interruption:
        """Knows whether a signal came."""
        return cast(Interruption, self.handlers["interruption"])

    @property
    def early_stop(self) -> EarlyStop:
        """Knows whether patience has run out."""
        return cast(EarlyStop, self.handlers["early_stop"])

    @property
    def keep_best(self) -> KeepBest:
        """Knows the score of ``best.pt``."""
        return cast(KeepBest, self.handlers["keep_best"])

    def restore(self, checkpoint: dict[str, Any], path: Path, echo: Echo) -> None:
        """Go back to where a checkpoint was saved.

        Raises:
            RunError: the checkpoint is of another network or damaged.
            RunOverError: the run has come to its end.
        """
        run = self.run
        saved = Description.from_state(checkpoint["description"], path)
        run.description.require_same(saved, path)
        if saved.images is not None:  # it knows what the network that it started from had seen
            run.description = replace(run.description, images=saved.images)
        load_weights(run.network, checkpoint["model"], path)
        try:
            for name, part in cast(KeepLast, self.handlers["keep_last"]).parts.items():
                # Of the doctor there is nothing if the run was not watched until now.
                if name not in ("model", "trainer") and (name in checkpoint or name != "doctor"):
                    part.load_state_dict(checkpoint[name])
            self._require_unfinished(int(checkpoint["trainer"]["iteration"]))
            run.trainer.load_state_dict({**checkpoint["trainer"], "max_epochs": run.budget.max_epochs})
            kept = dict(checkpoint["kept"])
        except (SpineIgniteError, MemoryError):
            raise
        except Exception as error:  # a received file may hold anything in any place
            reason = f"{error} is missing" if isinstance(error, KeyError) else " ".join(str(error).split())[:300]
            raise RunError(
                f"{path} cannot be resumed from: {reason}; start a new run with: {repeat_command(run.directory)}"
            ) from error
        steps = run.data.training.steps_per_epoch
        if run.trainer.state.epoch_length != steps:
            raise RunError(
                f"{path} cannot be resumed from: an epoch had {run.trainer.state.epoch_length} steps and has {steps} "
                "now; the training cases are not the same"
            )
        _restore_kept(run, kept, path, echo)
        self.resumed, self.begun_at = True, int(run.trainer.state.iteration)

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
        peak = cast(LearningRateSchedule, self.handlers["schedule"]).peaks[0]
        old, new = (peak * rate(run.config.schedule, budget.progress(step)) for budget in (before, run.budget))
        if abs(new - old) <= 0.01 * max(new, old):
            return None
        end = f"after {run.budget.limit / 60:g} minutes" if run.budget.limit else f"at epoch {run.budget.max_epochs}"
        return f"Schedule:  the learning rate goes from {old:.2e} to {new:.2e}, since the schedule now ends {end}"

    def close(self) -> None:
        """Close what is open."""
        for handler in self.handlers.values():
            if hasattr(handler, "close"):
                handler.close()

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
            count, label = self.early_stop.counter, self.early_stop.monitor.label
            why = f", {count} validations without a better {label}, where train.patience is {train.patience}"
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
    """Attach all handlers, those of plugins and of the caller too; what only tells, in the first process alone.

    Nothing is written or deleted here, so that a plugin that fails costs nothing: handlers that write open their files
    when training starts (``Events.STARTED``).

    Args:
        run: the run.
        echo: takes the lines that tell how it goes.
        show_steps: show a progress bar over the steps of each epoch.
        handlers: the caller's own, see :mod:`.given_handlers`.
    """
    core = core_handlers(run, echo)
    session = Session(run, core)
    for handler in core.values():
        handler.attach(run.trainer)
    if show_steps:
        ProgressBar(persist=False, desc="Training").attach(run.trainer)
    if run.processes.first:
        session.handlers.update(attach_named(run, echo))
    load_registry().attach_handlers(trainer=run.trainer, evaluator=run.evaluator, run=run)
    attach_given(handlers, run)
    require_known_monitor(run, handlers)
    return session


def require_known_monitor(run: Run, handlers: Sequence[Any] = ()) -> None:
    """Refuse a ``train.monitor`` that the run will not have, unless there is anybody who might record it.

    Args:
        run: the run.
        handlers: the caller's own.

    Raises:
        UsageError: it will not.
    """
    plugged = load_registry().plugin_manager.hook.attach_handlers.get_hookimpls()
    if not (handlers or plugged or run.config.log.trackers):  # who may record what nobody can know before
        further = [named.name.rpartition(":")[2] for named in run.config.train.metrics]
        Monitor(run.config.train, run.validates).require_known(further, run.scheme.names)


def core_handlers(run: Run, echo: Echo) -> dict[str, Handler]:
    """Return what the core attaches, by name; in which order it is attached makes no difference."""
    trainer, soundness = run.trainer, Soundness(run)
    monitor = Monitor(run.config.train, run.validates)
    handlers: dict[str, Handler] = {
        "schedule": LearningRateSchedule(
            run.optimizer, run.config.schedule, lambda: run.budget.begin_step(trainer.state.iteration - 1)
        ),
        "guard": FiniteGuard(soundness),
        "clock": Clock(run.budget),
        "interruption": Interruption(trainer, run.processes.alone),
        "validation": Validation(run),
        "figures": StepFigures(run),
        "recorder": Recorder(run, echo),
        "ending": Ending(run),
        "keep_best": KeepBest(run, monitor, echo),
        "early_stop": EarlyStop(run, monitor),
        **(core_trackers(run, echo) if run.processes.first else {}),
    }
    if isinstance(run.budget.clock, AgreedClock):
        wish = cast(Interruption, handlers["interruption"])
        handlers["consensus"] = Consensus(run.processes, run.budget.clock, wish)
    if run.ema is not None:
        handlers["ema"] = Average(run.ema)
    if run.config.log.doctor and run.processes.first:
        from spine_ignite.training.doctor import Doctor

        handlers["doctor"] = Doctor(run, echo)
    parts: dict[str, Part] = {
        "model": run.network,
        "optimizer": run.optimizer,
        "loss": run.step.criterion,
        "scaler": run.step.scaler,
        "trainer": trainer,
        "budget": run.budget,
    }
    parts |= {name: handler for name, handler in handlers.items() if isinstance(handler, Part)}
    return {**handlers, "keep_last": KeepLast(run, parts, soundness)}
