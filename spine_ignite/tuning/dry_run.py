"""Everything of a run but the run: build it, put one batch through training and validation, measure, leave nothing."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from spine_ignite.config import RunConfig
from spine_ignite.errors import RunError
from spine_ignite.machine.peak_memory import peak_memory_mib
from spine_ignite.machine.workers import workers_end_with_us
from spine_ignite.runs.directory import plan_run_directory
from spine_ignite.slices.place import store_folder
from spine_ignite.training.faults import faults_explained
from spine_ignite.training.prepare import prepare
from spine_ignite.training.session import require_known_monitor
from spine_ignite.training.setup import Run, build
from spine_ignite.tuning.batch_size import resolve_batch_size

Batch = dict[str, Tensor]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a run would cost.

    Args:
        model: the architecture.
        parameters: those that learn.
        device: where it runs.
        precision: ``fp32``, ``bf16`` or ``fp16``.
        batch: shape of a training batch ``(B, C, H, W)``.
        loss: of the first training batch, before any update.
        memory_mib: on a GPU the most memory that tensors took, in MiB; elsewhere the most that the process did.
        first_step_seconds: the first training step, in which libraries set themselves up.
        step_seconds: the second, on the same batch: forward, backward and update.
        load_seconds: reading a batch; loader processes hide it as long as it is below their number times the step.
        phantoms: synthetic cases that are mixed into an epoch.
        validation_seconds: one validation batch, or None without validation.
        steps_per_epoch: training steps.
        validation_batches: batches of a validation.
        epoch_seconds: estimate for an epoch with its validation.
        epochs: as configured, or as many as fit into ``train.minutes``.
        total_seconds: estimate for the run.
    """

    model: str
    parameters: int
    device: str
    precision: str
    batch: tuple[int, ...]
    loss: float
    memory_mib: float
    first_step_seconds: float
    step_seconds: float
    load_seconds: float
    phantoms: int
    validation_seconds: float | None
    steps_per_epoch: int
    validation_batches: int
    epoch_seconds: float
    epochs: int
    total_seconds: float


def dry_run(
    config: RunConfig,
    out: Path | None = None,
    *,
    force: bool = False,
    progress: Callable[[Any], Any] | None = None,
    echo: Callable[[str], None] = lambda _line: None,
) -> DryRun:
    """Build a run, put one training batch (twice) and one validation batch through it, and measure.

    No run directory is made. The slice store is used as it would be in training if there is one; else one is built in a
    temporary folder, since the store belongs to what a run leaves.

    Args:
        config: the run.
        out: the run directory that is meant; only checked.
        force: whether a run in ``out`` might be replaced.
        progress: wraps the cases that are preprocessed, to show how far that is.
        echo: takes the lines that tell which size of a batch was found.

    Raises:
        SpineIgniteError: the run could not start.
        RunError: a batch does not fit into memory, or its loss is not finite.
    """
    directory = plan_run_directory(config, out, force)
    with ExitStack() as stack:
        if not store_folder(config.data).exists():
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="spine-ignite-"))
            section = config.data.model_copy(update={"cache": Path(folder) / "store"})
            config = config.model_copy(update={"data": section})
        found = partial(resolve_batch_size, progress=progress, echo=echo)
        run = build(prepare(config, directory, progress=progress, find_batch_size=found))
        require_known_monitor(run)
        with workers_end_with_us(), faults_explained(run):
            return _measure(run)


def _measure(run: Run) -> DryRun:
    config, data = run.config, run.data
    on_gpu = run.device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(run.device)
    data.training.start_at(0)
    batch, load_seconds = _read(run)
    # An epoch of one step updates the weights whatever train.accumulate is, so that the optimizer's state counts.
    _, first_step = _timed(run, lambda: run.trainer.run([batch], max_epochs=1, epoch_length=1))
    loss = float(run.trainer.state.output["loss"])
    if not math.isfinite(loss):
        shown = ", ".join(data.training.origins(0)) or "patches"
        raise RunError(f"the loss of the first batch is {loss} ({shown}); check these images, or use precision=fp32")
    _, step = _timed(run, lambda: run.trainer.run([batch], max_epochs=2, epoch_length=1))
    validation, batches = None, 0
    if data.validation is not None:
        judged = _first(data.validation)
        _, validation = _timed(run, lambda: run.evaluator.run([judged], epoch_length=1))
        batches = _length(data.validation)
    memory = torch.cuda.max_memory_allocated(run.device) / 2**20 if on_gpu else peak_memory_mib()
    steps = data.training.steps_per_epoch
    reading = load_seconds if config.data.workers == 0 else max(0.0, load_seconds / config.data.workers - step)
    each = steps * (step + reading)
    epoch = each + batches * (validation or 0.0) / config.train.validate_every
    epochs = max(1, int(run.budget.limit / epoch)) if run.budget.limit is not None else run.budget.max_epochs
    return DryRun(
        model=run.description.model,
        parameters=sum(p.numel() for p in run.network.parameters()),
        device=str(run.device),
        precision=run.precision.name,
        batch=tuple(batch["image"].shape),
        loss=loss,
        memory_mib=memory,
        first_step_seconds=first_step,
        step_seconds=step,
        load_seconds=load_seconds,
        phantoms=config.data.phantoms,
        validation_seconds=validation,
        steps_per_epoch=steps,
        validation_batches=batches,
        epoch_seconds=epoch,
        epochs=epochs,
        total_seconds=run.budget.limit if run.budget.limit is not None else epochs * epoch,
    )


def _read(run: Run) -> tuple[Batch, float]:
    """Read a batch; the seconds are the mean of those with phantoms, of which the first is one, and those without."""
    training, phantoms = run.data.training, run.data.phantoms
    batch, seconds = _timed(run, lambda: _first(training.loader))
    if phantoms is None or run.config.data.phantoms * 2 > training.steps_per_epoch:
        return batch, seconds
    training.start_at(1)
    _, without = _timed(run, lambda: _first(training.loader))
    return batch, without + (seconds - without) * run.config.data.phantoms / training.steps_per_epoch


def _timed(run: Run, work: Callable[[], T]) -> tuple[T, float]:
    """Do the work and wait for the device; return the result and the seconds."""
    started = time.perf_counter()
    result = work()
    if run.device.type == "cuda":
        torch.cuda.synchronize(run.device)
    return result, time.perf_counter() - started


def _first(batches: Iterable[Batch]) -> Batch:
    return next(iter(batches))


def _length(batches: Iterable[Batch]) -> int:
    return len(batches)  # type: ignore[arg-type]  # a list or torch's loader: both know it
