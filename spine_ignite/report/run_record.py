"""What a run's directory says about it: configuration, environment, training and evaluation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from spine_ignite.config import RunConfig
from spine_ignite.datasets.split import PARTS, Split, read_split
from spine_ignite.errors import RunError
from spine_ignite.evaluation.table_files import read_tables
from spine_ignite.evaluation.tables import Summary
from spine_ignite.plain_yaml import YamlError, read_yaml
from spine_ignite.report.curves import Chart, training_charts
from spine_ignite.runs.directory import RunDirectory, open_run_directory, read_rows
from spine_ignite.runs.manifest import head_of

_MOST_DIAGNOSES = 50


@dataclass(frozen=True, slots=True)
class Setting:
    """A key of a configuration or environment, dotted, and its value; ``default`` is given where it is another."""

    key: str
    value: str
    default: str | None = None


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What the training doctor found: the epoch, its name, and in plain words what is wrong and what to do."""

    epoch: str
    code: str
    sentence: str
    advice: str


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run as its directory tells it.

    Args:
        directory: where it is.
        split: ``test`` or ``validation``.
        config: every key of its configuration.
        environment: where it ran.
        made_of: its training, validation and test cases; None if they are not recorded.
        charts: of its training, from ``metrics.jsonl``.
        diagnoses: of the training doctor, the first ones if there are many.
        summary: its evaluation on the split; None if there is none.
        head: of the chain of its manifest; None without one.
    """

    directory: RunDirectory
    split: str
    config: tuple[Setting, ...]
    environment: tuple[Setting, ...]
    made_of: Split | None
    charts: tuple[Chart, ...]
    diagnoses: tuple[Diagnosis, ...]
    summary: Summary | None
    head: str | None = None

    def setting(self, key: str) -> str:
        """A value of the configuration, ``-`` where it has none."""
        return next((setting.value for setting in self.config if setting.key == key), "-")

    @property
    def conditions(self) -> list[str]:
        """How the predictions that were judged were made, as far as the evaluation says."""
        settings = self.summary.settings if self.summary is not None else {}
        said = [f"judged on the {self.split} split"] if self.summary is not None else []
        if self.made_of is not None:
            split = self.made_of
            sizes = ", ".join(f"{len(split.part(part))} for {part}" for part in PARTS)
            said.append(f"cases {sizes} (by patient; {split.origin})")
        said += map(str, settings.get("notes", ()))
        if "checkpoint" in settings:
            said.append(f"checkpoint {settings['checkpoint']}")
        if "postprocess" in settings:
            said.append(f"post-processing: {', '.join(map(str, settings['postprocess'])) or 'none'}")
        if settings.get("tta"):
            said.append("test-time augmentation")
        if len(settings.get("members", ())) > 1:
            said.append(f"an ensemble of {len(settings['members'])} networks")
        return said


def read_run(run: Path, split: str = "test") -> RunRecord:
    """Read what is in a run's directory; lines that a crash cut off are passed over.

    Raises:
        RunError: there is no run, its configuration cannot be read, or it has neither trained nor been judged.
        DataError: the evaluation is damaged.
    """
    directory = open_run_directory(run)
    folder = directory.evaluation / split
    summary = read_tables(folder) if (folder / "summary.json").is_file() else None
    if summary is None and next(read_rows(directory.metrics), None) is None:
        raise RunError(
            f"{run} has nothing to report: no epoch is finished and its {split} split is not judged; train it with "
            f"`spine-ignite train --resume {run}`, then judge it with `spine-ignite evaluate {run}`"
        )
    return RunRecord(
        directory=directory,
        split=split,
        config=_config(directory.config),
        environment=tuple(_flatten(_json(directory.environment))),
        made_of=read_split(directory.split) if directory.split.is_file() else None,
        charts=tuple(training_charts(read_rows(directory.metrics))),
        diagnoses=tuple(map(_diagnosis, islice(read_rows(directory.doctor), _MOST_DIAGNOSES))),
        summary=summary,
        head=head_of(directory.root),
    )


def _config(path: Path) -> tuple[Setting, ...]:
    try:
        data = read_yaml(path)
    except (OSError, YamlError) as error:
        raise RunError(f"{path} cannot be read: {error}; restore it") from error
    defaults = {setting.key: setting.value for setting in _flatten(RunConfig().model_dump(mode="json"))}
    found = _flatten(data if isinstance(data, dict) else {})
    return tuple(Setting(s.key, s.value, _other(defaults.get(s.key), s.value)) for s in found)


def _other(default: str | None, value: str) -> str | None:
    return default if default != value else None


def _diagnosis(line: dict[str, Any]) -> Diagnosis:
    sentence = next((str(line[key]) for key in ("sentence", "message") if line.get(key)), "")
    return Diagnosis(str(line.get("epoch", "-")), str(line.get("code", "")), sentence, str(line.get("advice") or ""))


def _flatten(value: Any, prefix: str = "") -> Iterator[Setting]:
    if isinstance(value, dict) and (value or not prefix):
        for key, inner in value.items():
            yield from _flatten(inner, f"{prefix}.{key}" if prefix else str(key))
    elif value is None or isinstance(value, (bool, list, dict)):
        yield Setting(prefix, json.dumps(value, ensure_ascii=False))
    else:
        yield Setting(prefix, str(value))


def _json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file; an empty one where there is no such file, or it is damaged."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
