"""Build the parts of a run, each from the configuration and the parts before it."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from ignite.engine import Engine
from ignite.handlers import EMAHandler
from torch import nn
from torch.optim import Optimizer

from spine_ignite.batches.augment.augmenter import BatchAugmenter
from spine_ignite.config import ModelConfig, RunConfig
from spine_ignite.config.data import channels_of
from spine_ignite.labels import LabelScheme
from spine_ignite.losses.class_weights import weights_in_order
from spine_ignite.losses.criterion import Criterion, create_loss
from spine_ignite.machine.allocator import keep_freed_memory
from spine_ignite.machine.precision import Precision, choose_device, choose_precision
from spine_ignite.machine.processes import ALONE, Processes
from spine_ignite.models import create_model
from spine_ignite.nn.shared_batch_norm import share_batch_norms
from spine_ignite.registry import load_registry
from spine_ignite.runs.description import Description
from spine_ignite.runs.directory import RunDirectory
from spine_ignite.runs.starting_point import StartingPoint
from spine_ignite.seeds import derive_seed, torch_seed
from spine_ignite.training.budget import AgreedClock, Budget
from spine_ignite.training.contract import Contract
from spine_ignite.training.evaluator import create_evaluator
from spine_ignite.training.optimizers import create_optimizer
from spine_ignite.training.parts import freeze, parts_of
from spine_ignite.training.prepare import Plan, RunData
from spine_ignite.training.step import UpdateStep
from spine_ignite.training.trainer import Trainer
from spine_ignite.training.warm_start import Start, warm_start


@runtime_checkable
class Part(Protocol):
    """Something whose state is saved and restored."""

    def state_dict(self) -> Mapping[str, Any]:
        """Return the state as tensors and plain data."""
        ...

    def load_state_dict(self, state_dict: Any) -> Any:
        """Take it back."""
        ...


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
    processes: Processes = ALONE  # of which this is one
    start: Start | None = None  # where its first weights are from, if they are not drawn at random
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


def describe(model: ModelConfig, data: RunData, context_slices: int, start: StartingPoint | None = None) -> Description:
    """Return what a checkpoint says of the network, its input, and what it has seen, also before it started here."""
    registry = load_registry()
    item = registry.find(model.name)
    seen = {image for case in data.split.training for image in case.seen}
    return Description(
        model=item.value.name,
        options=registry.resolve_options(model.name, model.options).model_dump(mode="json"),
        in_channels=channels_of(data.store.settings.contrasts, context_slices),
        scheme=data.scheme,
        spacing=data.store.settings.spacing,
        clip_percentiles=data.store.settings.clip_percentiles,
        context_slices=context_slices,
        size=data.size,
        border=data.store.settings.border,
        plugin=item.distribution,
        contrasts=data.store.settings.contrasts,
        images=tuple(sorted(seen | (start.images if start else set()))),
    )


def create_network(name: str, description: Description, seed: int) -> nn.Module:
    """Build the network, with initial weights that depend on the seed alone."""
    with torch_seed(derive_seed(seed, 0)):
        return create_model(name, description.in_channels, description.scheme.num_classes, **description.options)


def _first_network(plan: Plan, description: Description, device: torch.device) -> tuple[nn.Module, Start | None]:
    """Build the network as it is before the first step, and say what of it another network gave."""
    config, start = plan.config, None
    network = create_network(config.model.name, description, config.seed).to(device)
    if plan.start is not None:
        start = warm_start(network, description, plan.start, plan.directory.root)
    if config.train.sync_batch_norm:
        share_batch_norms(network)
    if config.channels_last:
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if config.compile:
        network.compile()
    return network, start


def _set_machine(config: RunConfig, processes: Processes) -> tuple[torch.device, Precision]:
    """Choose what is computed with, and set what holds for the whole process."""
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    torch.backends.cudnn.benchmark = config.cudnn_benchmark
    device = choose_device(config.device, processes.local, processes.local_count)
    if device.type == "cpu":
        keep_freed_memory()
    return device, choose_precision(config.precision, device)


def _create_criterion(config: RunConfig, data: RunData) -> Criterion:
    spec = load_registry().find(config.model.name).value
    weight = weights_in_order(config.loss, data.scheme.names)
    return create_loss(config.loss, data.scheme.num_classes, spec.aux_align_corners, data.is_partial, weight)


def build(plan: Plan, processes: Processes = ALONE) -> Run:
    """Put the engines together.

    Args:
        plan: what was decided.
        processes: that train together.

    Raises:
        SpineIgniteError: a part of the configuration does not fit this machine or the installed plugins.
    """
    config, directory, data = plan.config, plan.directory, plan.data
    device, precision = _set_machine(config, processes)
    processes = processes.on(device)
    criterion = _create_criterion(config, data).to(device)
    description = describe(config.model, data, config.data.context_slices, plan.start)
    network, start = _first_network(plan, description, device)
    named = (*config.train.freeze, *config.optimizer.lr_factors, *config.optimizer.decay_factors)
    parts = parts_of(network, description, directory.root) if named else None
    frozen = freeze(network, parts, config.train.freeze) if parts is not None else []
    Description.from_state(description.state_dict(), directory.root)  # what is saved must be what can be read
    contract = Contract(description.model, str(description.plugin), data.scheme.num_classes)
    optimizer = create_optimizer(network, config.optimizer, criterion, parts)
    tissues = [c.name if c.kind == "other" else c.kind for c in data.scheme.classes]
    augment = None
    if config.augment.enabled:
        contrasts = max(1, len(description.contrasts))
        augment = BatchAugmenter(config.augment, derive_seed(config.seed, 2), tissues, contrasts)
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
        frozen=frozen,
        partial=data.is_partial,
        processes=processes,
        batch_size=config.data.items_per_batch,
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
        partial=data.is_partial,
    )
    for engine in (trainer, evaluator):
        engine.logger.setLevel(logging.CRITICAL)  # errors are told once, by whoever asked for the run
    clock = time.monotonic if processes.alone else AgreedClock(processes)
    budget = Budget(config.train, data.training.steps_per_epoch, clock)
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
        processes,
        start,
    )
