"""The end of a budget of minutes."""

from __future__ import annotations

from ignite.engine import Engine

from spine_ignite.training.budget import Budget
from spine_ignite.training.events import TrainingEvents


class Clock:
    """Stops training when the time is up, where no gradients are waiting for their update.

    Args:
        budget: knows how much time is left.
    """

    def __init__(self, budget: Budget) -> None:
        self.budget = budget

    def attach(self, trainer: Engine) -> None:
        """Connect to the trainer."""
        trainer.add_event_handler(TrainingEvents.UPDATED, self)

    def __call__(self, engine: Engine) -> None:
        """Look at the clock after an update."""
        if self.budget.is_spent():
            engine.terminate()
