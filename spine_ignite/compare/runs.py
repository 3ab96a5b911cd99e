"""The runs of a comparison: found, named, and refused where they cannot be compared."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from spine_ignite.datasets.case_ids import case_id
from spine_ignite.datasets.split import read_split
from spine_ignite.errors import DataError, UsageError
from spine_ignite.evaluation.case_results import CaseResult
from spine_ignite.evaluation.table_files import read_tables
from spine_ignite.evaluation.tables import Summary
from spine_ignite.names import printable
from spine_ignite.runs.directory import RunDirectory
from spine_ignite.runs.folds_directory import FoldsDirectory
from spine_ignite.runs.manifest import head_of


@dataclass(frozen=True, slots=True)
class EvaluatedRun:
    """A run that was judged.

    Args:
        name: what tables and figures call it.
        path: as the user gave it.
        split: ``test`` or ``validation``; None for a folder that does not say.
        summary: its evaluation.
        directory: its run directory, or None for predictions that were judged without one.
        head: of the chain of its manifest, when it was opened; None without one.
    """

    name: str
    path: Path
    split: str | None
    summary: Summary
    directory: RunDirectory | None
    head: str | None = None

    @property
    def cases(self) -> dict[str, CaseResult]:
        """The cases by the id that image and mask share, since predictions may be named like either."""
        cases = {case_id(Path(case.case)): case for case in self.summary.cases}
        return cases if len(cases) == len(self.summary.cases) else {case.case: case for case in self.summary.cases}


def open_runs(paths: Sequence[Path], split: str = "test", names: Sequence[str] | None = None) -> list[EvaluatedRun]:
    """Read the evaluations of several runs.

    Args:
        paths: run directories, or folders that ``evaluate --predictions … -o DIR`` wrote.
        split: which evaluation of a run directory, or of a cross-validation, which has ``out-of-fold`` too.
        names: a name for each; by default that of its folder, with as much of its path as tells it from the others.

    Raises:
        UsageError: fewer than two runs, one given twice, or names that do not fit.
        DataError: one was not judged, or cannot be compared with the first.
    """
    if len(paths) < 2:
        raise UsageError("compare needs at least two runs; the table of one is what `spine-ignite evaluate` prints")
    places = [_evaluation(path, split) for path in paths]
    _require_different(paths, [folder for folder, _ in places])
    chosen = _require_names(names if names is not None else default_names(paths), len(paths))
    runs = []
    for name, path, (folder, directory) in zip(chosen, paths, places, strict=True):
        summary = read_tables(folder)
        said = summary.settings.get("split")
        judged = said or (split if directory else None)
        runs.append(EvaluatedRun(name, path, judged, summary, directory, head_of(path)))
    for run in runs[1:]:
        require_comparable(runs[0], run)
    return runs


def default_names(paths: Sequence[Path]) -> list[str]:
    """Return the last part of each path, and of paths that end alike as many parts as tell them apart."""
    parts = [path.resolve().parts for path in paths]
    names = []
    for own in parts:
        count = 1
        while count < len(own) and sum(other[-count:] == own[-count:] for other in parts) > 1:
            count += 1
        names.append("/".join(own[-count:]))
    return names


def require_comparable(first: EvaluatedRun, second: EvaluatedRun) -> None:
    """Refuse two runs that were not judged alike.

    Raises:
        DataError: split, scheme, classes, surfaces, their tolerance, cases or reference masks differ; the message says
            which, with the first cases that do.
    """
    one, two = first.summary, second.summary
    if first.split and second.split and first.split != second.split:
        raise _refuse(
            first, second, f"the first was judged on its {first.split} split, the second on its {second.split} split"
        )
    schemes = [run.settings.get("scheme") for run in (one, two)]
    if all(schemes) and schemes[0] != schemes[1]:
        raise _refuse(
            first, second, f"their label schemes differ, '{schemes[0]}' and '{schemes[1]}'; evaluate both with one"
        )
    if one.names != two.names:
        differing = sorted(set(one.names) ^ set(two.names))
        detail = f"'{differing[0]}' for one" if differing else "in their order"
        raise _refuse(first, second, f"their classes differ, {detail}; evaluate both with one label scheme")
    if not math.isclose(one.tolerance, two.tolerance) and not math.isnan(one.tolerance + two.tolerance):
        raise _refuse(
            first,
            second,
            f"their surface tolerances differ, {one.tolerance:g} mm and {two.tolerance:g} mm; evaluate one of them "
            "again with the other's",
        )
    if one.surfaces != two.surfaces:
        raise _refuse(
            first,
            second,
            f"HD95, ASSD and NSD count surfaces by {one.surfaces} in the first and by {two.surfaces} in the second; "
            "evaluate one of them again with the other's --surfaces",
        )
    _require_same_cases(first, second)


def _require_same_cases(first: EvaluatedRun, second: EvaluatedRun) -> None:
    mine, theirs = first.cases, second.cases
    lacking = [
        f"{_some([have[key].case for key in have if key not in other])} only in {run.path}"
        for run, have, other in ((first, mine, theirs), (second, theirs, mine))
        if have.keys() - other.keys()
    ]
    if lacking:
        raise _refuse(
            first,
            second,
            f"they were judged on different cases: {' and '.join(lacking)}; evaluate both on the same cases",
        )
    for run, cases in ((first, mine), (second, theirs)):
        unknown = [case.case for case in cases.values() if not case.reference]
        if unknown:
            raise DataError(
                f"the evaluation of {run.path} does not say by which reference mask {_some(unknown)} was judged; "
                "evaluate it again"
            )
    differing = [mine[key].case for key in mine if mine[key].reference != theirs[key].reference]
    if differing:
        raise _refuse(
            first, second, f"their reference masks differ in case {_some(differing)}; evaluate both by the same masks"
        )


def trained_apart(runs: Sequence[EvaluatedRun]) -> list[str]:
    """Say whether the networks have seen different images in training; no sentence if not.

    Raises:
        DataError: the record of a run's split is damaged.
    """
    seen: dict[str, frozenset[str]] = {}
    notes = []
    for run in runs:
        if run.directory is None:
            continue
        if not run.directory.split.is_file():
            notes.append(f"Which cases {run.name} was trained on is not known: it has no split.json.")
            continue
        seen[run.name] = frozenset(image for case in read_split(run.directory.split).training for image in case.seen)
    if len(set(seen.values())) > 1:
        common = len(frozenset.intersection(*seen.values()))
        counts = ", ".join(f"{name} on {len(images)}" for name, images in seen.items())
        notes.append(f"The runs were trained on different images: {counts}; {common} are common to all.")
    return notes


def _evaluation(path: Path, split: str) -> tuple[Path, RunDirectory | None]:
    """Return the folder of a run's evaluation, and the run directory if it is one."""
    if (path / "summary.json").is_file():
        return path, None
    folds = FoldsDirectory(path)
    if folds.exists:
        return folds.root / "evaluation" / split, None
    if split == "out-of-fold":
        raise DataError(f"{path} is no cross-validation, and has no out-of-fold result; leave --split out-of-fold out")
    if (path / "config.yaml").is_file():
        directory = RunDirectory(path)
        return directory.evaluation / split, directory
    raise DataError(
        f"{path} is neither a run directory (it has no config.yaml) nor a folder that "
        "`spine-ignite evaluate --predictions DIR --labels DIR -o DIR` wrote (it has no summary.json)"
    )


def _require_different(paths: Sequence[Path], folders: Sequence[Path]) -> None:
    seen: dict[Path, Path] = {}
    for path, folder in zip(paths, folders, strict=True):
        earlier = seen.setdefault(folder.resolve(), path)
        if earlier is not path:
            raise UsageError(f"{earlier} and {path} are the same evaluation; give each run once")


def _require_names(names: Sequence[str], count: int) -> list[str]:
    chosen = [printable(name.strip()) for name in names]
    twice = sorted({name for name in chosen if chosen.count(name) > 1})
    if len(chosen) != count or not all(chosen):
        raise UsageError(
            f"--names must give one name for each of the {count} runs, got {len(list(filter(None, chosen)))}"
        )
    if twice:
        raise UsageError(f"--names gives '{twice[0]}' to two runs; each needs its own")
    return chosen


def _refuse(first: EvaluatedRun, second: EvaluatedRun, reason: str) -> DataError:
    return DataError(f"{first.path} and {second.path} cannot be compared: {reason}")


def _some(cases: Sequence[str]) -> str:
    """Name the first case and count the others."""
    return f"'{cases[0]}'" + (f" and {len(cases) - 1} more" if len(cases) > 1 else "")
