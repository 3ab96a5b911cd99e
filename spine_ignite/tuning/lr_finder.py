"""Learning-rate range test (Smith 2017, "Cyclical Learning Rates"), with Ignite's ``FastaiLRFinder``."""

from __future__ import annotations

import math
import statistics
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ignite.engine import Engine, Events
from ignite.handlers import FastaiLRFinder, TerminateOnNan

from spine_ignite.config import RunConfig
from spine_ignite.errors import RunError, UsageError
from spine_ignite.files import write_with
from spine_ignite.machine.workers import workers_end_with_us
from spine_ignite.training.faults import faults_explained
from spine_ignite.training.parameter_groups import base_rate
from spine_ignite.training.prepare import prepare
from spine_ignite.training.setup import Run, build
from spine_ignite.tuning.batch_size import resolve_batch_size

if TYPE_CHECKING:
    from spine_ignite.drawing.shown_figure import ShownFigure

# The loss must come down by this share of its start, and by so many times its noise, for the curve to mean anything.
_LEAST_FALL = 0.02
_LEAST_SIGNAL = 4

# Width of the smoothing, standard deviation in shares of the test.
_SMOOTHING = 0.03


@dataclass(frozen=True)
class RateCurve:
    """Result of a range test.

    Args:
        rates: the learning rate of each update, rising exponentially.
        losses: the smoothed training loss at these updates.
        suggestion: the rate of the steepest descent before the lowest loss.
        diverged: whether the test ended early because the loss had risen far above its lowest.
    """

    rates: list[float]
    losses: list[float]
    suggestion: float
    diverged: bool

    @property
    def lowest(self) -> float:
        """The rate at which the loss was lowest."""
        return self.rates[self.losses.index(min(self.losses))]

    def plot(self) -> ShownFigure:
        """Return a figure of the loss over the logarithm of the rate, the suggestion marked; without pyplot."""
        return _draw(self)


def find_learning_rate(
    config: RunConfig,
    *,
    start: float = 1e-7,
    end: float = 10.0,
    steps: int = 100,
    diverge: float = 5.0,
    progress: Callable[[Any], Any] | None = None,
    on_step: Callable[[], None] = lambda: None,
    echo: Callable[[str], None] = lambda _line: None,
) -> RateCurve:
    """Train for a few updates with a rate that rises from ``start`` to ``end``, on the trainer that ``train`` uses.

    Nothing is written but the slice store, if it is not up to date.

    Args:
        config: the run whose learning rate is sought.
        start: the first rate.
        end: the last rate.
        steps: updates; with ``train.accumulate`` each takes as many batches as in training.
        diverge: stop when the loss is this many times its lowest.
        progress: wraps the cases that are preprocessed, to show how far that is.
        on_step: called after each batch.
        echo: takes the lines that tell which size of a batch was found.

    Raises:
        UsageError: ``start`` is not below ``end``, or ``diverge`` not above 1.
        RunError: the loss has not come down, so that there is nothing to suggest.
        SpineIgniteError: the configuration, data or device cannot be used.
    """
    if not 0 < start < end:
        raise UsageError(f"the range test needs 0 < start < end, got --start {start:g} and --end {end:g}")
    if diverge <= 1:
        raise UsageError(f"--diverge must be above 1, got {diverge:g}: it is a multiple of the lowest loss")
    # Nothing is decayed and nothing warms up: the rate of every update is the test's.
    optimizer = config.optimizer.model_copy(update={"lr": start})
    found = partial(resolve_batch_size, progress=progress, echo=echo)
    plan = prepare(config.model_copy(update={"optimizer": optimizer}), progress=progress, find_batch_size=found)
    run = build(plan)
    with workers_end_with_us(), faults_explained(run):
        return _sweep(run, start, end, steps, diverge, on_step)


