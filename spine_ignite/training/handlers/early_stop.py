"""Early stopping."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ignite.engine import Engine

from spine_ignite.training.events import TrainingEvents


class EarlyStop:
    """Stops training when the validation Dice has not become better for some validations in a row.

    It counts whether it is to stop or not, so that a resumed run may be given a patience. A Dice that is not a number
    (neither reference nor prediction has a structure) says nothing.

    Args:
        patience: validations without improvement; None never stops.
    """

    def __init__(self, patience: int | None) -> None:
        self.patience = patience
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
        dice = engine.state.metrics.get("validation/dice")
        if dice is None or math.isnan(dice):
            return
        if self.best is None or dice > self.best:
            self.best, self.counter = dice, 0
            return
        self.counter += 1
        if self.is_over:
            engine.terminate()

    def state_dict(self) -> dict[str, Any]:
        """Return the count and the best Dice."""
        return {"counter": self.counter, "best": self.best}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on counting."""
        self.counter, self.best = int(state["counter"]), state["best"]
