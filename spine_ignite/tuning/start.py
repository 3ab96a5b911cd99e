"""Start a run, with whatever has to be found out before it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from spine_ignite.config import RunConfig
from spine_ignite.errors import RunError, RunOverError
from spine_ignite.runs.directory import RunDirectory
from spine_ignite.training import run
from spine_ignite.training.run import RunResult
from spine_ignite.tuning.batch_size import resolve_batch_size


def train(
    config: RunConfig,
    out: Path | None = None,
    *,
    force: bool = False,
    echo: Callable[[str], None] = print,
    progress: Callable[[Any], Any] | None = None,
    show_steps: bool = False,
    handlers: Sequence[Any] = (),
) -> RunResult:
    """Train a network from its first step; ``data.batch_size: auto`` is found by trying.

    See :func:`spine_ignite.training.run.train` for what the arguments are and what it raises.
    """
    return run.train(
        config,
        out,
        force=force,
        echo=echo,
        progress=progress,
        show_steps=show_steps,
        handlers=handlers,
        find_batch_size=lambda planned: resolve_batch_size(planned, progress, echo),
    )


def train_or_resume(
    config: RunConfig,
    directory: RunDirectory,
    changes: Mapping[str, Any] | None = None,
    *,
    echo: Callable[[str], None] = print,
    progress: Callable[[Any], Any] | None = None,
    show_steps: bool = False,
    handlers: Sequence[Any] = (),
) -> RunResult | None:
    """Train a network from its start, or go on with it, whatever has become of an earlier process.

    Args:
        config: of the run.
        directory: where it lies or will lie.
        changes: what is otherwise by now in a run that was begun, by dotted key.
        echo: takes the lines that tell how it goes.
        progress: wraps the cases that are preprocessed.
        show_steps: show a progress bar over the steps of each epoch.
        handlers: what is attached besides.

    Returns:
        How it ended; None if it had come to its end before.

    Raises:
        SpineIgniteError: as :func:`train` and :func:`spine_ignite.training.run.resume`.
        RunError: there are networks without the configuration that they were trained by.
    """
    told: dict[str, Any] = {"echo": echo, "progress": progress, "show_steps": show_steps, "handlers": handlers}
    if directory.config.is_file():
        try:
            return run.resume(directory.root, given=changes, **told)
        except RunOverError:  # it was killed between its last step and our note of that
            return None
    if any(path.is_file() for path in (directory.last, directory.previous, directory.best)):
        raise RunError(
            f"{directory.root} has networks but no {directory.config.name}; restore that, or remove the folder"
        )
    # A process that was killed as it began may have left parts of the record, which are written again.
    return train(config, directory.root, force=True, **told)
