"""Bring images and masks, or predictions and masks, together by case id, and say what has no partner or two."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from spine_ignite.datasets.case_ids import CHANNEL, bare_id, natural_order, without_channel
from spine_ignite.datasets.cases import Case, Folders, Problem
from spine_ignite.datasets.contrast_names import ContrastNames
from spine_ignite.datasets.exams import pair_exams
from spine_ignite.datasets.unread import describe, is_image, stem_of, unread_files, unreadable
from spine_ignite.datasets.volume_files import image_volumes, volume_files
from spine_ignite.errors import DataError
from spine_ignite.names import counted, printable
from spine_ignite.volumes.dicom.dicom_paths import is_slice_name
from spine_ignite.volumes.reader import volume_stem


def pair_folders(split: Folders, contrasts: ContrastNames | None = None) -> tuple[list[Case], list[Problem], list[str]]:
    """Return the cases of a split's two folders, every pairing problem, and what is unusual but stops nothing.

    Args:
        split: the folders.
        contrasts: how names tell the contrasts of an exam; None: each image is a case.
    """
    cases, problems = _pair(split) if contrasts is None else _pair_exams(split, contrasts)
    problems += _unread_cases(split)
    notes = [*_forgotten_masks(split, cases), *_unread(split)]
    return cases, [replace(problem, split=split.name) for problem in problems], notes


def match_by_id(predictions: Sequence[Path], references: Sequence[Path]) -> dict[str, tuple[Path | None, Path | None]]:
    """Bring predictions and reference masks together by case id; nnU-Net's channel may stand in predictions' names.

    Returns:
        For each id its prediction and its reference, in natural order; None for what is lacking.

    Raises:
        DataError: two files of one side have the same id.
    """
    masks = {path: volume_stem(path) for path in references}
    problems: list[Problem] = []
    found = _by_id(without_channel({path: volume_stem(path) for path in predictions}, masks), False, problems)
    wanted = _by_id(masks, False, problems)
    if problems:
        raise DataError(f"{problems[0].file} {problems[0].message}")
    return {key: (found.get(key), wanted.get(key)) for key in sorted({*found, *wanted}, key=natural_order)}


def _pair(split: Folders) -> tuple[list[Case], list[Problem]]:
    problems: list[Problem] = []
    masks = _names(split.labels, problems)
    names = _names(split.images, problems)
    if split.channels:
        names = without_channel(names, masks)
    images = _by_id(names, split.channels, problems)
    labels = _by_id(masks, split.channels, problems)
    cases = []
    for key in sorted(images, key=natural_order):
        if key not in labels and split.labels_needed:
            problems.append(Problem(key, images[key], f"has no mask in {split.labels}"))
            continue
        cases.append(Case(key, names[images[key]], images[key], labels.get(key), split.name))
    problems += [
        Problem(key, labels[key], f"is a mask without an image in {split.images}")
        for key in labels
        if key not in images
    ]
    return cases, problems


def _pair_exams(split: Folders, contrasts: ContrastNames) -> tuple[list[Case], list[Problem]]:
    problems: list[Problem] = []
    masks, images = _names(split.labels, problems), _names(split.images, problems)
    cases, wrong = pair_exams(split, contrasts, images, masks)
    return cases, [*problems, *wrong]


def _forgotten_masks(split: Folders, cases: Sequence[Case]) -> list[str]:
    """Say which masks a test split lacks; one without any is meant for prediction."""
    missing = [case.image.name for case in cases if case.label is None]
    if not missing or len(missing) == len(cases):
        return []
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    return [
        f"{missing[0]}{more} of the {len(cases)} {split.name} images in {split.images} cannot be judged by: "
        f"{'they have' if more else 'it has'} no mask in {split.labels}"
    ]


def _unread(split: Folders) -> list[str]:
    found = ((folder, unread_files(folder)) for folder in (split.images, split.labels))
    return [describe(folder, files) for folder, files in found if files]


def _unread_cases(split: Folders) -> list[Problem]:
    """Images and masks in formats that are not read, of cases that lack them otherwise."""

    def key(stem: str) -> str:
        return CHANNEL.sub("", stem).lower() if split.channels else bare_id(stem)

    problems: dict[tuple[Path, str], Problem] = {}
    slices: Counter[Path] = Counter()  # whose names may be a patient's
    for folder in (split.images, split.labels):
        known = {key(volume_stem(path)) for path in volume_files(folder)} if folder.is_dir() else set()
        for path in filter(is_image, unread_files(folder)):
            case = key(stem_of(path))
            if case not in known and is_slice_name(path):
                slices[folder] += 1
            elif case not in known:
                problems.setdefault((folder, case), Problem(case, path, unreadable(path)))
    said = "holds {} of DICOM that no case reads; give each series a folder of its own, or move them out"
    lying = [Problem("", None, f"{place} {said.format(counted(n, 'file'))}") for place, n in slices.items()]
    return [*problems.values(), *lying]


def _names(folder: Path, problems: list[Problem]) -> dict[Path, str]:
    """Stems of the volumes in a folder; names go into tables, logs and pages, so they must be printable."""
    names = {}
    for path in image_volumes(folder) if folder.is_dir() else ():
        if path.name.isprintable():
            names[path] = volume_stem(path)
        else:
            message = "has a line break or another unprintable character in its name; rename it"
            problems.append(Problem(printable(path.name), path, message))
    return names


def _by_id(names: Mapping[Path, str], nnunet: bool, problems: list[Problem]) -> dict[str, Path]:
    seen: dict[str, Path] = {}
    for path, name in names.items():
        key = name.lower() if nnunet else bare_id(name)
        other = seen.setdefault(key, path)
        if other is not path:
            channels = [CHANNEL.search(volume_stem(file)) for file in (path, other)]
            if nnunet and all(channels):
                message = (
                    f"is a second channel of case '{key}' besides {other.name}; name the channels that the network "
                    f"shall see (data.contrasts), or keep the files of one in {path.parent.name}"
                )
            else:
                message = f"has the same case id '{key}' as {other.name}; rename or remove one"
            problems.append(Problem(key, path, message))
    return seen
