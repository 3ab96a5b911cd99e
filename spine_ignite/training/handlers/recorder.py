"""The record of a run: one row an epoch."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import Tensor

from spine_ignite.errors import RunError
from spine_ignite.files import explain, open_to_append
from spine_ignite.training.parameter_groups import base_rate
from spine_ignite.training.setup import Run


class EpochRecord:
    """Mean loss, rate and throughput of the epoch in progress; without waiting for the device at each step.

    Its state is the losses so far, so that the epoch of a run that is resumed within it has the mean of all its steps.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.losses: list[Tensor] = []
        self.samples = 0
        self.started = time.monotonic()

    def attach(self, trainer: Engine) -> None:
        """Connect to the trainer."""
        trainer.add_event_handler(Events.EPOCH_STARTED, self.start)
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self.add)

    def start(self, engine: Engine) -> None:
        """Begin an epoch, or go on within one."""
        if engine.state.iteration % engine.state.epoch_length == 0:
            self.losses = []
        self.samples, self.started = 0, time.monotonic()

    def add(self, engine: Engine) -> None:
        """Take a step's output."""
        self.losses.append(engine.state.output["loss"])
        self.samples += engine.state.output["samples"]

    def summary(self) -> dict[str, float]:
        """Return the epoch's mean loss, last rate and slices per second."""
        loss = float(torch.stack(self.losses).float().mean()) if self.losses else math.nan
        seconds = max(time.monotonic() - self.started, 1e-9)
        rate = base_rate(self.run.optimizer)
        return {"train/loss": loss, "lr": rate, "slices_per_second": self.samples / seconds}

    def state_dict(self) -> dict[str, Any]:
        """Return the losses of the epoch so far."""
        return {"losses": torch.stack(self.losses) if self.losses else torch.empty(0)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take them back."""
        self.losses = list(state["losses"].to(self.run.device).unbind())


class MetricsFile:
    """Appends one JSON line per epoch."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, values: dict[str, Any]) -> None:
        """Write a line; NaN becomes null."""
        plain = {k: (None if isinstance(v, float) and not math.isfinite(v) else v) for k, v in values.items()}
        try:
            with open_to_append(self.path) as file:
                file.write(json.dumps(plain) + "\n")
        except OSError as error:
            raise RunError(explain(error, self.path)) from error
