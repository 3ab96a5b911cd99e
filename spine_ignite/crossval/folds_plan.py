"""What a cross-validation is made of: one configuration and one record of all folds, new or as they were begun."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spine_ignite.batches.loaders import training_size
from spine_ignite.config import RunConfig, dump_config, load_config
from spine_ignite.config.components import require_components
from spine_ignite.datasets.folds import Folds, read_folds
from spine_ignite.datasets.split import require_same
from spine_ignite.errors import UsageError
from spine_ignite.files import guard, write_text
from spine_ignite.ownership import require_ours
from spine_ignite.places import require_apart
from spine_ignite.runs.choose_split import choose_folds, fingerprint_of_stored
from spine_ignite.runs.folds_directory import FoldsDirectory, open_folds_directory
from spine_ignite.runs.resumption import changes_between, may_change, shown
from spine_ignite.runs.starting_point import record_start
from spine_ignite.slices.build import build_store
from spine_ignite.slices.place import store_folder
from spine_ignite.tuning.batch_size import resolve_batch_size

Progress = Callable[[Any], Any]
Echo = Callable[[str], None]
_LENGTH = ("train.epochs", "train.minutes", "train.patience")  # may change in a run, but folds must be alike
_FOUND = ("data.spacing", "data.size", "data.batch_size", "data.cache", "data.folds")  # by the data, where not given


@dataclass(frozen=True)
class Plan:
    """What is trained.

    Args:
        directory: of the cross-validation.
        config: of all folds.
        folds: who is held out where.
        is_new: whether no fold has begun: then it is recorded anew, since a mistake may have stopped it before.
    """

    directory: FoldsDirectory
    config: RunConfig
    folds: Folds
    is_new: bool

    def of_fold(self, number: int) -> RunConfig:
        """The configuration of a fold: all folds' with its own split."""
        split = {"split": self.directory.splits.absolute(), "fold": number, "folds": len(self.folds.folds)}
        return self.config.model_copy(update={"data": self.config.data.model_copy(update=split)})

    def changes_of(self, number: int) -> dict[str, Any]:
        """What a fold that was begun has otherwise by now, by dotted key: where it runs, and what is logged."""
        changes = changes_between(load_config(self.directory.fold(number).config), self.of_fold(number))
        return {key: value for key, _, value in changes if _is_free(key) and value is not None}

    def write(self) -> None:
        """Record it; the configuration comes last, since it makes the directory a cross-validation."""
        if self.is_new:
            write_text(self.directory.splits, self.folds.to_json())
        text = dump_config(self.config)
        if not self.directory.exists or self.directory.config.read_text(encoding="utf-8") != text:
            write_text(self.directory.config, text)


def plan_cross_validation(config: RunConfig, out: Path) -> FoldsDirectory:
    """Refuse what cannot be cross-validated, or not into this folder; nothing is written.

    Raises:
        UsageError: the configuration is that of one fold or of a check, or ``out`` lies in the data.
        RunError: ``out`` holds something else.
    """
    directory = FoldsDirectory(out)
    if not directory.has_begun:  # what a fold was begun with is looked for when it is gone on with
        require_components(config)
    if config.data.fold is not None:
        raise UsageError("data.fold chooses one fold, and a cross-validation trains all; leave it out")
    if config.train.overfit_batches:
        raise UsageError("train.overfit_batches is a check of one run; leave it out of a cross-validation")
    require_apart({"--out": out}, {**config.data.roots, "data.cache": store_folder(config.data)})
    require_ours(out, "cross-validation")
    guard(out)
    return directory


