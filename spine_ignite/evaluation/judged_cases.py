"""Which cases a run is judged on: those that its split records, or a dataset that it has not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from spine_ignite.config import load_config
from spine_ignite.datasets.cases import Case, Dataset
from spine_ignite.datasets.checks import require_valid
from spine_ignite.datasets.find_cases import find_cases
from spine_ignite.datasets.patients import listed
from spine_ignite.datasets.sources import Source, elsewhere, find_all, sources_of
from spine_ignite.datasets.split import Split, SplitCase, of_files, read_split, require_same, unused
from spine_ignite.errors import DataError, UsageError
from spine_ignite.labels import LabelScheme
from spine_ignite.runs.checkpoints import read_weights
from spine_ignite.runs.directory import RunDirectory
from spine_ignite.runs.folds_directory import FoldsDirectory
from spine_ignite.volumes.contrasts import contrasts_sha256
from spine_ignite.volumes.digests import voxels_sha256
from spine_ignite.volumes.volume import STRICT, Reading, read_image

Judged = Literal["test", "validation"]


@dataclass(frozen=True, slots=True)
class JudgedCases:
    """Cases with masks to judge by.

    Args:
        cases: in the dataset's order.
        notes: what a reader of the result must know, a sentence each.
        sources: the datasets that they are of, which say how their masks are read.
        patients: of the cases that the run recorded, by their names.
    """

    cases: tuple[Case, ...]
    notes: tuple[str, ...]
    sources: tuple[Source, ...]
    patients: Mapping[str, str] = field(default_factory=dict)


def judged_cases(
    runs: Sequence[RunDirectory],
    split: Judged,
    data: Path | None = None,
    reading: Reading = STRICT,
    masks: LabelScheme | None = None,
) -> JudgedCases:
    """Return the labelled cases that runs are judged on together.

    These are the cases that the first run recorded when it began, found unchanged. With ``data`` the test cases of that
    dataset, or all if it has none, are judged but for those whose image a run was trained or validated on, or the
    network was trained on that it started from; with the validation split it is where the recorded cases are now.

    Args:
        runs: one, or the members of an ensemble.
        split: which part.
        data: another dataset.
        reading: how its images are read, to compare them with those of the runs.
        masks: scheme of its masks; default that of ``data.root``'s.

    Raises:
        RunError: a run has no record of its split.
        DataError: a case is gone or has changed, or there is none with a mask.
        UsageError: a member of an ensemble was trained on a validation case.
    """
    splits = {run.root: read_split(run.split) for run in runs}
    config = load_config(runs[0].config).data
    if data is not None and split == "test":
        before = {image for run in runs for image in _seen_before(run)}
        return _unseen(elsewhere(config, data, masks), list(splits.values()), before, reading)
    record = splits[runs[0].root]
    own = (elsewhere(config, data, masks),) if data is not None else sources_of(config)
    dataset, problems = find_cases(data, contrasts=config.contrasts) if data is not None else find_all(own)
    wanted = {case.id for case in record.part(split)}
    require_valid(dataset.root, [problem for problem in problems if problem.case in wanted])
    cases = _recorded(record.part(split), dataset, runs[0].split)
    if not cases:
        advice = f"; judge another dataset, or cases that came later, with --data {dataset.root}" * (split == "test")
        raise DataError(f"the {split} split that {runs[0].split} records has no case with a mask to judge by{advice}")
    names = {case.name for case in cases}
    judged = [case for case in record.part(split) if case.name in names]
    patients = {case.name: case.patient for case in judged}
    if split == "validation":
        _refuse_trained(splits, judged)
        return JudgedCases(cases, tuple(_told(own, cases)), own, patients)
    notes = list(dict.fromkeys(leak for other in splits.values() for leak in other.leaks(judged)))
    later = unused(record, [c.name for c in dataset.split("test")], f"{dataset.root}")
    return JudgedCases(cases, (*_told(own, cases), *notes, *later), own, patients)


def _told(sources: Sequence[Source], cases: Sequence[Case]) -> list[str]:
    """Say what masks do not label, of the datasets that are judged."""
    judged = {case.dataset for case in cases}
    return [note for source in sources if source.name in judged for note in source.notes()]


def _recorded(recorded: Sequence[SplitCase], dataset: Dataset, source: Path) -> tuple[Case, ...]:
    found = {case.name: case for case in dataset.cases}
    require_same(recorded, found, of_files, dataset.root, source)
    names = {case.name for case in recorded}
    return tuple(case for case in dataset.cases if case.name in names and case.label is not None)


def _seen_before(run: RunDirectory) -> tuple[str, ...]:
    """SHA-256 of the voxels that a run has seen, if its network is from another one, of which its split is silent."""
    return read_weights(run.best)[1].images or () if run.start.is_file() else ()


def _unseen(source: Source, splits: Sequence[Split], before: set[str], reading: Reading) -> JudgedCases:
    dataset, problems = find_cases(source.root, contrasts=source.contrasts)
    require_valid(dataset.root, problems)
    cases = [case for case in dataset.split("test") or dataset.cases if case.label is not None]
    if not cases:
        raise DataError(f"dataset {dataset.root} has no case with a mask to judge by")
    seen = [case for split in splits for case in (*split.training, *split.validation)]
    files, voxels = {case.image for case in seen}, {image for case in seen for image in case.seen} | before
    left_out = [case.name for case in cases if _is_among(case, files, voxels, reading)]
    judged = tuple(case for case in cases if case.name not in left_out)
    who = "the run, or the network that it started from," if before else "the run"
    if not judged:
        raise DataError(f"{who} was trained or validated on every labelled image of {dataset.root}; judge it on others")
    note = f"left out, since {who} was trained or validated on their images: {listed(left_out)}"
    return JudgedCases(judged, (*source.notes(), *((note,) if left_out else ())), (source,))


def _is_among(case: Case, files: set[str], voxels: set[str], reading: Reading) -> bool:
    try:
        if contrasts_sha256(case.image, case.images) in files:
            return True
        images = dict.fromkeys((case.image, *case.images.values()))
        return any(voxels_sha256(read_image(image, reading)) in voxels for image in images)
    except DataError:
        return False  # it is told when it is predicted


def _refuse_trained(splits: dict[Path, Split], judged: Sequence[SplitCase]) -> None:
    """Refuse to judge an ensemble on cases that a member was trained on, as the folds of a cross-validation are."""
    for root, split in splits.items():
        trained = {image for case in split.training for image in case.seen}
        seen = sorted(case.name for case in judged if trained.intersection(case.seen))
        if seen:
            folds = FoldsDirectory(root.parent)
            also = f"; each case by the fold that has not seen it is in {folds.tables}" * folds.exists
            raise UsageError(
                f"{root} was trained on {len(seen)} of the validation cases, {seen[0]} for one; "
                f"judge this ensemble with --split test{also}"
            )
