"""How far training is: by epochs, or by a budget of minutes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from spine_ignite.config import TrainConfig

_DEFAULT_EPOCHS = 100
_NO_LIMIT = 1_000_000


class Budget:
    """Share of training that is done, and whether the time is up.

    With ``train.minutes`` the share is that of the time used, less what the final validation is expected to take (as
    long as the last one); time is counted over interruptions. With ``train.epochs`` it is that of the steps.

    Args:
        config: the section ``train``.
        steps_per_epoch: steps of an epoch.
        clock: seconds from any start.
    """

    def __init__(self, config: TrainConfig, steps_per_epoch: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = config.minutes * 60 if config.minutes is not None else None
        self.max_epochs = _NO_LIMIT if self.limit is not None else (config.epochs or _DEFAULT_EPOCHS)
        self.total_steps = self.max_epochs * steps_per_epoch
        self.validation_seconds = 0.0
        self._clock = clock
        self._before = 0.0
        self._start = clock()

    @property
    def seconds(self) -> float:
        """Time used so far, earlier parts of a resumed run included."""
        return self._before + self._clock() - self._start

    def progress(self, steps_done: int) -> float:
        """Return the share of training that is done, 0 to 1."""
        if self.limit is None:
            return min(1.0, steps_done / self.total_steps)
        return min(1.0, self.seconds / self._usable)

    def is_spent(self) -> bool:
        """Whether the time is up, but for the final validation."""
        return self.limit is not None and self.seconds >= self._usable

    @property
    def _usable(self) -> float:
        assert self.limit is not None
        return max(0.5 * self.limit, self.limit - 1.2 * self.validation_seconds)

    def state_dict(self) -> dict[str, Any]:
        """Time used, for a checkpoint."""
        return {"seconds": self.seconds, "validation_seconds": self.validation_seconds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from the time used at a checkpoint."""
        self._before = float(state["seconds"])
        self.validation_seconds = float(state["validation_seconds"])
        self._start = self._clock()
