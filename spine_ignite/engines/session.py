"""A run with all its handlers attached, ready to start; nothing has been written for it yet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ignite.engine import Events
from ignite.handlers import Checkpoint

from spine_ignite.engines import handlers
from spine_ignite.engines.description import Description
from spine_ignite.engines.run_directory import truncate_metrics
from spine_ignite.engines.setup import Run
from spine_ignite.engines.weights import load_weights
from spine_ignite.errors import RunError
from spine_ignite.registry import load_registry

if TYPE_CHECKING:
    from spine_ignite.engines.tensorboard import Board

Echo = Callable[[str], None]


@dataclass
class Session:
    """A run and its handlers.

    Args:
        run: the run.
        interruption: knows whether a signal came.
        epoch_end: what happens after an epoch.
        last: writes ``last.pt``.
        best: writes ``best.pt``.
        restored: what ``last.pt`` restores, by name.
        board: TensorBoard's, which opens its file when training starts; None without one.
        resumed: whether a checkpoint was restored.
    """

    run: Run
    interruption: handlers.Interruption
    epoch_end: handlers.EpochEnd
    last: Checkpoint
    best: Checkpoint
    restored: dict[str, Any]
    board: Board | None = None
    resumed: bool = False

    def restore(self, checkpoint: dict[str, Any], path: Path) -> None:
        """Go back to where a checkpoint was saved.

        Raises:
            RunError: the checkpoint is of another network or damaged, or the run has come to its end.
        """
        run = self.run
        run.description.require_same(Description.from_state(checkpoint["description"], path), path)
        load_weights(run.network, checkpoint["model"], path)
        others = {name: part for name, part in self.restored.items() if name not in ("model", "trainer")}
        rest = {name: part for name, part in others.items() if name in checkpoint}
        try:
            Checkpoint.load_objects(rest, checkpoint)
            state = {**checkpoint["trainer"], "max_epochs": run.budget.max_epochs}
            run.trainer.load_state_dict(state)
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            raise RunError(f"{path} cannot be resumed from: {' '.join(str(error).split())[:300]}") from error
        done = run.trainer.state.iteration
        if done >= run.budget.total_steps or run.budget.is_spent():
            raise RunError(
                f"{run.directory.root} has come to its end ({run.trainer.state.epoch} epochs, "
                f"{run.budget.seconds / 60:.1f} minutes); train on with --set train.epochs=N"
            )
        truncate_metrics(run.directory.metrics, run.trainer.state.epoch)
        self.resumed = True

    def close(self) -> None:
        """Close what is open."""
        if self.board is not None:
            self.board.close()


def attach(run: Run, echo: Echo, show_steps: bool) -> Session:
    """Attach all handlers, those of plugins last.

    Nothing is written or deleted here, so that a plugin that fails costs nothing: handlers that write open their files
    when training starts (``Events.STARTED``).
    """
    interruption = handlers.Interruption()
    record = handlers.EpochRecord(run)
    last, best, restored = handlers.create_checkpoints(run)
    handlers.attach_schedule(run)  # before a checkpoint's decayed rates replace the peak rates
    handlers.attach_average(run)
    record.attach()
    handlers.attach_nan_guard(run)
    epoch_end = handlers.EpochEnd(run, record, last, best, echo)
    session = Session(run, interruption, epoch_end, last, best, restored)
    handlers.attach_budget(run)
    if run.config.log.doctor:
        from spine_ignite.engines.doctor import attach_doctor

        attach_doctor(run, epoch_end, echo)
    if run.config.log.tensorboard:
        from spine_ignite.engines.tensorboard import attach_tensorboard

        session.board = attach_tensorboard(run, epoch_end, echo)
    if run.config.log.volumes_every:
        from spine_ignite.engines.tensorboard import attach_volumes

        attach_volumes(run, epoch_end)
    run.trainer.add_event_handler(Events.EPOCH_COMPLETED, epoch_end)
    handlers.attach_interruption(run, interruption, last)
    if show_steps:
        handlers.attach_progress(run)
    load_registry().plugin_manager.hook.attach_handlers(trainer=run.trainer, evaluator=run.evaluator, run=run)
    return session