def make_plan(directory: FoldsDirectory, config: RunConfig, progress: Progress | None, echo: Echo) -> Plan:
    """Return the plan of a directory: as it was begun, or a new one of which nothing is written yet.

    Raises:
        UsageError: the cross-validation there was begun with another configuration.
        DataError: the folds cannot be made, or an image or mask is gone or another one than when it began.
    """
    begun = load_config(directory.config) if directory.has_begun else None
    if config.train.start_from is not None:  # once for all folds, each of which is held against this record
        start = record_start(config.train.start_from, None if begun is None else begun.train.start_from)
        config = config.model_copy(update={"train": config.train.model_copy(update={"start_from": start})})
    if begun is None:
        config = resolve_batch_size(config, progress, echo)
    else:
        config = _filled(config, begun)
        _require_alike(directory, begun, config)
    store = build_store(config.data, progress).store
    found: dict[str, Any] = {"cache": store.root, "spacing": store.settings.spacing}
    if config.data.sampling == "slices":
        found["size"] = training_size(store, config.data.size)
    config = config.model_copy(update={"data": config.data.model_copy(update=found)})
    if begun is not None:
        folds = read_folds(directory.splits)
        cases = {case.name: case for case in store.cases}
        require_same(folds.cases, cases, fingerprint_of_stored, config.data.root, directory.splits)
        return Plan(directory, config, folds, is_new=False)
    folds = choose_folds(config.data, config.seed, store)
    section = config.data.model_copy(update={"folds": len(folds.folds)})
    return Plan(directory, config.model_copy(update={"data": section}), folds, is_new=True)


def open_plan(root: Path) -> Plan:
    """Return the plan of a cross-validation as it is recorded.

    Raises:
        RunError: there is none in ``root``.
        DataError: its folds cannot be read.
    """
    directory = open_folds_directory(root)
    return Plan(directory, load_config(directory.config), read_folds(directory.splits), is_new=False)


def recorded_config(root: Path, overrides: tuple[str, ...], given: dict[str, Any]) -> RunConfig:
    """Return the configuration of a cross-validation that was begun, with changes.

    Raises:
        RunError: there is none in ``root``.
        UsageError: a key or value is wrong.
    """
    return load_config(open_folds_directory(root).config, overrides, given=given)


def require_alike(plan: Plan, number: int) -> None:
    """Refuse a fold that was begun, or has been gone on with since, under another configuration.

    Raises:
        UsageError: it was.
    """
    run = plan.directory.fold(number)
    begun = load_config(run.config)
    unlike = _unlike(plan.of_fold(number), begun, ("data.split",))
    if unlike:
        raise UsageError(
            f"{run.root} was trained otherwise than the cross-validation: {'; '.join(unlike)}; set it back in "
            f"{run.config}, or remove {run.root} to train it again"
        )


def _filled(config: RunConfig, begun: RunConfig) -> RunConfig:
    """Take from a record what is not given, but was found by the data."""
    data: dict[str, Any] = {}
    if config.data.batch_size == "auto":
        data["batch_size"] = begun.data.batch_size
    if config.data.split is not None and config.data.split == begun.data.split:
        data["folds"] = begun.data.folds  # as many as it lists
    if config.data.root == begun.data.root and config.data.cache is None:
        data["cache"] = begun.data.cache
    for key in ("spacing", "size"):
        if getattr(config.data, key) is None:
            data[key] = getattr(begun.data, key)
    root, cache = begun.data.root, begun.data.cache
    if config.data.root != root and config.data.cache == cache and cache is not None and cache.is_relative_to(root):
        data["cache"] = config.data.root / cache.relative_to(root)  # a slice store within the dataset moves with it
    return config.model_copy(update={"data": config.data.model_copy(update=data)})


def _require_alike(directory: FoldsDirectory, begun: RunConfig, config: RunConfig) -> None:
    unlike = _unlike(begun, config)
    if unlike:
        raise UsageError(
            f"{directory.root} holds a cross-validation that was begun otherwise: {'; '.join(unlike)}; go on with it "
            "as it is, or choose another folder for a new one"
        )


def _unlike(begun: RunConfig, other: RunConfig, but: tuple[str, ...] = ()) -> list[str]:
    return [
        f"{key} was {shown(before)} and is {shown(after)}"
        for key, before, after in changes_between(begun, other)
        if not _is_free(key) and key not in but
    ]


def _is_free(key: str) -> bool:
    """Whether a key may change while a cross-validation is under way."""
    return may_change(key) and key not in _LENGTH
