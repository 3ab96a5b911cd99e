"""What a model card says, gathered from a run's directory and from the network's description."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from spine_ignite.config import RunConfig, load_config
from spine_ignite.datasets.split import PARTS, Split, read_split
from spine_ignite.errors import DataError, RunError
from spine_ignite.evaluation.table_files import read_tables
from spine_ignite.evaluation.tables import Summary, readable_rows
from spine_ignite.inference.levels.carried import told
from spine_ignite.names import in_markdown
from spine_ignite.registry import load_registry
from spine_ignite.runs.checkpoints import TrainedNetwork
from spine_ignite.runs.directory import RunDirectory, read_rows
from spine_ignite.runs.exported import Header
from spine_ignite.volumes.digests import file_sha256

TEMPLATES = Path(__file__).with_name("templates")
_FIGURES = {"dice": "Dice", "iou": "IoU", "hd95": "HD95 (mm)", "assd": "ASSD (mm)", "nsd": "NSD"}


@dataclass(frozen=True)
class Facts:
    """What is known of a run's network.

    Args:
        trained: the network, with its description.
        header: of its file.
        config: of the run.
        split: its cases; None if they are not recorded.
        epochs: that were trained.
        summary: the evaluation of these very weights on the test cases; None if there is none.
        notes: why something is missing.
    """

    trained: TrainedNetwork
    header: Header
    config: RunConfig
    split: Split | None
    epochs: int
    summary: Summary | None
    notes: tuple[str, ...]


def gather(run: RunDirectory, source: Path, trained: TrainedNetwork, header: Header) -> Facts:
    """Read what a run says about the network of one of its checkpoints.

    Args:
        run: its directory.
        source: the checkpoint.
        trained: the network of it.
        header: what its file will say.
    """
    notes = []
    try:
        split = read_split(run.split)
    except RunError:
        split = None
        notes.append("the card counts no cases: the run has no record of its split")
    summary, missing = _judged(run, source, split)
    notes += missing
    if header.license is None:
        notes.append("the card names no licence: say under which the network may be used with --license")
    epochs = max((row["epoch"] for row in read_rows(run.metrics)), default=0)
    return Facts(trained, header, load_config(run.config), split, epochs, summary, tuple(notes))


def write_card(facts: Facts, name: str, file: Path) -> str:
    """Return the card as Markdown with YAML front matter.

    Args:
        facts: of the network.
        name: of the folder, which is the model's on a hub.
        file: the network's, written already.
    """
    environment = Environment(  # nosec B701 # Markdown, which has an escape of its own
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, keep_trailing_newline=True, trim_blocks=True
    )
    environment.filters["md"] = lambda value: in_markdown(str(value))
    description = facts.trained.description
    spec, start = load_registry().find(description.model).value, facts.config.train.start_from
    given: dict[str, Any] = {
        "front": yaml.safe_dump(_front(facts, name), sort_keys=False, allow_unicode=True),
        "name": name,
        "description": description,
        "paper": spec.paper,
        "plugin": facts.header.plugin,
        "distribution": facts.header.plugin.rpartition(" ")[0],
        "version": facts.header.spine_ignite,
        "license": facts.header.license,
        "parameters": sum(p.numel() for p in facts.trained.network.parameters()),
        "config": facts.config,
        "epochs": facts.epochs,
        "start": Path(start.source).name if start is not None else None,  # where it lay is nobody's business
        "steps": facts.header.settings["predict"]["postprocess"],
        "counts": _counts(facts.split) if facts.split is not None else [],
        "file": file.name,
        "megabytes": f"{file.stat().st_size / 1e6:.1f}",
        "sha256": file_sha256(file),
        "summary": facts.summary,
        "judged": _judged_table(facts.summary),
        "levels": told(facts.header),
        "carries": facts.header.calibration is not None,
    }
    return environment.get_template("card.md.jinja").render(given)


def _judged(run: RunDirectory, source: Path, split: Split | None) -> tuple[Summary | None, list[str]]:
    """Return the evaluation of these weights on the run's own test cases, or why there is none."""
    advice = f"judge it first: spine-ignite evaluate {run.root}"
    try:
        summary = read_tables(run.evaluation / "test")
    except DataError as error:
        return None, [f"the card has no figures ({error})"]
    members = summary.settings.get("members")
    weights = [member.get("weights") for member in members] if isinstance(members, list) else []
    if weights != [file_sha256(source)]:
        return None, [
            f"the card has no figures: the evaluation in the run is not that of {source.name} alone; {advice}"
        ]
    known = {case.name for case in split.test} if split is not None else set()
    if not {case.case for case in summary.cases} <= known:
        return None, [f"the card has no figures: the evaluation in the run is of other cases than its own; {advice}"]
    return summary, []


def _counts(split: Split) -> list[tuple[str, int, int]]:
    """Cases and patients of each part; their names stay in the run."""
    parts = [(part, split.part(part)) for part in PARTS]
    return [(part, len(cases), len({case.patient for case in cases})) for part, cases in parts]


def _judged_table(summary: Summary | None) -> list[list[str]]:
    if summary is None:
        return []
    columns, rows = readable_rows(summary)
    return [columns, *rows]


def _front(facts: Facts, name: str) -> dict[str, Any]:
    """The front matter, as model hubs read it."""
    description = facts.trained.description
    front: dict[str, Any] = {
        "license": facts.header.license.lower() if facts.header.license else "other",
        "library_name": "spine-ignite",
        "pipeline_tag": "image-segmentation",
        "tags": ["medical", "mri", "spine", "segmentation", description.model],
    }
    if facts.summary is None:
        return front
    means = facts.summary.means
    metrics = [
        {"type": key, "name": f"mean {words} over the structures", "value": round(means[key], 4)}
        for key, words in _FIGURES.items()
        if math.isfinite(means.get(key, math.nan))
    ]
    dataset = {"name": f"test cases of the run (scheme {description.scheme.name})", "type": "private", "split": "test"}
    task = {"type": "image-segmentation", "name": "Segmentation of spine MRI"}
    return front | {
        "model-index": [{"name": name, "results": [{"task": task, "dataset": dataset, "metrics": metrics}]}]
    }
