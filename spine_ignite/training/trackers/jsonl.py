"""``metrics.jsonl``: one row an epoch."""

from __future__ import annotations

from collections.abc import Callable

from ignite.engine import Engine

from spine_ignite.runs.directory import truncate_metrics
from spine_ignite.runs.rows import append_row
from spine_ignite.training.events import TrainingEvents
from spine_ignite.training.setup import Run


class JsonLines:
    """Appends the record of each epoch; one that is made again takes the place of the first.

    Args:
        run: the run.
        echo: not used; all trackers take the same arguments.
    """

    def __init__(self, run: Run, echo: Callable[[str], None]) -> None:
        self.run = run
        self._epoch = 0

    def attach(self, trainer: Engine) -> None:
        """Connect to the trainer."""
        trainer.add_event_handler(TrainingEvents.RECORDED, self)

    def __call__(self) -> None:
        """Write a row."""
        path, epoch = self.run.directory.metrics, self.run.row["epoch"]
        if epoch == self._epoch:
            truncate_metrics(path, epoch - 1)
        append_row(path, self.run.row)
        self._epoch = epoch
