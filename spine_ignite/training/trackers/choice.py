"""The trackers of a run: those of the core that its configuration wants, and those of plugins that it names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from spine_ignite.config.sections import LogConfig
from spine_ignite.errors import RunError
from spine_ignite.registry import Chosen, load_registry
from spine_ignite.training.setup import Run

Echo = Callable[[str], None]


def core_trackers(run: Run, echo: Echo) -> dict[str, Any]:
    """Build the core's own trackers that a run has, by name."""
    registry = load_registry()
    return {
        name: registry.choose("tracker", f"{registry.core.name}:{name}")(run, echo) for name in _wanted(run.config.log)
    }


def attach_named(run: Run, echo: Echo) -> dict[str, Any]:
    """Build the trackers that ``log.trackers`` names, connect them to the trainer, and return them by name.

    One that remembers something is in the checkpoint. Those of the core that the run has anyway are left out.

    Raises:
        UsageError: there is no such tracker, or an option cannot be.
        RunError: one fails, or is none.
    """
    registry, found = load_registry(), {}
    for named in run.config.log.trackers:
        chosen = registry.choose("tracker", named.name, named.options)
        if chosen.distribution != registry.core or chosen.component.name not in _wanted(run.config.log):
            found[f"{chosen.distribution.name}/{chosen.component.name}"] = _attach(run, echo, chosen)
    return found


def _wanted(log: LogConfig) -> tuple[str, ...]:
    return (
        *("jsonl", "console"),
        *(("tensorboard", "pictures") if log.tensorboard else ()),
        *(("volumes",) if log.volumes_every else ()),
    )


def _attach(run: Run, echo: Echo, chosen: Chosen) -> Any:
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
    return tracker
