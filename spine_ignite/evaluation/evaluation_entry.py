"""What a run's manifest says of an evaluation, and of label volumes that were written into the run."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from spine_ignite.datasets.cases import Case
from spine_ignite.datasets.split import of_files
from spine_ignite.evaluation.tables import Summary
from spine_ignite.inference.levels.record import levels_file
from spine_ignite.inference.options import InferenceOptions
from spine_ignite.inference.predictor import Predictor
from spine_ignite.inference.records import record_file
from spine_ignite.machine.hardware import describe_hardware
from spine_ignite.runs.manifest import NAME, Kind, append_entry
from spine_ignite.runs.manifest_entries import code_of

TABLES = ("summary.json", "cases.csv", "classes.csv", "confusion.csv")


def record_evaluation(
    root: Path,
    predictor: Predictor,
    options: InferenceOptions,
    *,
    tables: Path,
    cases: Sequence[Case],
    outputs: Iterable[Path],
    summary: Summary,
    data: Path | None = None,
) -> str | None:
    """Add an evaluation to the manifest of the run or cross-validation that it was written into; return the head.

    Args:
        root: its folder; nothing is added to one of another kind.
        predictor: that predicted.
        options: how, as they were asked for.
        tables: the folder of the tables.
        cases: that were judged.
        outputs: their label volumes.
        summary: the result.
        data: the dataset, if it is not the run's.

    Raises:
        RunError: the manifest cannot be written.
        DataError: a file of a case has gone meanwhile.
    """
    if not keeps_manifest(root):
        return None
    outputs = list(outputs)
    settings = {
        "tables": tables.relative_to(root).as_posix(),
        "predictions": outputs[0].parent.relative_to(root).as_posix() if outputs else None,
        "split": summary.settings.get("split"),
        "data": None if data is None else str(data),
        "masks": summary.settings.get("masks"),
        "tolerance": summary.tolerance,
        "surfaces": summary.surfaces,
        "options": plain_options(options, predictor),
    }
    return _append(
        root, "evaluation", predictor, cases, [*(tables / name for name in TABLES), *_kept(outputs)], settings
    )


def record_predictions(
    root: Path,
    kind: Kind,
    predictor: Predictor,
    cases: Sequence[Case],
    outputs: Iterable[Path],
    files: Iterable[Path] = (),
) -> str | None:
    """Add label volumes, and further files that came of them, to the manifest of the run that they were written into.

    Args:
        root: of the run; nothing is added to a folder of another kind.
        kind: of the act.
        predictor: that predicted.
        cases: that were read, as far as they are cases of a dataset.
        outputs: the label volumes; those that do not lie in the run are left out.
        files: further files in the run.

    Raises:
        RunError: the manifest cannot be written.
        DataError: a file of a case has gone meanwhile.
    """
    inside = [path for path in outputs if Path(root).absolute() in path.absolute().parents]
    if not keeps_manifest(root) or not inside:
        return None
    inside = [Path(root) / path.absolute().relative_to(Path(root).absolute()) for path in inside]
    return _append(root, kind, predictor, cases, [*_kept(inside), *files], {})


def keeps_manifest(root: Path) -> bool:
    """Whether a folder is one that has a manifest: a run, or a cross-validation."""
    return any((root / name).is_file() for name in ("config.yaml", "cross-validation.yaml", NAME))


def plain_options(options: InferenceOptions, predictor: Predictor) -> dict[str, Any]:
    """Return how label volumes are made as plain data, with the device and precision that were chosen."""
    plain = dataclasses.asdict(options)
    plain["ensemble"] = [str(path) for path in options.ensemble]
    plain |= {name: list(plain[name]) for name in ("checkpoints",)}
    plain["window"] = list(options.window) if isinstance(options.window, tuple) else options.window
    plain |= {"postprocess": list(predictor.postprocess), "precision": predictor.precision.name}
    return plain | {"device": predictor.device.type}


def options_of(plain: Mapping[str, Any]) -> InferenceOptions:
    """Return what :func:`plain_options` was made of.

    Raises:
        TypeError, ValueError, UsageError: it is something else.
    """
    values = dict(plain)
    values["ensemble"] = tuple(Path(path) for path in values["ensemble"])
    values |= {name: tuple(values[name]) for name in ("checkpoints", "postprocess")}
    values["window"] = tuple(values["window"]) if isinstance(values["window"], list) else values["window"]
    return InferenceOptions(**values)


def _append(
    root: Path,
    kind: Kind,
    predictor: Predictor,
    cases: Sequence[Case],
    files: Iterable[Path],
    settings: dict[str, Any],
) -> str:
    networks = [member.trained for member in predictor.members]
    plugins = [plugin for trained in networks if (plugin := trained.description.plugin) is not None]
    members = predictor.settings["members"]
    return append_entry(
        root,
        kind,
        code=code_of([trained.network for trained in networks], plugins),
        machine=describe_hardware(predictor.device, predictor.precision.name),
        data={case.name: of_files(case) for case in cases},
        files=files,
        settings={**settings, "weights": [member["weights"] for member in members]},
    )


def _kept(outputs: Iterable[Path]) -> list[Path]:
    return [path for output in outputs for path in (output, record_file(output), levels_file(output))]
