"""The averaged weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ignite.engine import Engine
from ignite.handlers import EMAHandler

from spine_ignite.training.events import TrainingEvents


class Average:
    """Updates the averaged weights after each update of the network's.

    Args:
        average: Ignite's handler, which holds them.
    """

    def __init__(self, average: EMAHandler) -> None:
        self.average = average

    def attach(self, trainer: Engine) -> None:
        """Connect to the trainer."""
        self.average.attach(trainer, event=TrainingEvents.UPDATED)

    def state_dict(self) -> dict[str, Any]:
        """Return the averaged weights."""
        state: dict[str, Any] = self.average.ema_model.state_dict()
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take them back."""
        self.average.ema_model.load_state_dict(state)
