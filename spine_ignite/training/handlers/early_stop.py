"""Early stopping."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ignite.engine import Engine

from spine_ignite.training.events import TrainingEvents
from spine_ignite.training.monitor import Monitor
from spine_ignite.training.setup import Run


class EarlyStop:
    """Stops training when the monitored figure has not become better for some validations in a row.

    It counts whether it is to stop or not, so that a resumed run may be given a patience. A figure that is not a
    number (a Dice where neither reference nor prediction has a structure) says nothing.

    Args:
        run: the run.
        monitor: reads the figure.
    """

    def __init__(self, run: Run, monitor: Monitor) -> None:
        self.run = run
        self.monitor = monitor
        self.patience = run.config.train.patience
        self.counter = 0
        self.best: float | None = None

    @property
    def is_over(self) -> bool:
        """Whether patience has run out."""
        return self.patience is not None and self.counter >= self.patience

    def attach(self, trainer: Engine) -> None:
        """Connect to the trainer."""
        trainer.add_event_handler(TrainingEvents.RECORDED, self)

    def __call__(self, engine: Engine) -> None:
        """Take an epoch's record."""
        value = self.monitor.value(self.run.row)
        if value is None:
            return
        if self.monitor.is_better(value, self.best):
            self.best, self.counter = value, 0
            return
        self.counter += 1
        if self.is_over:
            engine.terminate()

    def state_dict(self) -> dict[str, Any]:
        """Return the count and the best figure."""
        return {"counter": self.counter, "best": self.best}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on counting."""
        self.counter, self.best = int(state["counter"]), state["best"]
