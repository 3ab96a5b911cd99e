"""Signals: a training that is asked to stop saves its step first."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from ignite.engine import Engine

from spine_ignite.machine.launch import TIE
from spine_ignite.training.events import TrainingEvents, at_boundary
from spine_ignite.training.trainer import Trainer


class Interruption:
    """Turns the first SIGINT or SIGTERM into a wish to stop, and fulfils it; a second one acts at once.

    Gradients are not saved, so a group of accumulated steps is finished first; after an epoch, validation and record
    come first.

    Args:
        trainer: what is stopped.
        alone: whether a signal is acted upon at once; if not, once it is in ``signal``, by agreement with others.

    Attributes:
        caught: the number of the signal that came, or None.
        signal: the one that is acted upon.
    """

    def __init__(self, trainer: Trainer, alone: bool = True) -> None:
        self.trainer = trainer
        self.alone = alone
        self.caught: int | None = None
        self.signal: int | None = None
        self._updated_at = -1

    def attach(self, trainer: Engine) -> None:
        """Connect to the trainer."""
        trainer.add_event_handler(TrainingEvents.UPDATED, self._note_update)
        trainer.add_event_handler(TrainingEvents.STEP_SETTLED, self._after_step)
        trainer.add_event_handler(TrainingEvents.EPOCH_SETTLED, self._after_epoch)

    def _note_update(self, engine: Engine) -> None:
        self._updated_at = engine.state.iteration

    def _after_step(self, engine: Engine) -> None:
        if self._updated_at == engine.state.iteration and not at_boundary(engine):
            self._stop()

    def _after_epoch(self) -> None:
        self._stop()

    def _stop(self) -> None:
        if self.signal is not None and not self.trainer.should_terminate:
            self.trainer.leave_open()

    @contextmanager
    def listen(self) -> Iterator[None]:
        """Catch the signals within the block (in the main thread; elsewhere nothing is caught)."""
        former: dict[int, Any] = {}

        def on_wish(number: int) -> None:  # of the launcher, which may not be the only one to send it
            self.caught = self.caught or number

        def on_signal(number: int, _frame: FrameType | None) -> None:
            self.caught = number
            if self.alone:
                self.signal = number
            for caught, handler in former.items():
                signal.signal(caught, handler)

        try:
            for wanted in (signal.SIGINT, signal.SIGTERM):
                former[wanted] = signal.signal(wanted, on_signal)
        except ValueError:
            former.clear()
        TIE.listener = on_wish
        try:
            yield
        finally:
            TIE.listener = None
            for caught, handler in former.items():
                signal.signal(caught, handler)
