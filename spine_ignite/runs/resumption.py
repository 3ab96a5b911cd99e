"""What a run that is resumed may change, and from what it goes on."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from spine_ignite.config import RunConfig, dump_config, load_config, parse_config
from spine_ignite.config.load import Overrides
from spine_ignite.errors import RunError, UsageError
from spine_ignite.ownership import is_ours, remove_listed
from spine_ignite.runs.contents import EVENT_FILES
from spine_ignite.runs.directory import RunDirectory, truncate_metrics

# What the machine computes with, where the data lies, what is told, what is done to predictions, and how long it goes
# on; all else would make it another run. A key that ends with a dot stands for its section.
MAY_CHANGE = (
    "device",
    "precision",
    "threads",
    "channels_last",
    "compile",
    "cudnn_benchmark",
    "data.root",
    "data.cache",
    "data.workers",
    "train.epochs",
    "train.minutes",
    "train.patience",
    "train.metrics",
    "log.",
    "predict.",
)


def resume_command(root: Path, *changes: str) -> str:
    """Return the command that goes on with a run, with changes ``a.b=c``, as it can be typed."""
    return shlex.join(["spine-ignite", "train", "--resume", str(root), *(w for c in changes for w in ("--set", c))])


def repeat_command(directory: RunDirectory) -> str:
    """Return the command that begins a new run with the configuration of one, to which ``--set`` can be added."""
    return shlex.join(["spine-ignite", "train", "--config", str(directory.config), "--out", "NEW"])


def identity(config: RunConfig) -> str:
    """Return what tells a run from others: a fingerprint of all that may not change."""
    fixed = {key: value for key, value in _leaves(config.model_dump(mode="json")) if not may_change(key)}
    return hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest()[:16]


def configuration_of(newest: tuple[Mapping[str, Any], Path] | None, directory: RunDirectory) -> RunConfig:
    """Return the configuration that a run was trained with so far.

    Args:
        newest: its last checkpoint and where that lies, or None if it has none yet.
        directory: of the run.

    Raises:
        RunError: the checkpoint does not hold one.
        UsageError: it does not fit this version.
    """
    if newest is None:
        return _with_own_split(load_config(directory.config), directory)
    checkpoint, path = newest
    if "config" not in checkpoint:
        raise RunError(
            f"{path} cannot be resumed from: it does not hold the configuration that it was trained with; "
            f"start a new run with: {repeat_command(directory)}"
        )
    return parse_config(checkpoint["config"], source=f"the configuration in {path}")


def wanted_configuration(
    trained: RunConfig,
    directory: RunDirectory,
    overrides: Overrides = (),
    given: Mapping[str, Any] | None = None,
) -> RunConfig:
    """Return the configuration to go on with: ``config.yaml``, which may have been edited, with overrides.

    A slice store within the dataset moves with it.

    Args:
        trained: the configuration that the run was trained with so far.
        directory: of the run.
        overrides: ``a.b=c``.
        given: values by dotted key; those that are None count as not given.

    Raises:
        UsageError: a key or value is wrong, or would make it another run; the message names them all.
    """
    wanted = _with_own_split(load_config(directory.config, overrides, given=given), directory)
    others = [
        f"{key} is {shown(before)} there and {shown(after)} in config.yaml or --set"
        for key, before, after in changes_between(trained, wanted)
        if not may_change(key)
    ]
    if others:
        allowed = ", ".join(f"{key}*" if key.endswith(".") else key for key in MAY_CHANGE)
        raise UsageError(
            f"{directory.root} can only go on as it was trained: {'; '.join(others)}; only {allowed} may change, "
            f"anything else is a new run: {repeat_command(directory)}"
        )
    root, cache = trained.data.root, trained.data.cache
    if wanted.data.root != root and cache is not None and wanted.data.cache == cache and cache.is_relative_to(root):
        section = wanted.data.model_copy(update={"cache": wanted.data.root / cache.relative_to(root)})
        wanted = wanted.model_copy(update={"data": section})
    return wanted


def require_no_results(directory: RunDirectory) -> None:
    """Refuse to begin a run anew that has got somewhere, though nothing is left to go on from.

    Raises:
        RunError: there are weights.
    """
    folder = directory.best.parent
    results = [directory.best, *folder.glob("*.safetensors"), *folder.glob("*.pt2")]
    found = next((path for path in results if path.is_file()), None)
    if found is not None:
        raise RunError(
            f"{directory.root} cannot be resumed: there is {found}, but neither last.pt nor previous.pt to go on from; "
            f"start a new run with: {repeat_command(directory)}"
        )


def forget_later_epochs(directory: RunDirectory, epoch: int) -> None:
    """Drop what was recorded after ``epoch``, which is trained again; of a run that begins anew that is all.

    Raises:
        RunError: a file cannot be written or deleted.
    """
    for path in (directory.metrics, directory.doctor):
        truncate_metrics(path, epoch)
    if epoch == 0 and is_ours(directory.root, "run"):
        remove_listed(directory.root, "run", EVENT_FILES)


def needs_rewriting(directory: RunDirectory, config: RunConfig) -> bool:
    """Whether ``config.yaml`` says something else than a configuration."""
    return dump_config(_with_own_split(load_config(directory.config), directory)) != dump_config(config)


def _with_own_split(config: RunConfig, directory: RunDirectory) -> RunConfig:
    """Name the split that a run recorded as its ``config.yaml`` does, wherever the directory is now."""
    split = config.data.split
    if split is None or split.absolute() != directory.split.absolute():
        return config
    section = config.data.model_copy(update={"split": Path(directory.split.name)})
    return config.model_copy(update={"data": section})


def changes_between(one: RunConfig, other: RunConfig) -> list[tuple[str, Any, Any]]:
    """Return the keys in which two configurations differ, with both values as plain data."""
    before, after = (dict(_leaves(config.model_dump(mode="json"))) for config in (one, other))
    keys = sorted(before.keys() | after.keys())
    return [(key, before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key)]


def may_change(key: str) -> bool:
    """Whether a run that is resumed may have another value of a key."""
    key = re.sub(r"^data\.also\.\d+\.root$", "data.root", key)  # any dataset may have moved
    return any(key.startswith(allowed) if allowed.endswith(".") else key == allowed for allowed in MAY_CHANGE)


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of nested mappings with its dotted key; lists are values, but for that of datasets."""
    if path == "data.also" and value:
        value = dict(enumerate(value))
    if not isinstance(value, dict) or not value:
        yield path, value
        return
    for key, item in value.items():
        yield from _leaves(item, f"{path}.{key}" if path else str(key))


def shown(value: Any) -> str:
    """Return a value of a configuration as it is shown in messages."""
    return json.dumps(value, ensure_ascii=False)
