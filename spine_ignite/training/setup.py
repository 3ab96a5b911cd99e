"""Build the parts of a run, each from the configuration and the parts before it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from ignite.engine import Engine
from ignite.handlers import EMAHandler
from torch import Tensor, nn
from torch.optim import Optimizer

from spine_ignite.batches.augment.augmenter import BatchAugmenter
from spine_ignite.batches.loaders import TrainingLoader, create_training_loader, create_validation_loader, training_size
from spine_ignite.config import RunConfig
from spine_ignite.datasets.split import Split, read_split
from spine_ignite.labels import LabelScheme
from spine_ignite.losses.criterion import create_loss
from spine_ignite.machine.allocator import keep_freed_memory
from spine_ignite.machine.precision import Precision, choose_device, choose_precision
from spine_ignite.models import create_model
from spine_ignite.registry import load_registry
from spine_ignite.runs.choose_split import choose_split
from spine_ignite.runs.description import Description
from spine_ignite.runs.directory import RunDirectory
from spine_ignite.seeds import derive_seed, torch_seed
from spine_ignite.slices.build import build_store
from spine_ignite.slices.store import SliceStore
from spine_ignite.training.budget import Budget
from spine_ignite.training.contract import Contract
from spine_ignite.training.evaluator import create_evaluator
from spine_ignite.training.optimizers import create_optimizer
from spine_ignite.training.overfit import FixedBatches
from spine_ignite.training.step import UpdateStep
from spine_ignite.training.trainer import Trainer

Batch = dict[str, Tensor]


@runtime_checkable
class Part(Protocol):
    """Something whose state is saved and restored."""

    def state_dict(self) -> Mapping[str, Any]:
        """Return the state as tensors and plain data."""
        ...

    def load_state_dict(self, state_dict: Any) -> Any:
        """Take it back."""
        ...


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
    notes: tuple[str, ...] = ()  # what is unusual about the dataset

    @property
    def images(self) -> list[Path]:
        """The files of all images."""
        return [Path(case.image.path) for case in self.store.cases]

    def slices(self, names: list[str]) -> int:
        """Number of slices of the training cases of these names."""
        wanted = set(names)
        return sum(case.num_slices for case in self.store.split("train") if case.name in wanted)


@dataclass
class Run:
    """Everything of a run; what handlers, also those of plugins, may look at."""

    config: RunConfig
    directory: RunDirectory
    device: torch.device
    precision: Precision
    data: RunData
    description: Description
    network: nn.Module
    ema: EMAHandler | None
    optimizer: Optimizer
    step: UpdateStep
    budget: Budget
    trainer: Trainer
    evaluator: Engine
    kept: dict[str, Part] = field(default_factory=dict)
    row: dict[str, Any] = field(default_factory=dict)  # the figures of the epoch that was recorded last

    def keep(self, name: str, part: Part) -> None:
        """Let the checkpoint that a run is resumed from hold the state of ``part``, which is restored from it.

        Args:
            name: of the state in the checkpoint; it begins with the plugin's name, lest two plugins clash.
            part: has ``state_dict()``, which returns tensors and plain data, and ``load_state_dict(state)``.

        Raises:
            TypeError: it has not.
            ValueError: the name is taken.
        """
        if not all(callable(getattr(part, method, None)) for method in ("state_dict", "load_state_dict")):
            raise TypeError(f"'{name}' cannot be kept: {type(part).__name__} lacks state_dict or load_state_dict")
        if name in self.kept:
            raise ValueError(f"the name '{name}' is taken; begin it with the plugin's name")
        self.kept[name] = part

    @property
    def validates(self) -> bool:
        """Whether there is anything to validate on; without, ``evaluator`` is never run."""
        return self.data.validation is not None

    @property
    def is_validated(self) -> bool:
        """Whether the epoch that was recorded last has been validated."""
        return any(name.startswith("validation/") for name in self.row)

    @property
    def scheme(self) -> LabelScheme:
        """The label scheme."""
        return self.data.scheme

    @property
    def judged(self) -> nn.Module:
        """The network that is validated and kept: the averaged one, if the run averages."""
        judged: nn.Module = self.ema.ema_model if self.ema is not None else self.network
        return judged


def with_recorded_split(config: RunConfig, directory: RunDirectory) -> RunConfig:
    """Return the configuration of a run with the split that it recorded, wherever the directory is now.

    Raises:
        RunError: it has recorded none.
        DataError: the record cannot be read.
    """
    read_split(directory.split)
    section = config.data.model_copy(update={"split": directory.split})
    return config.model_copy(update={"data": section})


def setup_data(config: RunConfig, progress: Callable[[Any], Any] | None = None) -> RunData:
    """Bring the slice store up to date, split its cases, create the loaders."""
    built = build_store(config.data, progress)
    store = built.store
    data = config.data
    split = choose_split(data, config.seed, store)
    train_names = [case.name for case in split.training]
    validation_names = [case.name for case in split.validation]
    training = create_training_loader(store, train_names, config)
    validation: Iterable[Batch] | None
    if config.train.overfit_batches:
        training = FixedBatches(training, config.train.overfit_batches, config.train.steps_per_epoch)
        validation, validation_names = training.batches, []
    else:
        validation = create_validation_loader(store, validation_names, config) if validation_names else None
    return RunData(
        store=store,
        split=split,
        scheme=store.scheme,
        train_names=train_names,
        validation_names=validation_names,
        training=training,
        validation=validation,
        size=data.patch.size if data.sampling == "patches" else training_size(store, config),
        notes=built.notes,
    )


def setup_model(config: RunConfig, data: RunData, device: torch.device) -> tuple[nn.Module, Description]:
    """Build the network, with initial weights that depend on the seed alone."""
    registry = load_registry()
    item = registry.find(config.model.name)
    options = registry.resolve_options(config.model.name, config.model.options).model_dump(mode="json")
    with torch_seed(derive_seed(config.seed, 0)):
        network = create_model(config.model.name, config.data.channels, data.scheme.num_classes, **options)
    network = network.to(device)
    if config.channels_last:
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if config.compile:
        network.compile()
    description = Description(
        model=item.value.name,
        options=options,
        in_channels=config.data.channels,
        scheme=data.scheme,
        spacing=data.store.settings.spacing,
        clip_percentiles=data.store.settings.clip_percentiles,
        context_slices=config.data.context_slices,
        size=data.size,
        border=data.store.settings.border,
        plugin=item.distribution,
    )
    return network, description


def setup_run(config: RunConfig, directory: RunDirectory, data: RunData) -> Run:
    """Put the engines together.

    Raises:
        SpineIgniteError: a part of the configuration does not fit this machine or the installed plugins.
    """
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    torch.backends.cudnn.benchmark = config.cudnn_benchmark
    device = choose_device(config.device)
    if device.type == "cpu":
        keep_freed_memory()
    precision = choose_precision(config.precision, device)
    spec = load_registry().find(config.model.name).value
    criterion = create_loss(config.loss, data.scheme.num_classes, spec.aux_align_corners).to(device)
    network, description = setup_model(config, data, device)
    Description.from_state(description.state_dict(), directory.root)  # what is saved must be what can be read
    contract = Contract(description.model, str(description.plugin), data.scheme.num_classes)
    optimizer = create_optimizer(network, config.optimizer, criterion)
    augment = BatchAugmenter(config.augment, derive_seed(config.seed, 2)) if config.augment.enabled else None
    step = UpdateStep(
        network,
        optimizer,
        criterion,
        device=device,
        precision=precision,
        accumulate=config.train.accumulate,
        clip_norm=config.train.clip_norm,
        clip_value=config.train.clip_value,
        augment=augment,
        channels_last=config.channels_last,
        seed=config.seed,
        contract=contract,
    )
    ema = None
    if config.train.ema is not None:
        # Ignite's momentum is the share of the new weights, the configuration's decay that of the old.
        ema = EMAHandler(network, momentum=1 - config.train.ema, handle_buffers="update")
    trainer = Trainer(step)
    evaluator = create_evaluator(
        ema.ema_model if ema is not None else network,
        data.scheme.names,
        device=device,
        precision=precision,
        channels_last=config.channels_last,
        criterion=criterion,
        contract=contract,
        metrics=config.train.metrics,
    )
    for engine in (trainer, evaluator):
        engine.logger.setLevel(logging.CRITICAL)  # errors are told once, by whoever asked for the run
    budget = Budget(config.train, data.training.steps_per_epoch)
    return Run(
        config,
        directory,
        device,
        precision,
        data,
        description,
        network,
        ema,
        optimizer,
        step,
        budget,
        trainer,
        evaluator,
    )


def resolved(config: RunConfig, data: RunData) -> RunConfig:
    """Return the configuration with what the data decided filled in, so that it repeats this run.

    The split is that of the file beside it.
    """
    spacing = data.store.settings.spacing
    size = config.data.size if config.data.sampling == "patches" else data.size
    given = {"spacing": spacing, "size": size, "cache": data.store.root, "split": Path("split.json")}
    section = config.data.model_copy(update=given)
    return config.model_copy(update={"data": section})
