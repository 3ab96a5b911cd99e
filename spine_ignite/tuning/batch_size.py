"""``data.batch_size: auto``: find the size of a batch that fits into memory, by trying.

Trying is done in a process of its own, which takes its networks, its memory and its random numbers with it when it
ends: the run begins as if it had been given the number.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess  # nosec B404 # fixed arguments, no shell
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
import yaml

from spine_ignite import errors
from spine_ignite.config import RunConfig, dump_config, parse_config
from spine_ignite.errors import RunError, SpineIgniteError
from spine_ignite.slices.build import build_store
from spine_ignite.training.faults import is_out_of_memory
from spine_ignite.training.prepare import prepare
from spine_ignite.training.setup import Run, build
from spine_ignite.training.trainer import Trainer

# Two and three give the first straight line; the last step is then half as many again as the largest that fits.
_SIZES = (2, 3, 4, 8, 16, 32, 64, 128, 256)
_MOST_ON_CPU = 32

# A batch is at most this part of an epoch: fewer updates learn less, however fast they are.
_LEAST_STEPS = 20

# Tries a size: returns the peak in bytes, or None if there was not enough memory.
Trial = Callable[[int], int | None]
Note = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Found:
    """The size of a batch, and why it is not larger."""

    size: int
    reason: str


def resolve_batch_size(
    config: RunConfig,
    progress: Callable[[Any], Any] | None = None,
    echo: Callable[[str], None] = lambda _line: None,
) -> RunConfig:
    """Return the configuration with a number for ``data.batch_size``; one that has a number is returned as it is.

    Args:
        config: the run.
        progress: wraps the cases that are preprocessed, to show how far that is.
        echo: takes the lines that tell what is done and found.

    Raises:
        RunError: not even a batch of one fits, or the process that tries dies.
        SpineIgniteError: the run could not start.
    """
    if config.data.batch_size != "auto":
        return config
    build_store(config.data, progress)
    echo("Batch:     trying which size fits into memory")
    found = _find_elsewhere(config)
    items = config.data.sampling if found.size > 1 else {"slices": "slice", "patches": "patch"}[config.data.sampling]
    echo(f"Batch:     {found.size} {items}, found by trying: {found.reason}")
    section = config.data.model_copy(update={"batch_size": found.size})
    return config.model_copy(update={"data": section})


def find_batch_size(config: RunConfig, note: Note = lambda _size: None) -> Found:
    """Find the size in this process, which is left with its random numbers and its memory used.

    Args:
        config: the run.
        note: takes each size that fits, as soon as that is known.

    Raises:
        RunError: not even a batch of one fits.
        SpineIgniteError: the run could not start.
    """
    from spine_ignite.machine.memory import memory_of  # what it needs is not there on every system

    # Of the data only sizes and names are asked; two steps hold as many gradients as a longer group of them.
    data = config.data.model_copy(update={"batch_size": 1, "workers": 0})
    train = config.train.model_copy(update={"overfit_batches": 0, "accumulate": min(2, config.train.accumulate)})
    config = config.model_copy(update={"data": data, "train": train})
    run = build(prepare(config))
    # The first scale of float16 overflows, and a step that is left out allocates no optimizer state.
    run.step.scaler = torch.amp.GradScaler(run.device.type, init_scale=1.0, enabled=run.precision.scales_gradients)
    memory = memory_of(run.device)

    worked = False

    def attempt(size: int) -> int | None:
        nonlocal worked
        memory.start()
        if not train_on_noise(run, size, worked):
            return None
        worked = True
        return memory.peak()

    with memory.enforced():
        found = search(attempt, memory.limit, *_bound(run), note)
    if found.size == 0:
        rows, columns = run.data.size
        key = "data.patch.size" if config.data.sampling == "patches" else "data.size"
        raise RunError(
            f"{run.device} has too little memory to train on a single image of {rows} x {columns} pixels: "
            f"{found.reason}; lower {key}, or the width of the network"
        )
    return found


def train_on_noise(run: Run, size: int, worked: bool = False) -> bool:
    """Train on a batch of noise until a step takes the memory that all later ones take; return whether there was any.

    Args:
        run: what is trained.
        size: slices or patches in the batch.
        worked: whether a smaller batch has worked; then every error is taken for a lack of memory, since libraries
            have many ways to say so.
    """
    rows, columns = run.data.size
    steps = run.config.train.accumulate
    # The optimizer's state comes with its first update, when the batch has gone: the second is the one that counts.
    epochs = 1 if run.optimizer.state else 2
    try:
        image = torch.randn(size, run.description.in_channels, rows, columns)
        label = torch.randint(run.scheme.num_classes, (size, rows, columns), dtype=torch.uint8)
        labelled = torch.ones((size, run.scheme.num_classes), dtype=torch.bool)
        batch = {"image": image, "label": label, "labelled": labelled}
        Trainer(run.step).run([batch] * steps, max_epochs=epochs, epoch_length=steps)
    except (RuntimeError, MemoryError) as error:
        if not worked and not is_out_of_memory(error):
            raise
    else:
        return True
    # Out of the except clause: only now the traceback has let go of the step's tensors.
    run.optimizer.zero_grad(set_to_none=True)
    gc.collect()
    return False


def search(trial: Trial, limit: int, most: int, why_most: str, note: Note = lambda _size: None) -> Found:
    """Return the largest size that fits: a power of two, or half as many again as one; 0 if not even 1 does.

    A size is tried only if the straight line through the two peaks before it stays below the limit.

    Args:
        trial: tries a size.
        limit: the most memory that may be taken, in bytes.
        most: the largest size that may be tried.
        why_most: why no more.
        note: takes each size that fits, as soon as that is known.
    """
    peaks: list[tuple[int, int]] = []
    reason = why_most

    def fits(size: int) -> bool:
        nonlocal reason
        need: int | None = _extrapolate(peaks, size)
        if need is None or need <= limit:
            need = trial(size)
            if need is not None:
                peaks.append((size, need))
        if need is not None and need <= limit:
            note(size)
            return True
        if need is None:
            reason = f"{size} would take more memory than there is"
        else:
            reason = f"{size} would take {need / 2**30:.1f} GiB, and {limit / 2**30:.1f} GiB may be used"
        return False

    best = 0
    for size in _SIZES:
        if size > most or not fits(size):
            break
        best = size
    between = best + best // 2
    if best >= 4 and between <= most and fits(between):
        best = between
    if best == 0 and fits(1):
        best = 1
    return Found(best, reason)


def _extrapolate(peaks: list[tuple[int, int]], size: int) -> int | None:
    """Return the peak of a larger size by the line through the last two, or None without two."""
    if len(peaks) < 2 or size < peaks[-1][0]:
        return None
    (before, less), (last, more) = peaks[-2:]
    return more + (more - less) * (size - last) // (last - before)


def _bound(run: Run) -> tuple[int, str]:
    """Return the largest size that may be tried, and why no more."""
    data = run.config.data
    items = run.data.slices(run.data.train_names)
    if data.sampling == "patches":
        items = len(run.data.train_names) * data.patch.samples_per_volume
    share = min(items, max(2, items // _LEAST_STEPS))
    most, where = (_MOST_ON_CPU, "on a CPU") if run.device.type == "cpu" else (_SIZES[-1], "at all")
    if share < most:
        return share, f"more than {share} of {items} would leave an epoch fewer than {_LEAST_STEPS} steps"
    return most, f"more than {most} are not tried {where}"


def _find_elsewhere(config: RunConfig) -> Found:
    """Run :func:`main` in a new process and return what it found; raise what it raised."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONSAFEPATH": "1"}
    result = subprocess.run(  # nosec B603 # nothing of the command comes from outside
        [sys.executable, "-m", __name__],
        input=dump_config(config),
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        env=environment,
        check=False,
    )
    lines = result.stdout.splitlines()
    if result.returncode > 0 or not lines:
        said = (result.stderr.strip().splitlines() or ["perhaps for lack of memory"])[-1]
        raise RunError(
            f"the process that tried batch sizes ended with code {result.returncode} ({said[:300]}); "
            "give data.batch_size a number, or lower data.size"
        )
    answer = json.loads(lines[-1])  # of one that was killed, the largest size until then
    if "error" in answer:
        kind: type[SpineIgniteError] = getattr(errors, answer["error"], RunError)
        raise kind(answer["text"])
    return Found(**answer)


def main() -> None:
    """Read a configuration from standard input; print what was found, or the error, as the last line of JSON."""
    config = parse_config(yaml.safe_load(sys.stdin.read()))

    def note(size: int) -> None:
        # Stands if the system kills this process while it tries more.
        found = Found(size, "the process that tried more was killed, most likely for lack of memory")
        print(json.dumps(asdict(found)), flush=True)

    try:
        answer: dict[str, Any] = asdict(find_batch_size(config, note))
    except SpineIgniteError as error:
        answer = {"error": type(error).__name__, "text": str(error)}
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
