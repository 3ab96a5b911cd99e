"""How far training is: by epochs, or by a budget of minutes."""

from __future__ import annotations

import math
import time
from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from spine_ignite.config import TrainConfig
from spine_ignite.machine.processes import Processes

_DEFAULT_EPOCHS = 100
_NO_LIMIT = 1_000_000


class AgreedClock:
    """A clock that shows all processes of a training the same time, that of the first; it goes on by :meth:`show`.

    Args:
        processes: of the training.
    """

    def __init__(self, processes: Processes) -> None:
        self.shown = processes.of_first(time.monotonic())

    def __call__(self) -> float:
        """Return the time that was shown last, seconds."""
        return self.shown

    def show(self, seconds: float) -> None:
        """Go on."""
        self.shown = seconds


class Budget:
    """Share of training that is done, and whether the time is up.

    With ``train.minutes`` the share is that of the time used, less what the final validation is expected to take (as
    long as the last one); time is counted over interruptions. With ``train.epochs`` it is that of the steps.

    The share at each step is remembered, also by checkpoints: with it a run by minutes, or one whose length was changed
    on the way, can be trained again step for step, see :meth:`replay`.

    Args:
        config: the section ``train``.
        steps_per_epoch: steps of an epoch.
        clock: seconds from any start.

    Attributes:
        shares: at each step that was begun, the first first; NaN where an older version has not remembered it.
    """

    def __init__(self, config: TrainConfig, steps_per_epoch: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = config.minutes * 60 if config.minutes is not None else None
        self.max_epochs = _NO_LIMIT if self.limit is not None else (config.epochs or _DEFAULT_EPOCHS)
        self.total_steps = self.max_epochs * steps_per_epoch
        self.validation_seconds = 0.0
        self.shares = array("d")
        self._replayed: Sequence[float] | None = None
        self.clock = clock
        self._before = 0.0
        self._start = clock()

    @property
    def seconds(self) -> float:
        """Time used so far, earlier parts of a resumed run included."""
        return self._before + self.clock() - self._start

    def progress(self, steps_done: int) -> float:
        """Return the share of training that is done, 0 to 1."""
        if self.limit is None:
            return min(1.0, steps_done / self.total_steps)
        return min(1.0, self.seconds / self._usable)

    def begin_step(self, steps_done: int) -> float:
        """Return the share of training that is done when a step begins, and remember it.

        Args:
            steps_done: before it.
        """
        if self._replayed is not None and steps_done < len(self._replayed):
            share = self._replayed[steps_done]
        else:
            share = self.progress(steps_done)
        del self.shares[steps_done:]
        self.shares.extend([math.nan] * (steps_done - len(self.shares)))
        self.shares.append(share)
        return share

    def replay(self, shares: Sequence[float]) -> None:
        """Let training take the steps that another has taken: as many, each with its share; no clock counts."""
        self._replayed = shares

    def note_validation(self, seconds: float) -> None:
        """Take the time of a validation, which the last one is expected to need as well."""
        self.validation_seconds = seconds
        if isinstance(self.clock, AgreedClock):
            self.clock.show(self.clock() + seconds)

    def is_spent(self) -> bool:
        """Whether the time is up, but for the final validation."""
        if self.limit is not None and self._replayed is not None:
            return len(self.shares) >= len(self._replayed)
        return self.limit is not None and self.seconds >= self._usable

    @property
    def _usable(self) -> float:
        assert self.limit is not None
        return max(0.5 * self.limit, self.limit - 1.2 * self.validation_seconds)

    def state_dict(self) -> dict[str, Any]:
        """Time used and the shares so far, for a checkpoint."""
        shares = torch.tensor(self.shares, dtype=torch.float64)
        return {"seconds": self.seconds, "validation_seconds": self.validation_seconds, "shares": shares}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from the time used at a checkpoint."""
        self._before = float(state["seconds"])
        self.validation_seconds = float(state["validation_seconds"])
        self.shares = shares_in(state)
        self._start = self.clock()


def shares_in(state: Mapping[str, Any]) -> array[float]:
    """Return the share at each step that the state of a :class:`Budget` holds; nothing of an older version's."""
    return array("d", state["shares"].tolist() if "shares" in state else ())
