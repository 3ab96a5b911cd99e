"""Exams of several contrasts: images that belong together become one case, whatever the layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from spine_ignite.datasets.case_ids import bare_id, natural_order
from spine_ignite.datasets.cases import Case, Folders, Problem
from spine_ignite.datasets.contrast_names import ContrastNames
from spine_ignite.datasets.patients import listed, read_table
from spine_ignite.errors import DataError
from spine_ignite.names import brief, counted
from spine_ignite.volumes.reader import volume_stem, volume_suffix

TABLE = "contrasts.csv"  # in a dataset's folder, or anywhere for predictions
_COLUMNS = ("case", "contrast", "image")


@dataclass
class _Exam:
    """The images of a case, and masks: of one image, or of the case."""

    name: str
    images: dict[str, Path] = field(default_factory=dict)
    masks: dict[str, Path] = field(default_factory=dict)  # by the contrast that they are drawn on
    mask: Path | None = None
    splits: dict[str, str] = field(default_factory=dict)  # by contrast, of layouts that say so of each image

    def case(self, contrasts: Sequence[str], split: str) -> Case:
        """The first contrast that a mask is drawn on gives the grid, else the first that is there."""
        there = [name for name in contrasts if name in self.images]
        first = next((name for name in there if name in self.masks), there[0])
        files = tuple((name, self.images[name]) for name in there)
        label = self.masks.get(first, self.mask)
        return Case(bare_id(self.name), self.name, self.images[first], label, self.splits.get(first, split), "", files)


def pair_exams(
    split: Folders, names: ContrastNames, images: Mapping[Path, str], masks: Mapping[Path, str]
) -> tuple[list[Case], list[Problem]]:
    """Return the cases of a split's two folders, and every pairing problem.

    A mask has the name of one image, as SPIDER's have, or that of the case, as nnU-Net's.

    Args:
        split: the folders.
        names: how files tell contrasts.
        images: the files, and what they are called without suffix.
        masks: likewise.
    """
    problems: list[Problem] = []
    exams = _group([(path, stem) for path, stem in images.items()], names, problems)
    of_images = {bare_id(stem): told for stem in images.values() if (told := names.tell(stem)) is not None}
    of_no_contrast = {bare_id(stem) for stem in images.values() if names.tell(stem) is None}
    for path, stem in masks.items():
        told = of_images.get(bare_id(stem))
        key = bare_id(stem) if told is None else bare_id(told[1])
        exam = exams.get(key)
        if exam is None:
            if key not in of_no_contrast:
                problems.append(Problem(key, path, f"is a mask without an image in {split.images}"))
            continue
        taken = exam.mask if told is None else exam.masks.get(told[0])
        if taken is not None:
            problems.append(Problem(key, path, f"has the same case id '{key}' as {taken.name}; rename or remove one"))
        elif told is None:
            exam.mask = path
        else:
            exam.masks[told[0]] = path
    cases = []
    for key in sorted(exams, key=natural_order):
        exam = exams[key]
        if exam.mask is not None and exam.masks:
            other_mask = next(iter(exam.masks.values()))
            message = f"is a mask of case '{key}' besides {other_mask.name}, which is of one image; keep one"
            problems.append(Problem(key, exam.mask, message))
        case = exam.case(names.contrasts, split.name)
        if case.label is None and split.labels_needed:
            problems.append(Problem(key, case.image, f"has no mask in {split.labels}"))
        else:
            cases.append(case)
    return cases, problems


def join_cases(cases: Sequence[Case], names: ContrastNames) -> tuple[list[Case], list[Problem]]:
    """Bring the cases of a layout that has one for each image together; a case is of the part of its first image."""
    problems: list[Problem] = []
    exams = _group([(case.image, case.name) for case in cases], names, problems)
    for case in cases:
        told = names.tell(case.name)
        exam = exams[bare_id(told[1])] if told is not None else None
        if told is not None and exam is not None and exam.images[told[0]] == case.image:
            exam.splits[told[0]] = case.split
            if case.label is not None:
                exam.masks[told[0]] = case.label
    joined = [exam.case(names.contrasts, "train") for exam in exams.values()]
    return sorted(joined, key=lambda case: (case.split != "train", natural_order(case.id))), problems


def read_exams(path: Path, contrasts: Sequence[str]) -> list[Case]:
    """Return the cases of a table with the columns case, contrast, image, and if wanted mask and split.

    Files are relative to the table. A mask stands beside the image that it is drawn on. Without ``split`` what has a
    mask is for training; ``train`` or ``test`` in any row of a case holds for it. Rows of other contrasts are left.

    Raises:
        DataError: the table cannot be read, names what is not there, or contradicts itself.
    """
    known = {name.lower(): name for name in contrasts}
    exams: dict[str, _Exam] = {}
    parts: dict[str, str] = {}
    taken: dict[Path, str] = {}
    for name, contrast, image, mask, part in read_table(path, _COLUMNS, ("mask", "split")):
        if not name or not image:
            raise DataError(f"{path} has a row without case or image; fill both columns")
        _require_file_name(path, name)
        if (part and parts.setdefault(bare_id(name), part) != part) or part not in ("", "train", "test"):
            raise DataError(f"{path} puts {name} into '{part}'; give each case one of train and test (column split)")
        if contrast.lower() not in known:
            continue
        exam = exams.setdefault(bare_id(name), _Exam(name))
        place = known[contrast.lower()]
        if place in exam.images:
            raise DataError(f"{path} names two images of {name} as {place}; keep one")
        exam.images[place] = _file(path, image)
        use = f"{place} of {name}"
        if (other := taken.setdefault(exam.images[place].resolve(), use)) != use:
            raise DataError(f"{path} names {exam.images[place]} as {other} and as {use}; each image is of one case")
        if mask:
            exam.masks[place] = _file(path, mask)
    if not exams:
        raise DataError(f"{path} has no row of the contrasts {', '.join(contrasts)}; correct its column 'contrast'")
    found = [exam.case(contrasts, "train") for exam in exams.values()]
    return [
        replace(case, split=parts.get(case.id) or ("train" if case.label is not None else "test")) for case in found
    ]


def notes_on(cases: Sequence[Case], contrasts: Sequence[str], others: Sequence[Path], root: Path) -> list[str]:
    """Say which contrasts are missing where, which images and masks are not used, a sentence each.

    Args:
        cases: as they were brought together.
        contrasts: of the run.
        others: images that are none of them.
        root: the dataset.
    """
    return [*notes_on_missing(cases, contrasts, f" in {root}"), *notes_on_others(others, contrasts, f" in {root}")]


def notes_on_missing(cases: Sequence[Case], contrasts: Sequence[str], where: str = "") -> list[str]:
    """Say which contrasts are missing of which cases, a sentence each."""
    notes = []
    for name in contrasts:
        lacking = [case.name for case in cases if name not in case.images]
        if lacking:
            verb = "lacks" if len(lacking) == 1 else "lack"
            notes.append(
                f"{len(lacking)} of {counted(len(cases), 'case')}{where} {verb} the contrast {name}, which is 0 there: "
                f"{listed(lacking)}"
            )
    return notes


def notes_on_others(others: Sequence[Path], contrasts: Sequence[str], where: str = "") -> list[str]:
    """Say in a sentence which images are none of the contrasts; no sentence if there are none."""
    if not others:
        return []
    verb = "is" if len(others) == 1 else "are"
    return [
        f"{counted(len(others), 'image')}{where} {verb} of none of the contrasts {', '.join(contrasts)}, and not used: "
        f"{listed([volume_stem(path) for path in others])}"
    ]


def no_contrast(root: Path, contrasts: Sequence[str]) -> DataError:
    """Return the error of a dataset none of whose images is one of the contrasts."""
    return DataError(
        f"dataset folder {root} has no image of the contrasts {', '.join(contrasts)}: their names end in "
        f"_{contrasts[0]} and so on, or in nnU-Net's channels, or a table {TABLE} names them (docs/formats.md)"
    )


def _group(files: Sequence[tuple[Path, str]], names: ContrastNames, problems: list[Problem]) -> dict[str, _Exam]:
    exams: dict[str, _Exam] = {}
    for path, stem in files:
        told = names.tell(stem)
        if told is None:
            continue
        contrast, rest = told
        exam = exams.setdefault(bare_id(rest), _Exam(rest))
        other = exam.images.setdefault(contrast, path)
        if other != path:
            key = bare_id(rest)
            problems.append(Problem(key, path, f"is {contrast} of case '{key}', as {other.name}; rename or remove one"))
    return exams


def _require_file_name(table: Path, name: str) -> None:
    """Label volumes, folders and rows of tables are called as a case is."""
    if not name.isprintable() or name.startswith(".") or set(name) & set("/\\"):
        raise DataError(f"{table} calls a case {brief(name)}, which no file can be called; correct its column 'case'")


def _file(table: Path, value: str) -> Path:
    path = table.parent / value
    if volume_suffix(path) is None or not path.exists():
        raise DataError(f"{table} names {path}, which is no volume that is there; correct the table, or add the file")
    return path
