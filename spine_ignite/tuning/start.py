"""Start a run, with whatever has to be found out before it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from spine_ignite.config import RunConfig
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
