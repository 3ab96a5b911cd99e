"""What happens on the events of training: rate, averages, validation, checkpoints, records, interruption."""

from __future__ import annotations

import json
import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from ignite.engine import Engine, Events
from ignite.handlers import Checkpoint, EarlyStopping, ProgressBar, TerminateOnNan

from spine_ignite.engines.budget import Budget
from spine_ignite.engines.checkpoints import OneFileSaver
from spine_ignite.engines.schedule import LearningRateSchedule
from spine_ignite.engines.setup import Run
from spine_ignite.errors import RunError
from spine_ignite.files import explain, open_to_append

Echo = Callable[[str], None]

# How often the loss of a GPU is looked at: each look waits for the GPU.
_NAN_CHECK_EVERY = {"cpu": 1}


class EpochRecord:
    """Mean loss, rate and throughput of the epoch in progress; without waiting for the device at each step."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.losses: list[torch.Tensor] = []
        self.samples = 0
        self.started = time.monotonic()

    def attach(self) -> None:
        """Connect to the trainer."""
        self.run.trainer.add_event_handler(Events.EPOCH_STARTED, self.start)
        self.run.trainer.add_event_handler(Events.ITERATION_COMPLETED, self.add)

    def start(self) -> None:
        """Begin an epoch."""
        self.losses, self.samples, self.started = [], 0, time.monotonic()

    def add(self, engine: Engine) -> None:
        """Take a step's output."""
        self.losses.append(engine.state.output["loss"])
        self.samples += engine.state.output["samples"]

    def summary(self) -> dict[str, float]:
        """Return the epoch's mean loss, last rate and slices per second."""
        loss = float(torch.stack(self.losses).float().mean()) if self.losses else math.nan
        seconds = max(time.monotonic() - self.started, 1e-9)
        rate = float(self.run.optimizer.param_groups[0]["lr"])
        return {"train/loss": loss, "lr": rate, "slices_per_second": self.samples / seconds}


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


class Interruption:
    """Turns the first SIGINT or SIGTERM into a wish to stop; a second one acts at once.

    Attributes:
        signal: the signal's number, or None.
    """

    def __init__(self) -> None:
        self.signal: int | None = None

    @contextmanager
    def listen(self) -> Iterator[None]:
        """Catch the signals within the block (in the main thread; elsewhere nothing is caught)."""
        former: dict[int, Any] = {}

        def on_signal(number: int, _frame: FrameType | None) -> None:
            self.signal = number
            for caught, handler in former.items():
                signal.signal(caught, handler)

        try:
            for wanted in (signal.SIGINT, signal.SIGTERM):
                former[wanted] = signal.signal(wanted, on_signal)
        except ValueError:
            former.clear()
        try:
            yield
        finally:
            for caught, handler in former.items():
                signal.signal(caught, handler)


def attach_schedule(run: Run) -> None:
    """Set the learning rate before each step."""
    schedule = LearningRateSchedule(
        run.optimizer, run.config.schedule, lambda: run.budget.progress(run.trainer.state.iteration - 1)
    )
    run.trainer.add_event_handler(Events.ITERATION_STARTED, schedule)


def attach_average(run: Run) -> None:
    """Update the averaged weights after each update."""
    if run.ema is not None:

        def after_update(engine: Engine, iteration: int) -> bool:
            # Groups of accumulated steps begin anew in each epoch, and the last one of an epoch may be smaller.
            place = (iteration - 1) % engine.state.epoch_length + 1
            return bool(place % run.config.train.accumulate == 0 or place == engine.state.epoch_length)

        run.ema.attach(run.trainer, event=Events.ITERATION_COMPLETED(event_filter=after_update))


def attach_nan_guard(run: Run) -> None:
    """Stop at a loss that is not finite, before it is saved."""
    every = _NAN_CHECK_EVERY.get(run.device.type, 25)
    guard = TerminateOnNan(output_transform=lambda output: output["loss"])
    guard.logger.setLevel("CRITICAL")
    run.trainer.add_event_handler(Events.ITERATION_COMPLETED(every=every), guard)


def attach_budget(run: Run) -> None:
    """Stop when the time is up."""

    def check(engine: Engine) -> None:
        if run.budget.is_spent():
            engine.terminate()

    if run.budget.limit is not None:
        run.trainer.add_event_handler(Events.ITERATION_COMPLETED, check)


def attach_progress(run: Run) -> None:
    """Show a bar per epoch; the caller decides whether anybody is looking."""
    bar = ProgressBar(persist=False, desc="Training")
    bar.attach(run.trainer)


