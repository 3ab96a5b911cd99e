"""The engine that trains: Ignite's, with events around those whose handlers come from many hands."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine, Events

from spine_ignite.training.events import TrainingEvents, attribute_of
from spine_ignite.training.step import UpdateStep


class Trainer(Engine):
    """Runs an :class:`UpdateStep`, whose output is ``state.output``.

    Handlers of one event run in the order in which they were attached. What has to come before or after those of
    others has an event of its own here: ``EPOCH_ENDING`` is fired before ``EPOCH_COMPLETED``, ``EPOCH_SETTLED`` after
    it, and ``STEP_SETTLED`` after ``ITERATION_COMPLETED``.

    Attributes:
        stays_open: whether training has ended within an epoch that is to be gone on with.
    """

    def __init__(self, step: UpdateStep) -> None:
        super().__init__(step)
        self.stays_open = False
        # What Ignite's loggers take for the step of a figure that they log on an event.
        self.register_events(*TrainingEvents, event_to_attr={event: attribute_of(event) for event in TrainingEvents})  # type: ignore[attr-defined]

    def leave_open(self) -> None:
        """End training after this step as :meth:`terminate` does, but let the epoch be gone on with later."""
        self.stays_open = True
        self.terminate()

    def _fire_event(self, event_name: Any, *event_args: Any, **event_kwargs: Any) -> None:
        if event_name == Events.EPOCH_COMPLETED:
            self.fire_event(TrainingEvents.EPOCH_ENDING)
        super()._fire_event(event_name, *event_args, **event_kwargs)
        if event_name == Events.ITERATION_COMPLETED:
            self.fire_event(TrainingEvents.STEP_SETTLED)
        elif event_name == Events.EPOCH_COMPLETED:
            self.fire_event(TrainingEvents.EPOCH_SETTLED)
