"""Signals: a training that is asked to stop saves its step first."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from ignite.engine import Engine, Events

from spine_ignite.training.events import TrainingEvents
from spine_ignite.training.handlers.clock import ends_group


class Interruption:
    """Turns the first SIGINT or SIGTERM into a wish to stop, and fulfils it; a second one acts at once.

    Args:
        accumulate: steps of an update. Gradients are not saved, so a group of accumulated steps is finished first.

    Attributes:
        signal: the signal's number, or None.
        stopped_at: the step within an epoch after which training was stopped, or None.
    """

    def __init__(self, accumulate: int) -> None:
        self.accumulate = accumulate
        self.signal: int | None = None
        self.stopped_at: int | None = None

    def attach(self, trainer: Engine) -> None:
        """Connect to the trainer, after all whose state is saved: what they do on the same event comes first."""
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self._after_step)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, self._after_epoch)

    def _after_step(self, engine: Engine) -> None:
        # At the end of an epoch, validation and checkpoint come first: `_after_epoch` sees to it.
        ends_epoch = engine.state.iteration % engine.state.epoch_length == 0
        if self.signal is None or engine.should_terminate or ends_epoch or not ends_group(engine, self.accumulate):
            return
        self.stopped_at = engine.state.iteration
        engine.fire_event(TrainingEvents.SAVE_DUE)
        engine.terminate()

    def _after_epoch(self, engine: Engine) -> None:
        if self.signal is not None and not engine.should_terminate:
            engine.fire_event(TrainingEvents.SAVE_DUE)
            engine.terminate()

    @contextmanager
    def listen(self) -> Iterator[None]:
        """Catch the signals within the block (in the main thread; elsewhere nothing is caught)."""
        former: dict[int, Any] = {}

        def on_signal(number: int, _frame: FrameType | None) -> None:
            self.signal = number
            for caught, handler in former.items():
                signal.signal(caught, handler)

        try:
            for wanted in (signal.SIGINT, signal.SIGTERM):
                former[wanted] = signal.signal(wanted, on_signal)
        except ValueError:
            former.clear()
        try:
            yield
        finally:
            for caught, handler in former.items():
                signal.signal(caught, handler)
