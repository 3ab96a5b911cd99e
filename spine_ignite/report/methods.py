"""The methods section of a run, written from its manifest and the files that it vouches for, nothing by hand."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from spine_ignite.config import RunConfig
from spine_ignite.config.optimization import OptimizerConfig, ScheduleConfig
from spine_ignite.datasets.split import PARTS, Split, read_split
from spine_ignite.errors import RunError
from spine_ignite.evaluation.measures import SHOWN, shown
from spine_ignite.evaluation.table_files import read_tables
from spine_ignite.evaluation.tables import Summary
from spine_ignite.names import counted
from spine_ignite.registry import load_registry
from spine_ignite.report.methods_text import Methods, Table
from spine_ignite.runs.checkpoints import load_network, read_checkpoint
from spine_ignite.runs.directory import RunDirectory, open_run_directory
from spine_ignite.runs.manifest import Chain, Entry, read_chain
from spine_ignite.runs.provenance import as_recorded
from spine_ignite.runs.resumption import configuration_of
from spine_ignite.volumes.digests import file_sha256

_MEASURES = ("dice", "iou", "hd95", "assd", "nsd")
_MEANINGS = {
    "dice": "Dice coefficient 2 TP / (2 TP + FP + FN)",
    "iou": "intersection over union TP / (TP + FP + FN)",
    "hd95": "95th percentile of the distances between the surfaces (HD95)",
    "assd": "average symmetric surface distance (ASSD)",
    "nsd": "normalised surface Dice (NSD)",
}
_FIRST_PARTY = ("spine-ignite", "torch", "pytorch-ignite", "monai", "torchio", "numpy", "python")


def methods_of(run: Path, split: str = "test") -> Methods:
    """Write the methods section of a run, with the table of its evaluation if it was judged.

    Args:
        run: its directory.
        split: which evaluation: ``test`` or ``validation``.

    Raises:
        RunError: there is no run, or no manifest with its training; or a file that is told of is not the recorded one.
        DataError: a file cannot be read.
    """
    directory = open_run_directory(run)
    chain, entry = recorded_training(directory)
    paragraphs = [
        ("Data", data_text(read_split(directory.split), configuration_of(None, directory))),
        *made_as(directory),
    ]
    paragraphs[-1] = (paragraphs[-1][0], paragraphs[-1][1] + _kept(directory, entry))
    tables: list[Table] = []
    folder = f"evaluation/{split}"
    if f"{folder}/summary.json" in chain.files:
        require_recorded(directory.root, chain, [path for path in chain.files if path.startswith(f"{folder}/")])
        summary = read_tables(directory.root / folder)
        paragraphs.append(("Evaluation", evaluation_text(summary, split)))
        tables.append(_results(summary, split))
    paragraphs.append(("Computation", computation_text(entry)))
    return Methods(tuple(paragraphs), tuple(tables), chain.head)


def recorded_training(directory: RunDirectory) -> tuple[Chain, Entry]:
    """Return the manifest of a run and the entry of its training, once configuration, split and network are as there.

    Raises:
        RunError: it has none, or a file is another one by now.
    """
    chain = read_chain(directory.root)
    entry = chain.last("training") if chain is not None else None
    if chain is None or entry is None:
        raise RunError(
            f"{directory.root} has no manifest of its training, from which its methods could be written; train it again"
        )
    require_recorded(directory.root, chain, ("config.yaml", "split.json", "checkpoints/best.pt"))
    return chain, entry


def made_as(directory: RunDirectory) -> list[tuple[str, str]]:
    """Say in paragraphs how the network of a run was made: preprocessing, augmentation, network, training.

    Raises:
        RunError: as :func:`recorded_training`.
    """
    _, entry = recorded_training(directory)
    config = configuration_of(None, directory)
    return [
        ("Preprocessing", _preprocessing(directory, config)),
        ("Augmentation", augmentation_text(config)),
        ("Network", _network(directory, config)),
        ("Training", _training(config, entry)),
    ]


def data_text(split: Split, config: RunConfig) -> str:
    """Say how many cases of how many patients are for what, and how that was decided."""
    parts = [(part, split.part(part)) for part in PARTS]
    numbers = [
        f"{counted(len(cases), 'case')} of {counted(len({case.patient for case in cases}), 'patient')} for {part}"
        for part, cases in parts
    ]
    several = f" from {counted(1 + len(config.data.also), 'dataset')}" if config.data.also else ""
    phantoms = (
        f" {counted(config.data.phantoms, 'synthetic case')} were mixed into each epoch."
        if config.data.phantoms
        else ""
    )
    return (
        f"{counted(len(split.cases), 'case')}{several} were split by patient ({split.origin}): {', '.join(numbers)}. "
        f"Masks are in the label scheme {config.data.scheme}.{phantoms}"
    )


def augmentation_text(config: RunConfig) -> str:
    """Name the transforms of training batches with their probabilities and ranges."""
    settings = config.augment.model_dump(mode="json")
    if not settings.pop("enabled"):
        return "No augmentation was used."
    others = [next(iter(item)) for item in settings.pop("torchio")]
    used = {name: item for name, item in settings.items() if any(item.get(key) for key in _chances(item))}
    told = [f"{name.replace('_', ' ')} ({_listed(item)})" for name, item in used.items()] + [
        f"{name} of TorchIO" for name in others
    ]
    if not told:
        return "No augmentation was used."
    return f"Training batches were augmented, each slice on its own with probability p: {'; '.join(told)}."


def evaluation_text(summary: Summary, split: str) -> str:
    """Say on what was judged, by which measures, and how label volumes were made."""
    settings = summary.settings
    steps = ", ".join(map(str, settings.get("postprocess", ()))) or "none"
    members = len(settings.get("members", ())) or 1
    how = [
        f"post-processing: {steps}",
        f"test-time augmentation: {'yes' if settings.get('tta') else 'no'}",
        *([f"mean of {members} networks"] if members > 1 else []),
    ]
    counts = "weighted by their area" if summary.surfaces == "area" else "by voxels"
    failed = f" {counted(len(summary.failed), 'case')} could not be judged." if summary.failed else ""
    return (
        f"{counted(len(summary.cases), 'case')} of the {split} split were judged in 3D on the grid of their masks "
        f"({'; '.join(how)}). Measures: {', '.join(_MEANINGS[name] for name in _MEASURES)}, with a tolerance of "
        f"{summary.tolerance:g} mm; surfaces count {counts}. Each is the mean over structures of its mean over the "
        f"cases in which it is defined; a structure that both reference and prediction lack is left out.{failed}"
    )


def computation_text(entry: Entry) -> str:
    """Say with what hardware and which versions was computed."""
    machine = entry.machine
    where = machine.get("gpu") or f"{machine.get('processor')} ({counted(int(machine.get('threads', 1)), 'thread')})"
    versions = [f"{name} {entry.code[name]}" for name in _FIRST_PARTY if name in entry.code]
    plugins = [f"{name} {v}" for name, v in entry.code.items() if name.startswith("spine-ignite-")]
    return f"Computed on {where} in {machine.get('precision')}, with {', '.join([*versions, *plugins])}."


def _preprocessing(directory: RunDirectory, config: RunConfig) -> str:
    state = read_checkpoint(directory.best)["description"]
    rows, columns = state["spacing"]
    low, high = state["clip_percentiles"]
    neighbours = int(state["context_slices"])
    channels = f", with {counted(neighbours, 'neighbouring slice')} on each side as channels" if neighbours else ""
    contrasts = list(state.get("contrasts", ()))
    exam = (
        f" The contrasts {', '.join(contrasts)} of an exam were resampled to the grid of one of them by their headers "
        "and given side by side as channels, 0 where one was missing."
        if contrasts
        else ""
    )
    size = " x ".join(map(str, state["size"]))
    shown = "cut into patches of" if config.data.sampling == "patches" else "cropped or padded about their centre to"
    return (
        f"Sagittal slices were resampled to {rows:g} x {columns:g} mm, intensities of each volume clipped to its "
        f"percentiles {low:g} and {high:g} and scaled to mean 0 and standard deviation 1, slices {shown} {size} "
        f"pixels{channels}.{exam}"
    )


def _network(directory: RunDirectory, config: RunConfig) -> str:
    with as_recorded(directory):
        trained = load_network(directory.best)
        paper = load_registry().find(config.model.name).value.paper
    description = trained.description
    parameters = sum(parameter.numel() for parameter in trained.network.parameters())
    options = f" ({_listed(description.options)})" if description.options else ""
    start = config.train.start_from
    first = f"started from {start.source}" if start is not None else f"drawn at random by seed {config.seed}"
    return (
        f"{description.model} after {paper.authors} ({paper.year}), {parameters:,} parameters, "
        f"{counted(description.in_channels, 'input channel')}, {description.scheme.num_classes} classes"
        f"{options}, from {description.plugin}. First weights were {first}."
    )


def _training(config: RunConfig, entry: Entry) -> str:
    train, optimizer, schedule = config.train, config.optimizer, config.schedule
    steps, epochs = int(entry.settings["steps"]), int(entry.settings["epochs"])
    length = f"{train.minutes:g} minutes, which were " if train.minutes is not None else ""
    clip = f", gradients clipped to a norm of {train.clip_norm:g}" if train.clip_norm is not None else ""
    average = f", weights averaged with a decay of {train.ema:g}" if train.ema is not None else ""
    accumulate = f", gradients of {train.accumulate} steps accumulated" if train.accumulate > 1 else ""
    frozen = f", frozen: {', '.join(train.freeze)}" if train.freeze else ""
    weights = f", class weights {_listed(config.loss.class_weights)}" if config.loss.class_weights else ""  # type: ignore[arg-type]
    options = f" ({_listed(config.loss.options)})" if config.loss.options else ""
    ways = (
        f"optimizer {optimizer.name} with a peak rate of {optimizer.lr:g}{_others(optimizer, ('name', 'lr'))}",
        f"{schedule.name} schedule{_others(schedule, ('name',))}",
        f"{config.data.batch_size} {config.data.sampling} in a step",
        f"{length}{counted(epochs, 'epoch')} and {counted(steps, 'step')}{accumulate}{clip}{average}{frozen}",
    )
    return f"Loss {config.loss.name}{options}{weights}; {'; '.join(ways)}."


def _kept(directory: RunDirectory, entry: Entry) -> str:
    """Say which network was kept."""
    best = read_checkpoint(directory.best).get("best", {})
    score = best.get("score")
    if isinstance(score, float) and not math.isnan(score):
        return f" The network of epoch {best.get('epoch')} was kept, with the best {best.get('monitor')} ({score:.4f})."
    return f" The last network was kept, after {counted(int(entry.settings['epochs']), 'epoch')}."


def _results(summary: Summary, split: str) -> Table:
    columns = {name: shown(name, summary.surfaces) for name in _MEASURES}
    rows = [
        (c.label, str(c.cases), *(how.text(c.means[name]) for name, how in columns.items())) for c in summary.classes
    ]
    mean = (
        "mean of structures",
        str(len(summary.cases)),
        *(SHOWN[name].text(summary.means[name]) for name in _MEASURES),
    )
    headings = ("Structure", "Cases", *(how.heading for how in columns.values()))
    return Table(f"Results on the {split} split.", headings, (*rows, mean))


def require_recorded(root: Path, chain: Chain, paths: Iterable[str]) -> None:
    """Refuse files that are not what a manifest records last.

    Raises:
        RunError: one is not.
    """
    for path in paths:
        known = chain.files.get(path)
        if known is None or not (root / path).is_file() or file_sha256(root / path) != known[0]:
            raise RunError(
                f"{root / path} is not the file that the manifest records, so that nothing is written from it; see "
                f"what does not fit with: spine-ignite verify {root} --quick"
            )


def _chances(item: Mapping[str, Any]) -> list[str]:
    return [key for key in item if key == "p" or key in ("head_to_foot", "neighbours")]


def _others(section: OptimizerConfig | ScheduleConfig, but: tuple[str, ...]) -> str:
    """The settings of a section besides some, those that are empty left out."""
    settings = {key: value for key, value in section.model_dump(mode="json").items() if key not in but}
    return f" ({_listed({key: value for key, value in settings.items() if value not in ({}, [], ())})})"


def _listed(settings: Mapping[str, Any]) -> str:
    """Settings as ``key value``, ranges as ``low to high``."""
    return ", ".join(f"{key.replace('_', ' ')} {_value(value)}" for key, value in settings.items())


def _value(value: Any) -> str:
    if isinstance(value, (list, tuple)) and len(value) == 2 and all(isinstance(n, (int, float)) for n in value):
        return f"{value[0]:g} to {value[1]:g}"
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
