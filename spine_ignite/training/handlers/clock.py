"""The end of a budget of minutes."""

from __future__ import annotations

from ignite.engine import Engine, Events

from spine_ignite.training.budget import Budget


def ends_group(engine: Engine, accumulate: int) -> bool:
    """Whether the step that is over was the last of a group of accumulated steps: only there nothing is lost."""
    place = engine.state.iteration % engine.state.epoch_length
    return bool(place % accumulate == 0)  # the last group of an epoch may be smaller: its place is 0


class Clock:
    """Stops training when the time is up, where no gradients are waiting for their update.

    Args:
        budget: knows how much time is left.
        accumulate: steps of an update.
    """

    def __init__(self, budget: Budget, accumulate: int) -> None:
        self.budget = budget
        self.accumulate = accumulate

    def attach(self, trainer: Engine) -> None:
        """Connect to the trainer."""
        if self.budget.limit is not None:
            trainer.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Look at the clock after a step."""
        if self.budget.is_spent() and ends_group(engine, self.accumulate):
            engine.terminate()
