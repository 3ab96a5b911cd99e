"""What the steps of an epoch tell about it."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import Tensor

from spine_ignite.training.events import TrainingEvents, at_boundary, ends_epoch
from spine_ignite.training.setup import Run


class StepFigures:
    """Mean loss and its parts, gradients' norm, rate and throughput of an epoch, without waiting for the device.

    They are ``train/loss``, ``train/loss/<part>`` if it has more than one, ``train/gradient_norm`` (the median over
    updates, before clipping), ``lr`` (of the first parameter group), ``slices_per_second`` of this process, ``seconds``
    of its steps in the epoch, and ``minutes`` of the run with all its validations and earlier parts.

    Its state is what the steps gave so far, so that the epoch of a run that is resumed within it has the means of all
    its steps.

    Args:
        run: the run.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self._seen: dict[str, list[Tensor]] = {}
        self._samples = 0
        self._started = time.monotonic()
        self._ended: float | None = None

    def attach(self, trainer: Engine) -> None:
        """Connect to the trainer."""
        trainer.add_event_handler(Events.EPOCH_STARTED, self.start)
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self)
        trainer.add_event_handler(TrainingEvents.STEP_SETTLED, self.stop)
        trainer.add_event_handler(TrainingEvents.RECORDING, self.record)

    def start(self, engine: Engine) -> None:
        """Begin an epoch, or go on within one."""
        if at_boundary(engine):
            self._seen = {}
        self._samples, self._started, self._ended = 0, time.monotonic(), None

    def __call__(self, engine: Engine) -> None:
        """Take a step's output."""
        output = engine.state.output
        self._add("loss", output["loss"])
        self._add("gradient_norm", output["gradient_norm"])
        if len(output["parts"]) > 1:
            for name, value in output["parts"].items():
                self._add(f"loss/{name}", value)
        self._samples += output["samples"]

    def stop(self, engine: Engine) -> None:
        """Stop the clock after the last step, once the device has done it."""
        if ends_epoch(engine):
            float(engine.state.output["loss"])
            self._ended = time.monotonic()

    def record(self) -> None:
        """Put the figures into the epoch's row."""
        row, seconds = self.run.row, max((self._ended or time.monotonic()) - self._started, 1e-9)
        row["train/loss"] = math.nan
        for name, values in self._seen.items():
            many = torch.stack(values).float()
            row[f"train/{name}"] = float(many.median() if name == "gradient_norm" else many.mean())
        row["lr"] = float(self.run.optimizer.param_groups[0]["lr"])
        row["slices_per_second"] = self._samples / seconds
        row["seconds"] = seconds
        row["minutes"] = self.run.budget.seconds / 60

    def state_dict(self) -> dict[str, Any]:
        """Return what the steps of the epoch gave so far."""
        return {name: torch.stack(values) for name, values in self._seen.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take it back."""
        self._seen = {name: list(values.to(self.run.device).unbind()) for name, values in state.items()}

    def _add(self, name: str, value: Tensor | None) -> None:
        if value is not None:
            self._seen.setdefault(name, []).append(value)