def _sweep(run: Run, start: float, end: float, steps: int, diverge: float, on_step: Callable[[], None]) -> RateCurve:
    trainer, data = run.trainer, run.data.training
    batches = steps * run.config.train.accumulate
    groups = run.optimizer.param_groups
    finder = FastaiLRFinder()
    finder.logger.setLevel("CRITICAL")
    rates: list[float] = []

    def note(_engine: Engine) -> None:
        # Ignite's own record is one step ahead of the rate that the optimizer has.
        rates.append(base_rate(run.optimizer))

    trainer.add_event_handler(Events.ITERATION_STARTED, note)
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda _engine: on_step())
    guard = TerminateOnNan(output_transform=lambda output: output["loss"])
    guard.logger.setLevel("CRITICAL")
    trainer.add_event_handler(Events.ITERATION_COMPLETED, guard)
    data.start_at(0)
    with (
        warnings.catch_warnings(),
        finder.attach(
            trainer,
            {"model": run.network, "optimizer": run.optimizer},
            output_transform=lambda output: output["loss"],
            num_iter=batches,
            start_lr=[start * group["factor"] for group in groups],
            end_lr=[end * group["factor"] for group in groups],
            smooth_f=0.0,
            diverge_th=diverge,
        ) as testing,
    ):
        warnings.filterwarnings("ignore", message="Run completed without loss diverging")
        epochs = math.ceil((batches + 1) / data.steps_per_epoch)
        testing.run(data.loader, max_epochs=epochs, epoch_length=data.steps_per_epoch)
    return _read(finder, rates, diverge)


def _read(finder: FastaiLRFinder, rates: list[float], diverge: float) -> RateCurve:
    """Turn Ignite's record into a curve with a suggestion; a loss that is not finite counts as diverged.

    Ignite would smooth by a running average, which trails the loss by 19 updates, more than a decade of a short test:
    here the average is centred, and Ignite suggests from that.
    """
    from scipy.ndimage import gaussian_filter1d

    history = finder.get_results()
    losses = history["loss"]
    overflowed = bool(losses) and not math.isfinite(losses[-1])
    while losses and not math.isfinite(losses[-1]):
        for values in (history["lr"], losses):
            values.pop()
    diverged = overflowed or (bool(losses) and losses[-1] > diverge * min(losses))
    width = max(1.0, _SMOOTHING * len(rates))
    raw = list(losses)
    losses[:] = gaussian_filter1d(raw, width, mode="nearest").tolist() if raw else []
    lowest = losses.index(min(losses)) if losses else 0
    # Of a mean with Gaussian weights.
    noise = _noise(raw[: lowest + 1]) / math.sqrt(2 * math.sqrt(math.pi) * width)
    before = statistics.fmean(losses[: max(1, len(losses) // 10)]) if losses else math.nan
    if lowest < 2 or before - losses[lowest] < max(_LEAST_FALL * abs(before), _LEAST_SIGNAL * noise):
        raise RunError(
            f"the loss did not come down in {len(rates)} batches with learning rates from {rates[0]:.1e} to "
            f"{rates[-1]:.1e}, so no rate can be suggested; try another --start and --end, more --steps, or "
            "train --overfit-batches 2 to see whether the network learns at all"
        )
    place = history["lr"].index(finder.lr_suggestion())
    return RateCurve(rates[: len(losses)], list(losses), rates[place], diverged)


def _noise(losses: list[float]) -> float:
    """Standard deviation of the loss from batch to batch: the trend hardly shows in the differences of neighbours."""
    squares = [(after - before) ** 2 for before, after in pairwise(losses)]
    return math.sqrt(statistics.fmean(squares) / 2) if squares else 0.0


def plot_curve(curve: RateCurve, path: Path) -> None:
    """Write the curve as a PNG.

    Raises:
        RunError: the file cannot be written.
    """
    write_with(path, lambda file: curve.plot().savefig(file, format="png", dpi=110))


def _draw(curve: RateCurve) -> ShownFigure:
    from spine_ignite.drawing.shown_figure import ShownFigure

    figure = ShownFigure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot()
    axes.semilogx(curve.rates, curve.losses, color="tab:blue", linewidth=2)
    place = curve.rates.index(curve.suggestion)
    axes.axvline(curve.suggestion, color="tab:red", linewidth=1, linestyle="--")
    axes.plot(
        curve.suggestion, curve.losses[place], "o", color="tab:red", label=f"steepest descent: {curve.suggestion:.1e}"
    )
    axes.plot(curve.lowest, min(curve.losses), "v", color="tab:gray", label=f"lowest loss: {curve.lowest:.1e}")
    low, first = min(curve.losses), curve.losses[0]
    axes.set_ylim(low - 0.1 * (first - low), first + 0.5 * (first - low))  # the way down, not the divergence
    axes.set(xlabel="learning rate", ylabel="training loss (smoothed)", title="Learning-rate range test")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return figure
