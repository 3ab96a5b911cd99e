"""Faults of the machine in the middle of a training, told so that one knows what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from spine_ignite.engines.setup import Run
from spine_ignite.errors import RunError


@contextmanager
def faults_explained(run: Run) -> Iterator[None]:
    """Turn what the machine does to a training into errors with advice; other errors pass.

    Raises:
        RunError: the device's or the machine's memory does not suffice, a loader worker was killed, or files of the
            slice store have vanished.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise out_of_memory(run) from error
    except FileNotFoundError as error:
        if not Path(str(error.filename)).is_relative_to(run.data.store.root):
            raise
        raise RunError(f"{error.filename} has vanished {_when(run)}; preprocess again, then {_resume(run)}") from error
    except RuntimeError as error:
        text = str(error)
        if "not enough memory" in text or "can't allocate memory" in text:  # the CPU's allocator has no error class
            raise out_of_memory(run) from error
        if "DataLoader worker" in text:
            raise RunError(
                f"a loader worker was killed {_when(run)}, most likely for lack of memory; lower data.workers, then "
                f"{_resume(run)}"
            ) from error
        raise


def out_of_memory(run: Run) -> RunError:
    """Return the error that says what did not fit, and what to lower."""
    data = run.config.data
    rows, columns = run.data.size
    share = f", with train.accumulate={run.config.train.accumulate * 2} for the same effective batch"
    return RunError(
        f"{run.device} is out of memory {_when(run)} with batches of {data.batch_size} {data.sampling} of {rows} x "
        f"{columns} pixels; lower data.batch_size to {max(1, data.batch_size // 2)}"
        f"{share if data.batch_size > 1 else ''}, or data.size, or the width of the network"
    )


def _when(run: Run) -> str:
    state = run.trainer.state
    return f"at step {state.iteration} (epoch {state.epoch})" if state.iteration else "before the first step"


def _resume(run: Run) -> str:
    root = run.directory.root
    if run.directory.last.is_file() or run.directory.previous.is_file():
        return f"go on with: spine-ignite train --resume {root}"
    return "start again: there is no checkpoint yet"
