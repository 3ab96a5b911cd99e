"""Validation between epochs."""

from __future__ import annotations

import time
from typing import Any

from ignite.engine import Engine

from spine_ignite.training.events import TrainingEvents
from spine_ignite.training.setup import Run


class Validation:
    """Runs the evaluator at the end of an epoch, if that is due, and fires ``VALIDATED`` whether it was or not.

    It is due every ``train.validate_every`` epochs and after the last one, also if that is cut short.

    Args:
        run: the run.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self._found: dict[str, Any] = {}

    def attach(self, trainer: Engine) -> None:
        """Connect to the trainer."""
        trainer.add_event_handler(TrainingEvents.EPOCH_ENDING, self)
        trainer.add_event_handler(TrainingEvents.RECORDING, self.record)

    def __call__(self, engine: Engine) -> None:
        """Validate an epoch."""
        epoch, run = engine.state.epoch, self.run
        last = epoch >= run.budget.max_epochs or bool(engine.should_terminate)
        due = run.validates and (last or epoch % run.config.train.validate_every == 0)
        self._found = self._validate() if due else {}
        engine.fire_event(TrainingEvents.VALIDATED)

    def record(self) -> None:
        """Put what was found into the epoch's row."""
        self.run.row.update(self._found)

    def _validate(self) -> dict[str, Any]:
        started = time.monotonic()
        self.run.evaluator.run(self.run.data.validation)
        self.run.budget.note_validation(self.run.processes.of_first(time.monotonic() - started))
        metrics = self.run.evaluator.state.metrics
        return {f"validation/{name}": value for name, value in metrics.items() if name != "confusion"}