def create_checkpoints(run: Run) -> tuple[Checkpoint, Checkpoint, dict[str, Any]]:
    """Return the handlers that write ``last.pt`` and ``best.pt``, and what ``last.pt`` restores."""
    best = Checkpoint(
        {"model": run.judged, "description": run.description},
        OneFileSaver(run.directory.best),
        n_saved=1,
        score_function=lambda engine: engine.state.metrics["dice"] if run.evaluator is not None else 0.0,
        global_step_transform=lambda *_: run.trainer.state.iteration,
    )
    restored: dict[str, Any] = {
        "model": run.network,
        "optimizer": run.optimizer,
        "scaler": run.step.scaler,
        "trainer": run.trainer,
        "budget": run.budget,
        "best": best,
    }
    if run.ema is not None:
        restored["ema"] = run.ema.ema_model
    if run.config.train.patience is not None and run.evaluator is not None:
        stopping = EarlyStopping(run.config.train.patience, lambda e: e.state.metrics["dice"], run.trainer)
        stopping.logger.setLevel("CRITICAL")
        run.evaluator.add_event_handler(Events.COMPLETED, stopping)
        restored["early_stopping"] = stopping
    last = Checkpoint(
        {**restored, "description": run.description},
        OneFileSaver(run.directory.last, run.directory.previous),
        n_saved=1,
        global_step_transform=lambda *_: run.trainer.state.iteration,
    )
    return last, best, restored


class EpochEnd:
    """After an epoch: validate, keep the best, save, record, tell; in this order, so that a crash loses none of it."""

    def __init__(self, run: Run, record: EpochRecord, last: Checkpoint, best: Checkpoint, echo: Echo) -> None:
        self.run = run
        self.last = last
        self.best = best
        self.echo = echo
        self.file = MetricsFile(run.directory.metrics)
        self.validated_at = -1
        self.summaries: list[Callable[[], dict[str, float]]] = [record.summary]
        self.listeners: list[Callable[[dict[str, Any], bool], None]] = []
        if run.evaluator is not None:
            run.evaluator.add_event_handler(Events.COMPLETED, best)

    def __call__(self, engine: Engine) -> None:
        """Handle ``EPOCH_COMPLETED``."""
        train = self.run.config.train
        epoch = engine.state.epoch
        ends = epoch >= self.run.budget.max_epochs or engine.should_terminate
        self.finish(
            validate=ends or epoch % train.validate_every == 0, save=ends or epoch % train.checkpoint_every == 0
        )

    def finish(self, validate: bool, save: bool) -> None:
        """Do what is due; also called once at the end of a budget, in mid-epoch."""
        run = self.run
        values: dict[str, Any] = {
            "epoch": run.trainer.state.epoch,
            "iteration": run.trainer.state.iteration,
        }
        for summary in self.summaries:
            values |= summary()
        if not math.isfinite(values["train/loss"]):
            return  # the NaN guard has stopped the run: nothing of this epoch is worth keeping
        if validate and run.evaluator is not None:
            values |= self._validate()
        elif validate:
            self.best(run.trainer)
        values["minutes"] = run.budget.seconds / 60
        self.validated_at = run.trainer.state.iteration if validate else self.validated_at
        for listener in self.listeners:
            listener(values, validate)
        self.file.append(values)
        if save:
            self.last(run.trainer)
        self.echo(_line(values, run.budget))

    def _validate(self) -> dict[str, float]:
        evaluator = self.run.evaluator
        assert evaluator is not None
        started = time.monotonic()
        evaluator.run(self.run.data.validation)
        self.run.budget.validation_seconds = time.monotonic() - started
        metrics = evaluator.state.metrics
        return {f"validation/{k}": float(v) for k, v in metrics.items() if k != "confusion"}


def _line(values: dict[str, Any], budget: Budget) -> str:
    total = f"/{budget.max_epochs}" if budget.limit is None else ""
    text = f"Epoch {values['epoch']}{total}  loss {values['train/loss']:.4f}"
    if "validation/dice" in values:
        text += f"  validation Dice {values['validation/dice']:.4f}  IoU {values['validation/iou']:.4f}"
    return f"{text}  lr {values['lr']:.2e}  {values['slices_per_second']:.1f} slices/s  {values['minutes']:.1f} min"


def attach_interruption(run: Run, interruption: Interruption, last: Checkpoint) -> None:
    """Save and stop after the step in which a signal came."""

    def check(engine: Engine) -> None:
        if interruption.signal is None or engine.should_terminate:
            return
        # Gradients are not saved, so a group of accumulated steps is finished first. At the end of an epoch, validation
        # and checkpoint come first: `stop` sees to it.
        place = engine.state.iteration % engine.state.epoch_length
        if place and place % run.config.train.accumulate == 0:
            last(engine)
            engine.terminate()

    def stop(engine: Engine) -> None:
        if interruption.signal is not None:
            last(engine)
            engine.terminate()

    run.trainer.add_event_handler(Events.ITERATION_COMPLETED, check)
    run.trainer.add_event_handler(Events.EPOCH_COMPLETED, stop)
