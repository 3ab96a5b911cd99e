"""A line an epoch for whoever watches."""

from __future__ import annotations

from collections.abc import Callable

from ignite.engine import Engine

from spine_ignite.training.epoch_metrics import shown
from spine_ignite.training.events import TrainingEvents
from spine_ignite.training.setup import Run


class Console:
    """Tells loss, validation, rate and throughput of each epoch.

    Args:
        run: the run.
        echo: takes the line.
    """

    def __init__(self, run: Run, echo: Callable[[str], None]) -> None:
        self.run = run
        self.echo = echo

    def attach(self, trainer: Engine) -> None:
        """Connect to the trainer."""
        trainer.add_event_handler(TrainingEvents.RECORDED, self)

    def __call__(self) -> None:
        """Tell the epoch."""
        row, budget = self.run.row, self.run.budget
        total = f"/{budget.max_epochs}" if budget.limit is None else ""
        text = f"Epoch {row['epoch']}{total}  loss {row['train/loss']:.4f}"
        if "validation/dice" in row:
            text += f"  validation Dice {row['validation/dice']:.4f}  IoU {row['validation/iou']:.4f}"
        text += shown(row, self.run.config.train.metrics)
        rates = f"lr {row['lr']:.2e}  {row['slices_per_second']:.1f} slices/s"
        self.echo(f"{text}  {rates}  {row['minutes']:.1f} min")
