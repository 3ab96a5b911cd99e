"""The kinds of components, each with its hook and the key of a configuration that names one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from spine_ignite.spec import Component, ModelSpec


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of what plugins register.

    Args:
        hook: that registers it.
        words: what it is called in a sentence.
        named: where one is named.
        of: what is registered.
    """

    hook: str
    words: str
    named: str
    of: type[Any] = Component


MODEL = "model"

# In the order in which they are listed; the key is what --kind takes.
KINDS = {
    MODEL: Kind("register_models", "model", "model.name", ModelSpec),
    "loss": Kind("register_losses", "loss", "loss.name"),
    "optimizer": Kind("register_optimizers", "optimizer", "optimizer.name"),
    "schedule": Kind("register_schedules", "schedule", "schedule.name"),
    "metric": Kind("register_metrics", "metric", "train.metrics"),
    "tracker": Kind("register_trackers", "tracker", "log.trackers"),
    "reader": Kind("register_readers", "reader", "the file's ending"),
    "layout": Kind("register_layouts", "dataset layout", "the folder's content"),
    "label-scheme": Kind("register_label_schemes", "label scheme", "data.scheme"),
    "cleanup-step": Kind("register_cleanup_steps", "clean-up step", "predict.postprocess"),
    "network": Kind("register_networks", "network", "train.start_from, predict NAME"),
    "command": Kind("register_commands", "command", "spine-ignite NAME"),
}

# Kinds whose target is a file.
_FILES = {"label-scheme": ((".yaml", ".yml"), "a YAML file"), "network": ((".safetensors",), "a .safetensors file")}


def check(kind: str, item: Any) -> None:
    """Refuse what does not belong to a kind.

    Raises:
        TypeError: it is no ``ModelSpec`` or ``Component``.
        ValueError: it lacks what its kind needs, or has what only another kind has.
    """
    about = KINDS[kind]
    if not isinstance(item, about.of):
        raise TypeError(f"{about.hook} must be given a {about.of.__name__}, got {type(item).__name__}")
    if not isinstance(item, Component):
        return
    if bool(item.suffixes) != (kind == "reader"):
        must = "needs the suffixes that it reads" if kind == "reader" else "has no suffixes"
        raise ValueError(f"{about.words} '{item.name}' {must}")
    suffixes, must = _FILES.get(kind, ((), "'package.module:Name'"))
    if not (item.target.endswith(suffixes) if suffixes else ":" in item.target.rpartition("/")[2]):
        raise ValueError(f"the target of {about.words} '{item.name}' must be {must}, got {item.target!r}")
