"""Faults of the machine in the middle of a training, told so that one knows what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from spine_ignite.errors import RunError, SpineIgniteError
from spine_ignite.names import cut
from spine_ignite.registry import load_registry
from spine_ignite.runs.resumption import resume_command
from spine_ignite.training.setup import Run


@contextmanager
def faults_explained(run: Run) -> Iterator[None]:
    """Turn what the machine or a plugin does to a training into errors with advice; other errors pass.

    Raises:
        RunError: the device's or the machine's memory does not suffice, a loader worker was killed, files of the
            slice store have vanished, or the code of a plugin raised.
    """
    try:
        with _faults_of_the_machine(run):
            yield
    except SpineIgniteError:
        raise
    except Exception as error:
        plugin = load_registry().plugin_of(error)
        if plugin is None:
            raise
        reason = cut(" ".join(f"{type(error).__name__}: {error}".split()), 300)
        raise RunError(
            f"the plugin {plugin} failed {_when(run)}: {reason}; update or uninstall it, then {_resume(run)}"
        ) from error


@contextmanager
def _faults_of_the_machine(run: Run) -> Iterator[None]:
    try:
        yield
    except MemoryError as error:
        raise out_of_memory(run) from error
    except FileNotFoundError as error:
        if not Path(str(error.filename)).is_relative_to(run.data.store.root):
            raise
        raise RunError(
            f"{error.filename} has vanished {_when(run)}; what is missing is made again when you {_resume(run)}"
        ) from error
    except SpineIgniteError as error:
        text = "".join(map(str, error.args)).rstrip()
        if not text.startswith("Caught "):
            raise
        # torch puts a worker's whole traceback into the text; its last line is the class and what the error says.
        raise type(error)(text.splitlines()[-1].partition(": ")[2]) from error
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise out_of_memory(run) from error
        if "DataLoader worker" in str(error):
            raise RunError(
                f"a loader worker was killed {_when(run)}, most likely for lack of memory; lower data.workers, then "
                f"{_resume(run, f'data.workers={run.config.data.workers // 2}')}"
            ) from error
        raise


def is_out_of_memory(error: Exception) -> bool:
    """Whether the machine's or the device's memory did not suffice."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    # The CPU's allocator and NVIDIA's libraries have no error class for it.
    signs = ("not enough memory", "can't allocate memory", "STATUS_ALLOC_FAILED")
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in signs)


def out_of_memory(run: Run) -> RunError:
    """Return the error that says what did not fit, and what to lower."""
    data, batch = run.config.data, run.config.data.items_per_batch
    rows, columns = run.data.size
    share, find = "", ""
    if batch > 1:
        share = f", with train.accumulate={run.config.train.accumulate * 2} for the same effective batch"
        find = "; data.batch_size=auto finds what fits"
    return RunError(
        f"{run.device} is out of memory {_when(run)} with batches of {batch} {data.sampling} of {rows} x "
        f"{columns} pixels; lower data.batch_size to {max(1, batch // 2)}{share}, or data.size, or the "
        f"width of the network, in a new run{find}"
    )


def _when(run: Run) -> str:
    state = run.trainer.state
    return f"at step {state.iteration} (epoch {state.epoch})" if state.iteration else "before the first step"


def _resume(run: Run, *changes: str) -> str:
    if run.directory.last.is_file() or run.directory.previous.is_file():
        return f"go on with: {resume_command(run.directory.root, *changes)}"
    return "start again: there is no checkpoint yet"
