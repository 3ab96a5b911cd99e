"""What is told of a run before its first step."""

from __future__ import annotations

import torch

from spine_ignite.batches.cropping import lost_by_cropping
from spine_ignite.batches.loaders import select
from spine_ignite.datasets.split import PARTS, unused
from spine_ignite.names import counted, printable
from spine_ignite.training.monitor import Monitor
from spine_ignite.training.prepare import RunData
from spine_ignite.training.setup import Run
from spine_ignite.training.warm_start import frozen_as_drawn


def introduction(run: Run, resumed: bool) -> list[str]:
    """Return what is told of a run before its first step, line by line."""
    config, data = run.config, run.data
    parameters = sum(p.numel() for p in run.network.parameters())
    trained = sum(p.numel() for p in run.network.parameters() if p.requires_grad)
    contrasts = ", ".join(run.description.contrasts)
    threads = f" with {counted(torch.get_num_threads(), 'thread')}" if run.device.type == "cpu" else ""
    length = f"{config.train.minutes:g} minutes" if run.budget.limit else counted(run.budget.max_epochs, "epoch")
    lines = [
        f"Device:    {run.device}{threads}, {run.precision.name} ({run.precision.reason})",
        *_describe_processes(run),
        f"Model:     {run.description.model}, {parameters:,} parameters"
        f"{f' of which {trained:,} are trained' if trained < parameters else ''}, "
        f"{counted(run.description.in_channels, 'input channel')}"
        f"{f' ({contrasts})' if contrasts else ''}, {data.scheme.num_classes} classes",
        _describe_data(data),
        *_describe_split(data),
        f"Training:  {length} of {counted(data.training.steps_per_epoch, 'step')} with {config.data.batch_size} "
        f"{config.data.sampling}, loss {config.loss.name}, {config.optimizer.name}, {config.schedule.name} schedule",
        *(run.start.lines() if run.start is not None else []),
        *([f"Frozen:    {', '.join(config.train.freeze)}"] if config.train.freeze else []),
        f"Run:       {run.directory.root} (config.yaml, metrics.jsonl, checkpoints/, tensorboard/)",
    ]
    if not run.validates:
        best = "that of the best train.monitor" if Monitor(config.train, False).judges else "the last network"
        lines.append(f"Validation: none (data.validation is 0): best.pt is {best}")
    if config.train.overfit_batches:
        lines.append("Overfit:   a check: the first batches train and validate, always the same, without augmentation")
    lines += [f"Note:      {note}" for note in data.notes]
    warnings = data.split.leaks()
    if run.start is not None:
        warnings += frozen_as_drawn(run.network, run.start)
    if config.data.sampling == "slices":
        warnings += lost_by_cropping(data.store, select(data.store, data.train_names), data.size)
    lines += [f"Warning:   {sentence}" for sentence in warnings]
    if resumed:
        lines.append(f"Resuming:  at step {run.trainer.state.iteration}, epoch {run.trainer.state.epoch}")
    return lines


def _describe_processes(run: Run) -> list[str]:
    processes, size = run.processes, run.config.data.items_per_batch
    if processes.alone:
        return []
    norm = "over the rows of all" if run.config.train.sync_batch_norm else "of each process alone"
    return [
        f"Processes: {processes.count}, which share each batch of {size} ({processes.local_count} on this machine); "
        f"batch norm {norm}"
    ]


def _describe_data(data: RunData) -> str:
    rows, columns = data.store.settings.spacing
    return (
        f"Data:      {_amount(data, data.train_names)} for training; "
        f"{_amount(data, data.validation_names)} for validation; "
        f"{data.size[0]} x {data.size[1]} pixels of {rows:g} x {columns:g} mm; {data.store.root}"
    )


def _amount(data: RunData, names: list[str]) -> str:
    return f"{counted(len(names), 'case')}, {counted(data.slices(names), 'slice')}"


def _describe_split(data: RunData) -> list[str]:
    split = data.split
    counts = [f"{len({case.patient for case in split.part(part)})} for {part}" for part in PARTS]
    others = unused(split, [case.name for case in data.store.cases], "the dataset")
    return [
        f"Split:     patients {', '.join(counts)}; {printable(str(split.origin))}",
        *(f"Unused:    {line}" for line in others),
    ]
