"""The record of an epoch: one row of figures."""

from __future__ import annotations

import numbers
from collections.abc import Callable
from typing import Any

import numpy as np
from ignite.engine import Engine
from torch import Tensor

from spine_ignite.training.events import TrainingEvents
from spine_ignite.training.setup import Run


class Recorder:
    """Gathers the figures of an epoch in ``run.row`` and ``trainer.state.metrics``, and fires ``RECORDED``.

    Whoever has a figure puts it into ``run.row`` on ``RECORDING``; those of one kind, ``validation/…``, say, stand
    together, so that the order of handlers does not show. What is not a number is left out, and told once.

    Args:
        run: the run.
        echo: takes a line about a figure that is left out.
    """

    def __init__(self, run: Run, echo: Callable[[str], None]) -> None:
        self.run = run
        self.echo = echo
        self._left_out: set[str] = set()

    def attach(self, trainer: Engine) -> None:
        """Connect to the trainer."""
        trainer.add_event_handler(TrainingEvents.VALIDATED, self)

    def __call__(self, engine: Engine) -> None:
        """Record an epoch."""
        for name in self.run.row:
            engine.state.metrics.pop(name, None)  # of an epoch with a validation, say
        self.run.row = {}
        engine.fire_event(TrainingEvents.RECORDING)
        figures = {name: _number(value) for name, value in self.run.row.items()}
        for name in sorted(name for name, value in figures.items() if value is None and name not in self._left_out):
            self._left_out.add(name)
            self.echo(f"Warning:   the metric {name} is not a number, and is not recorded")
        kinds = sorted(figures, key=lambda name: name.partition("/")[0])
        self.run.row = {
            "epoch": engine.state.epoch,
            "iteration": engine.state.iteration,
            **{name: figures[name] for name in kinds if figures[name] is not None},
        }
        self.run.row = self.run.processes.of_first(self.run.row)  # who judges by it must come to the same conclusion
        engine.state.metrics.update(self.run.row)
        engine.fire_event(TrainingEvents.RECORDED)


def _number(value: Any) -> float | None:
    """Return a number, or what holds just one, as a float; None for anything else."""
    if isinstance(value, (Tensor, np.ndarray)):
        single = value.numel() == 1 if isinstance(value, Tensor) else value.size == 1
        value = value.item() if single else None
    return float(value) if isinstance(value, numbers.Real) else None
