"""The figures of a run, for TensorBoard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from ignite.engine import Engine, Events

from spine_ignite.config import dump_config
from spine_ignite.runs.directory import read_rows
from spine_ignite.training.board import Board
from spine_ignite.training.events import TrainingEvents
from spine_ignite.training.setup import Run


class Scalars:
    """Logs the figures of every epoch, the configuration, and in the end the hyper-parameters.

    Args:
        run: the run.
        echo: takes a line about what went wrong.
    """

    def __init__(self, run: Run, echo: Callable[[str], None]) -> None:
        self.run = run
        self.board = Board(run.directory.tensorboard, echo, dump_config(run.config))

    def attach(self, trainer: Engine) -> None:
        """Connect to the trainer."""
        trainer.add_event_handler(Events.STARTED, self.begin)
        trainer.add_event_handler(TrainingEvents.RECORDED, self)
        trainer.add_event_handler(Events.COMPLETED, self.conclude)

    def begin(self, engine: Engine) -> None:
        """Open an event file."""
        self.board.open(engine.state.iteration + 1 if engine.state.iteration else None)

    def __call__(self) -> None:
        """Log an epoch."""
        row = self.run.row

        def add(writer: Any) -> None:
            for name, value in row.items():
                if name not in ("epoch", "iteration") and np.isfinite(value):
                    writer.add_scalar(name, value, row["iteration"])

        self.board.write(add)

    def conclude(self) -> None:
        """Log the hyper-parameters with the best Dice."""
        dices = [row.get("validation/dice") for row in read_rows(self.run.directory.metrics)]
        best = max((dice for dice in dices if dice is not None), default=0.0)
        settings = _hyper_parameters(self.run)
        self.board.write(lambda writer: writer.add_hparams(settings, {"hparam/dice": best}, run_name="."))

    def close(self) -> None:
        """Close the event file."""
        self.board.close()


def _hyper_parameters(run: Run) -> dict[str, Any]:
    config = run.config
    return {
        "model": config.model.name,
        "loss": config.loss.name,
        "optimizer": config.optimizer.name,
        "lr": config.optimizer.lr,
        "weight_decay": config.optimizer.weight_decay,
        "schedule": config.schedule.name,
        "batch_size": config.data.batch_size,
        "precision": run.precision.name,
        "context_slices": config.data.context_slices,
    }
