"""Trackers that plugins bring and a configuration names."""

from __future__ import annotations

from collections.abc import Callable

from spine_ignite.config.sections import Named
from spine_ignite.errors import RunError
from spine_ignite.registry import load_registry
from spine_ignite.training.setup import Run


def attach_tracker(run: Run, echo: Callable[[str], None], named: Named) -> None:
    """Build a tracker and connect it to the trainer; if it remembers something, the checkpoint keeps that.

    Args:
        run: the run.
        echo: takes the lines that the tracker has to say.
        named: the tracker.

    Raises:
        UsageError: there is no such tracker, or an option cannot be.
        RunError: it fails, or is none.
    """
    chosen = load_registry().choose("tracker", named.name, named.options)
    tracker = chosen(run, echo)
    if not callable(getattr(tracker, "attach", None)):
        raise RunError(f"{chosen} must give an object with attach(trainer), and gives a {type(tracker).__name__}")
    try:
        tracker.attach(run.trainer)
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise RunError(f"{chosen} failed to attach: {reason}; update it, or leave it out of log.trackers") from error
    if callable(getattr(tracker, "state_dict", None)) and callable(getattr(tracker, "load_state_dict", None)):
        run.keep(f"{chosen.distribution.name}/{chosen.component.name}", tracker)
