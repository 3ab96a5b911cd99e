"""What processes must know alike: how late it is, and whether one was asked to stop."""

from __future__ import annotations

import math
import time
from typing import Protocol

from ignite.engine import Engine

from spine_ignite.machine.processes import Processes
from spine_ignite.training.budget import AgreedClock
from spine_ignite.training.events import TrainingEvents


class Wish(Protocol):
    """To stop: the number of a signal that came to this process, and of the one that is acted upon."""

    caught: int | None
    signal: int | None


class Consensus:
    """Lets all processes of a training stop at the same step, and have the same clock, by one small reduction.

    It comes before each update and after each record. A loss that is not finite needs none, since all have the same.

    Args:
        processes: of the training; not one alone.
        clock: that of the budget.
        wish: to stop.
    """

    def __init__(self, processes: Processes, clock: AgreedClock, wish: Wish) -> None:
        self.processes, self.clock, self.wish = processes, clock, wish

    def attach(self, trainer: Engine) -> None:
        """Connect to the trainer."""
        for event in (TrainingEvents.GRADIENTS_READY, TrainingEvents.RECORDED):
            trainer.add_event_handler(event, self)

    def __call__(self) -> None:
        """Agree."""
        own = time.monotonic() if self.processes.first else -math.inf
        now, number = self.processes.largest([own, self.wish.caught or 0])
        self.clock.show(now)
        self.wish.signal = int(number) or None
