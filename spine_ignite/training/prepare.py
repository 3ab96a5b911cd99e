"""The one preamble: what is found out and decided before anything is built, for whoever trains or tries to.

The whole configuration comes as far as here and to :func:`.setup.build`; all else is given its section.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from spine_ignite.batches.loaders import (
    SliceLoader,
    TrainingLoader,
    create_training_loader,
    create_validation_loader,
    pins_memory,
    training_size,
)
from spine_ignite.config import AugmentConfig, DataConfig, RunConfig, TrainConfig
from spine_ignite.config.components import require_components
from spine_ignite.config.load import Overrides
from spine_ignite.datasets.split import Split, read_split
from spine_ignite.errors import UsageError
from spine_ignite.labels import LabelScheme
from spine_ignite.losses.class_weights import with_class_weights
from spine_ignite.machine.processes import ALONE, Processes
from spine_ignite.machine.share import Share
from spine_ignite.machine.workers import tell_of_crowds
from spine_ignite.runs.choose_split import choose_split
from spine_ignite.runs.directory import RunDirectory
from spine_ignite.runs.resumption import wanted_configuration
from spine_ignite.runs.starting_point import StartingPoint, open_starting_point
from spine_ignite.slices.build import build_store
from spine_ignite.slices.store import SliceStore, StoredCase
from spine_ignite.training.overfit import FixedBatches, without_variety

if TYPE_CHECKING:
    from spine_ignite.batches.phantom_rows import PhantomRows

Batch = dict[str, Tensor]
Progress = Callable[[Any], Any]

NOWHERE = RunDirectory(Path())  # of what leaves no run


@dataclass(frozen=True)
class RunData:
    """The slice store, which cases are for what, and the loaders."""

    store: SliceStore
    split: Split
    scheme: LabelScheme
    train_names: list[str]
    validation_names: list[str]
    training: TrainingLoader
    validation: Iterable[Batch] | None
    size: tuple[int, int]
    notes: tuple[str, ...] = ()  # what is unusual about the dataset, or its loading
    phantoms: PhantomRows | None = None  # what is drawn into training batches besides

    @property
    def images(self) -> list[Path]:
        """The files of all images."""
        return [Path(case.image.path) for case in self.store.cases]

    @property
    def is_partial(self) -> bool:
        """Whether masks leave something open, so that a loss must be told what each labels."""
        real = any(case.is_partial for case in self.store.split("train"))
        return real or (self.phantoms is not None and not bool(self.phantoms.labelled.all()))

    @property
    def training_cases(self) -> list[StoredCase]:
        """The cases that are trained on."""
        wanted = set(self.train_names)
        return [case for case in self.store.split("train") if case.name in wanted]

    def slices(self, names: list[str]) -> int:
        """Number of slices of the training cases of these names."""
        wanted = set(names)
        return sum(case.num_slices for case in self.store.split("train") if case.name in wanted)


@dataclass(frozen=True)
class Plan:
    """All that is decided before a run is built; nothing has been written but the slice store.

    Args:
        config: what was asked for, with what the data decided filled in, so that it repeats this run.
        directory: of the run.
        data: what it trains and validates on.
        start: where its first weights are from; None: drawn at random, or in a checkpoint.
    """

    config: RunConfig
    directory: RunDirectory
    data: RunData
    start: StartingPoint | None = None

    def starting_from(self, point: StartingPoint | None) -> Plan:
        """Return the plan of a run whose first weights are those of another network, which its configuration records.

        Raises:
            DataError: that network was trained on what the run is judged by.
        """
        if point is None:
            return self
        point.require_unseen(self.data.split)
        train = self.config.train.model_copy(update={"start_from": point.config})
        return replace(self, config=self.config.model_copy(update={"train": train}), start=point)


def prepare(
    config: RunConfig,
    directory: RunDirectory = NOWHERE,
    *,
    progress: Progress | None = None,
    find_batch_size: Callable[[RunConfig], RunConfig] | None = None,
    processes: Processes = ALONE,
) -> Plan:
    """Resolve what a configuration names, bring the slice store up to date, choose the split.

    Args:
        config: everything that defines the run.
        directory: of the run, which need not be there.
        progress: wraps the cases that are preprocessed, to show how far that is.
        find_batch_size: gives ``data.batch_size: auto`` a number; without it auto is refused.
        processes: that share the batches; the first is here before the others.

    Raises:
        SpineIgniteError: the configuration or the data cannot be used.
    """
    require_components(config)
    _require_shareable(config, processes)
    config = without_variety(config)
    point = open_starting_point(config.train.start_from) if config.train.start_from is not None else None
    config = find_batch_size(config) if find_batch_size is not None else config
    return _plan(config, directory, progress, processes).starting_from(point)


def reopen(
    directory: RunDirectory,
    trained: RunConfig,
    overrides: Overrides = (),
    given: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    *,
    begun: bool = True,
    processes: Processes = ALONE,
) -> Plan:
    """Do the same for a run that is gone on with, whose split is the one that it recorded.

    Args:
        directory: of the run.
        trained: the configuration that it was trained with so far.
        overrides: changes, ``a.b=c``.
        given: values by dotted key, likewise; those that are None count as not given.
        progress: wraps the cases that are preprocessed, to show how far that is.
        begun: whether there is a checkpoint, so that what it started from is not needed any more.
        processes: that share the batches.

    Raises:
        UsageError: something would make it another run, or a value is wrong.
        RunError: it has recorded no split.
        DataError: an image or mask is gone, or another one than when it began.
    """
    config = wanted_configuration(trained, directory, overrides, given)
    read_split(directory.split)
    section = config.data.model_copy(update={"split": directory.split})  # wherever the directory is now
    point = open_starting_point(config.train.start_from) if config.train.start_from and not begun else None
    _require_shareable(config, processes)
    return _plan(config.model_copy(update={"data": section}), directory, progress, processes).starting_from(point)


def _require_shareable(config: RunConfig, processes: Processes) -> None:
    """Refuse what several processes cannot do.

    Raises:
        UsageError: the configuration asks for it.
    """
    if processes.alone:
        return
    size = config.data.batch_size
    if size == "auto":
        raise UsageError(
            f"data.batch_size is auto, which one process finds for itself; give {processes.count} processes a number, "
            "which counts the rows of all"
        )
    if config.train.overfit_batches and size < processes.count:
        raise UsageError(
            f"an overfit check with batches of {size} has no row for each of {processes.count} processes; use fewer"
        )


def _plan(config: RunConfig, directory: RunDirectory, progress: Progress | None, processes: Processes) -> Plan:
    pin, share = pins_memory(config.device), processes.share
    data = _read(config.data, config.augment, config.train, seed=config.seed, pin=pin, progress=progress, share=share)
    size = config.data.size if config.data.sampling == "patches" else data.size
    found = {"spacing": data.store.settings.spacing, "size": size, "cache": data.store.root}
    section = config.data.model_copy(update={**found, "split": Path(directory.split.name)})  # the file beside it
    loss = with_class_weights(config.loss, data.training_cases, data.scheme.names)
    return Plan(config.model_copy(update={"data": section, "loss": loss}), directory, data)


def _read(
    data: DataConfig,
    augment: AugmentConfig,
    train: TrainConfig,
    *,
    seed: int,
    pin: bool,
    progress: Progress | None,
    share: Share,
) -> RunData:
    """Bring the slice store up to date, split its cases, create the loaders."""
    crowd = tell_of_crowds(data.workers)
    built = build_store(data, progress)
    store = built.store
    split = choose_split(data, seed, store)
    names = [case.name for case in split.training]
    held_out = [case.name for case in split.validation]
    training = create_training_loader(
        store, names, data, augment, seed=seed, steps_per_epoch=train.steps_per_epoch, pin=pin, share=share
    )
    phantoms = training.dataset.phantoms if isinstance(training, SliceLoader) else None
    validation: Iterable[Batch] | None
    if train.overfit_batches:
        training = FixedBatches(training, train.overfit_batches, train.steps_per_epoch)
        validation, held_out = training.batches, []
    else:
        validation = (
            create_validation_loader(store, held_out, data, seed=seed, pin=pin, share=share) if held_out else None
        )
    return RunData(
        store=store,
        split=split,
        scheme=store.scheme,
        train_names=names,
        validation_names=held_out,
        training=training,
        validation=validation,
        size=data.patch.size if data.sampling == "patches" else training_size(store, data.size),
        notes=(*built.notes, *([phantoms.description] if phantoms is not None else []), *crowd),
        phantoms=phantoms,
    )
