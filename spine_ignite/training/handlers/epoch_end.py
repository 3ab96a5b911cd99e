"""The end of an epoch: validate, record, save, tell."""

from __future__ import annotations

import math
import numbers
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from ignite.engine import Engine, Events
from torch import Tensor

from spine_ignite.config.sections import Named
from spine_ignite.runs.directory import truncate_metrics
from spine_ignite.training.budget import Budget
from spine_ignite.training.epoch_metrics import shown
from spine_ignite.training.events import TrainingEvents
from spine_ignite.training.handlers.finite_guard import FiniteGuard
from spine_ignite.training.handlers.interruption import Interruption
from spine_ignite.training.handlers.recorder import MetricsFile
from spine_ignite.training.setup import Run

Echo = Callable[[str], None]


class EpochEnd:
    """Validates if that is due, fires ``RECORDED`` and then ``SAVE_DUE``, in this order, so that a crash loses nothing.

    An epoch that is cut short, by a budget or by whoever calls ``terminate``, is completed like any other:
    ``EPOCH_COMPLETED`` is fired for it, once. Only a signal leaves its epoch open, to be gone on with.

    Args:
        run: the run.
        guard: knows whether the losses are finite.
        interruption: knows whether a signal stopped the run within an epoch.
        echo: takes a line an epoch.

    Attributes:
        row: the record of the last epoch, as ``metrics.jsonl`` holds it.
        summaries: give what belongs into a row.
    """

    def __init__(self, run: Run, guard: FiniteGuard, interruption: Interruption, echo: Echo) -> None:
        self.run = run
        self.guard = guard
        self.interruption = interruption
        self.echo = echo
        self.row: dict[str, Any] = {}
        self.summaries: list[Callable[[], dict[str, float]]] = []
        self._file = MetricsFile(run.directory.metrics)
        self._completed_at = self._validated_at = -1
        self._save_due = False
        self._no_numbers: set[str] = set()

    def attach(self, trainer: Engine) -> None:
        """Connect to the trainer; :meth:`attach_saving` is for later."""
        trainer.add_event_handler(Events.STARTED, self._start)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, self)
        trainer.add_event_handler(Events.TERMINATE, self._complete)
        trainer.add_event_handler(TrainingEvents.RECORDED, self._write)

    def attach_saving(self, trainer: Engine) -> None:
        """Let what is saved be saved; after all whose state it is, so that what they do after an epoch is in it."""
        trainer.add_event_handler(Events.EPOCH_COMPLETED, self._save)

    def _start(self, engine: Engine) -> None:
        self._completed_at = self._validated_at = engine.state.iteration

    def __call__(self, engine: Engine) -> None:
        """Handle ``EPOCH_COMPLETED``."""
        train = self.run.config.train
        epoch = engine.state.epoch
        ends = epoch >= self.run.budget.max_epochs or bool(engine.should_terminate)
        self._completed_at = engine.state.iteration
        self._finish(engine, validate=ends or epoch % train.validate_every == 0)
        self._save_due = ends or epoch % train.checkpoint_every == 0

    def _complete(self, engine: Engine) -> None:
        """Complete the epoch of a run that was terminated."""
        step = engine.state.iteration
        if self.guard.failed or self.interruption.stopped_at == step:
            return
        if self._completed_at != step:
            engine.fire_event(Events.EPOCH_COMPLETED)
        elif self._validated_at != step:  # terminated after its epoch had been recorded: the record is made again
            truncate_metrics(self.run.directory.metrics, engine.state.epoch - 1)
            self._finish(engine, validate=True)
            self._save_due = True
            self._save(engine)

    def _finish(self, engine: Engine, validate: bool) -> None:
        run = self.run
        values: dict[str, Any] = {"epoch": engine.state.epoch, "iteration": engine.state.iteration}
        for summary in self.summaries:
            values |= summary()
        if not math.isfinite(values["train/loss"]):
            self.guard.stop(engine)
            return
        self.guard.require_finite()
        if validate and run.validates:
            values |= self._validate()
        values["minutes"] = run.budget.seconds / 60
        self._validated_at = engine.state.iteration if validate else self._validated_at
        for name in self.row:
            engine.state.metrics.pop(name, None)  # of an epoch with a validation, say
        self.row = values
        engine.state.metrics.update(values)
        engine.fire_event(TrainingEvents.RECORDED)

    def _write(self) -> None:
        self._file.append(self.row)
        self.echo(_line(self.row, self.run.budget, self.run.config.train.metrics))

    def _save(self, engine: Engine) -> None:
        if not self.guard.failed and (self._save_due or engine.should_terminate):
            engine.fire_event(TrainingEvents.SAVE_DUE)

    def _validate(self) -> dict[str, float]:
        evaluator = self.run.evaluator
        started = time.monotonic()
        evaluator.run(self.run.data.validation)
        self.run.budget.validation_seconds = time.monotonic() - started
        metrics = {name: value for name, value in evaluator.state.metrics.items() if name != "confusion"}
        found = {f"validation/{name}": _number(value) for name, value in metrics.items()}
        for name in found:
            if found[name] is None and name not in self._no_numbers:
                self._no_numbers.add(name)
                self.echo(f"Warning:   the metric {name} is not a number, and is not recorded")
        return {name: value for name, value in found.items() if value is not None}


def _number(value: object) -> float | None:
    """Return a number, or what holds just one, as a float; None for anything else."""
    if isinstance(value, (Tensor, np.ndarray)):
        single = value.numel() == 1 if isinstance(value, Tensor) else value.size == 1
        value = value.item() if single else None
    return float(value) if isinstance(value, numbers.Real) else None


def _line(values: dict[str, Any], budget: Budget, metrics: Sequence[Named]) -> str:
    total = f"/{budget.max_epochs}" if budget.limit is None else ""
    text = f"Epoch {values['epoch']}{total}  loss {values['train/loss']:.4f}"
    if "validation/dice" in values:
        text += f"  validation Dice {values['validation/dice']:.4f}  IoU {values['validation/iou']:.4f}"
    text += shown(values, metrics)
    return f"{text}  lr {values['lr']:.2e}  {values['slices_per_second']:.1f} slices/s  {values['minutes']:.1f} min"
