"""What of the installed plugins a configuration names, and whether it is there: asked before data are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spine_ignite.config.data import DataConfig
from spine_ignite.config.postprocess import parse_step
from spine_ignite.config.sections import RunConfig
from spine_ignite.labels.scheme import FILES
from spine_ignite.registry import load_registry


@dataclass(frozen=True, slots=True)
class Use:
    """A component that a configuration names.

    Args:
        kind: of :data:`spine_ignite.registry.KINDS`.
        name: as it is named, with a distribution if that was said.
        options: given for it.
    """

    kind: str
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


def components_of(config: RunConfig) -> list[Use]:
    """Return the components that a configuration names, besides its architecture."""
    return [
        Use("loss", config.loss.name, config.loss.options),
        Use("optimizer", config.optimizer.name, config.optimizer.options),
        Use("schedule", config.schedule.name, config.schedule.options),
        *(Use("metric", named.name, named.options) for named in config.train.metrics),
        *(Use("tracker", named.name, named.options) for named in config.log.trackers),
        *(Use("label-scheme", name) for name in _schemes(config.data) if Path(name).suffix not in FILES),
        *(Use("cleanup-step", parse_step(step).name) for step in config.predict.postprocess),
    ]


def _schemes(data: DataConfig) -> list[str]:
    masks = (data.masks, *(dataset.masks for dataset in data.also))
    return list(dict.fromkeys((data.scheme, *(name for name in masks if name is not None))))


def require_components(config: RunConfig) -> None:
    """Refuse a configuration that names what is not installed, or gives it options that it does not take.

    Raises:
        UsageError: it does; the message names the closest known name.
        RunError: a plugin cannot be imported.
    """
    registry = load_registry()
    registry.resolve_options(config.model.name, config.model.options)
    for use in components_of(config):
        if use.kind == "label-scheme":  # a file, which is read with the data
            registry.component(use.kind, use.name)
        else:
            registry.choose(use.kind, use.name, use.options)
