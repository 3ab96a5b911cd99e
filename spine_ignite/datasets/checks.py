"""Check the files of a dataset and report everything that is wrong with it at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from spine_ignite.datasets.cases import Case, Dataset, Problem
from spine_ignite.datasets.exam_checks import check_contrasts
from spine_ignite.datasets.find_cases import find_cases, layout_of
from spine_ignite.datasets.patients import patient_of
from spine_ignite.datasets.sources import Source, alone, find_all, source_of
from spine_ignite.datasets.unused import Unused, unused_files
from spine_ignite.errors import DataError, UsageError, reason
from spine_ignite.labels import LabelScheme, dataset_json
from spine_ignite.labels.dataset_json import structure
from spine_ignite.names import counted
from spine_ignite.volumes.alignment import aligned
from spine_ignite.volumes.digests import voxels_sha256
from spine_ignite.volumes.orientation import orientation_of
from spine_ignite.volumes.volume import STRICT, Reading, Volume, read_image, read_label


@dataclass(frozen=True, slots=True)
class CheckedCase:
    """What reading a case has shown: problems, and figures for the summary.

    ``orientation`` is that of the image's voxel axes, as ``PSR``; ``digests`` are of the voxels of all images.
    """

    case: Case
    problems: tuple[Problem, ...]
    shape: tuple[int, ...] | None = None
    spacing: tuple[float, ...] | None = None
    orientation: str | None = None
    values: tuple[int, ...] = ()
    digests: Mapping[Path, str] = field(default_factory=dict)
    warnings: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """A dataset, or several as one, its checked cases, every problem, and warnings that do not stop a run.

    ``unused`` are the files in its folders that are no part of a case.
    """

    dataset: Dataset
    checked: tuple[CheckedCase, ...]
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    unused: tuple[Unused, ...] = ()


def check_case(case: Case, scheme: LabelScheme, reading: Reading = STRICT) -> CheckedCase:
    """Read a case and report what is wrong with its image, its mask, and the two together."""
    try:
        return _check_case(case, scheme, reading)
    except Exception as error:  # what nobody foresaw in one case must not hide what is wrong with the others
        return CheckedCase(case, (Problem(case.id, case.image, reason(error, case.image)),))


def _check_case(case: Case, scheme: LabelScheme, reading: Reading) -> CheckedCase:
    problems: list[Problem] = []
    image = _try(lambda: read_image(case.image, reading), case, case.image, problems)
    label: Volume | None = None
    if case.label is not None:
        path = case.label
        label = _try(lambda: read_label(path, reading), case, path, problems)
    if label is not None:
        problems += _label_values(case, label, scheme)
    if image is not None and label is not None:
        problems += _same_grid(case, image, label)
    if image is None:
        return CheckedCase(case, tuple(problems))
    wrong, warnings, others = check_contrasts(case, image, reading)
    problems += wrong
    return CheckedCase(
        case,
        tuple(problems),
        warnings=tuple(warnings),
        shape=image.array.shape,
        spacing=tuple(round(float(n), 4) for n in np.linalg.norm(image.affine[:3, :3], axis=0)),
        orientation=orientation_of(image.affine),
        values=tuple(int(v) for v in np.unique(label.array)) if label is not None else (),
        digests={case.image: voxels_sha256(image), **others},
    )


def check_dataset(
    root: Path,
    scheme: LabelScheme,
    progress: Callable[[Sequence[Case]], Any] | None = None,
    reading: Reading = STRICT,
) -> Report:
    """Find and read every case of a dataset whose masks label all that a scheme has.

    Args:
        root: the dataset folder.
        scheme: the values that masks may hold.
        progress: wraps the sequence of cases, to show how far the check is.
        reading: what the files leave unsaid.

    Raises:
        DataError: there is no dataset at ``root``.
    """
    return check_datasets([alone(root, scheme)], progress, reading)


def check_datasets(
    sources: Sequence[Source],
    progress: Callable[[Sequence[Case]], Any] | None = None,
    reading: Reading = STRICT,
) -> Report:
    """Find and read every case of the datasets that are trained on together.

    Args:
        sources: where they lie, and in which schemes their masks are.
        progress: wraps the sequence of cases, to show how far the check is.
        reading: what the files leave unsaid.

    Raises:
        DataError: there is no dataset where one should be.
    """
    dataset, problems = find_all(sources)
    misnamed, notes = check_names(sources)
    problems += misnamed
    problems += [
        Problem(case.id, case.image, "is for training and has no mask; add one, or make its case a test case")
        for case in dataset.cases
        if case.split == "train" and case.label is None  # by a table or list; of folders it is told as they are paired
    ]
    cases = progress(dataset.cases) if progress is not None else dataset.cases
    found = tuple(check_case(case, source_of(case, sources).mapping.source, reading) for case in cases)
    for item in found:
        problems += item.problems
    warnings = [
        *(Problem("", None, note) for note in (*dataset.notes, *notes)),
        *_same_content(found),
        *_same_patient(found),
        *(warning for item in found for warning in item.warnings),
    ]
    told = {problem.file for problem in problems if problem.file is not None}
    unused = [group for source in sources for group in unused_files(source.root, dataset, told)]
    return Report(dataset, found, tuple(problems), tuple(warnings), tuple(unused))


def absent_classes(report: Report, source: Source) -> tuple[str, ...]:
    """Return the classes that a dataset is said to label and that none of its masks holds.

    A network learns from such masks that these structures are background.
    """
    cases = [item for item in report.checked if item.case.dataset == source.name]
    held = np.array(sorted({value for item in cases for value in item.values}), np.int64)
    known = np.isin(
        held, [*source.mapping.source.ignore, *(v for c in source.mapping.source.classes for v in c.values)]
    )
    found = set(np.unique(source.indices(held[known])).tolist())
    names = source.mapping.target.names
    return tuple(name for i, name in enumerate(names) if source.labelled[i] and i not in found and i)


def check_names(sources: Sequence[Source]) -> tuple[list[Problem], list[str]]:
    """Compare the label schemes of masks with the names in nnU-Net's ``dataset.json`` of datasets that have one.

    Returns:
        Problems, and notes on what stops nothing.
    """
    problems: list[Problem] = []
    notes: list[str] = []
    for source in sources:
        path = source.root / dataset_json.FILE
        if path.is_file() and layout_of(source.root).value.name == "nnunet":
            found, said = _compare_names(path, source)
            problems += found
            notes += said
    return problems, notes


def _compare_names(path: Path, source: Source) -> tuple[list[Problem], list[str]]:
    scheme = source.mapping.source
    try:
        described = dataset_json.read_dataset_json(path)
    except UsageError as error:
        return [], [f"{error}, so that its names cannot be compared with the label scheme"]
    differing = []
    for name, value in described.labels.items():
        if name == dataset_json.IGNORE and value in scheme.ignore:
            continue
        known = next((c.name for c in scheme.classes if value in c.values), None)
        if value is not None and (known is None or structure(known) != structure(name)):
            said = f"the scheme '{scheme.name}' calls it {known!r}" if known else f"the scheme '{scheme.name}' lacks it"
            differing.append(f"calls the value {value} {name!r}, {said}")
    problems = []
    if differing:
        more = f", and differs in {len(differing) - 1} more" if len(differing) > 1 else ""
        key = f"the masks of {source.name} (data.also)" if source.name else "data.scheme"
        advice = f"choose the scheme that is meant, or the file's own: {key}={path}"
        problems.append(Problem("", path, f"{differing[0]}{more}; {advice}"))
    channels = described.channels
    notes = [wrong] if (wrong := _miscounted(source.root, described, source.contrasts)) is not None else []
    if len(channels) > 1 and not source.contrasts:
        notes.append(
            f"{path} names {len(channels)} channels ({', '.join(channels)}), and one is read; data.contrasts "
            "names those that the network shall see"
        )
    return problems, notes


def miscounted(root: Path) -> str | None:
    """Say in a sentence that nnU-Net's ``dataset.json`` counts other training cases than there are.

    Returns:
        The sentence; None if the count is right, or there is no such file.

    Raises:
        UsageError: the file cannot be read, or names no labels.
    """
    path = root / dataset_json.FILE
    return _miscounted(root, dataset_json.read_dataset_json(path)) if path.is_file() else None


def _miscounted(root: Path, described: dataset_json.DatasetJson, contrasts: Sequence[str] = ()) -> str | None:
    found = len(find_cases(root, "nnunet", contrasts)[0].split("train"))
    if described.training in (None, found):
        return None
    number = counted(described.training or 0, "training case")
    verb = "is" if described.training == 1 else "are"
    return f"{described.path} says that there {verb} {number}, and imagesTr has {found}"


def require_valid(root: Path, problems: Sequence[Problem]) -> None:
    """Raise one :class:`DataError` that sums up the problems, if there are any."""
    if not problems:
        return
    first = "; ".join(f"{p.file or p.case} {p.message}" for p in problems[:3])
    more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
    raise DataError(f"{first}{more} (run `spine-ignite check {root}` for the full list)")


def _try(read: Callable[[], Volume], case: Case, path: Path, problems: list[Problem]) -> Volume | None:
    try:
        return read()
    except DataError as error:
        problems.append(Problem(case.id, path, str(error).removeprefix(f"{path} ")))
        return None


def _label_values(case: Case, label: Volume, scheme: LabelScheme) -> list[Problem]:
    try:
        scheme.to_indices(label.array)
    except DataError as error:
        return [Problem(case.id, label.path, str(error))]
    return []


def _same_grid(case: Case, image: Volume, label: Volume) -> list[Problem]:
    try:
        aligned(label, image)
    except DataError as error:
        return [Problem(case.id, label.path, str(error).removeprefix(f"{label.path} "))]
    return []


def _same_content(checked: Sequence[CheckedCase]) -> list[Problem]:
    first: dict[str, tuple[Case, Path]] = {}
    warnings = []
    for item in checked:
        for path, digest in item.digests.items():
            other, same = first.setdefault(digest, (item.case, path))
            if other is item.case:
                continue
            leak = "; a test case that is trained on flatters the result" if other.split != item.case.split else ""
            message = f"is the same image as {same.name} of the {other.split} split{leak}"
            warnings.append(Problem(item.case.id, path, message))
    return warnings


def _same_patient(checked: Sequence[CheckedCase]) -> list[Problem]:
    """Warn of test cases of a patient who is trained on, as far as names tell."""
    trained: dict[str, Case] = {}
    for item in checked:
        if item.case.split == "train":
            trained.setdefault(patient_of(item.case.name), item.case)
    warnings = []
    for item in checked:
        patient = patient_of(item.case.name)
        other = trained.get(patient)
        if item.case.split == "test" and other is not None:
            message = (
                f"is of patient {patient}, as {other.image.name} of the train split; a patient who is trained on "
                "flatters the result"
            )
            warnings.append(Problem(item.case.id, item.case.image, message))
    return warnings
