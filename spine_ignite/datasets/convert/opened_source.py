"""What a dataset that is to be converted says of itself: its cases, label scheme, patients and splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from spine_ignite.datasets import datalist
from spine_ignite.datasets.case_ids import natural_order
from spine_ignite.datasets.cases import Case, Dataset
from spine_ignite.datasets.checks import miscounted, require_valid
from spine_ignite.datasets.convert.written_layout import SPLITS
from spine_ignite.datasets.find_cases import find_cases
from spine_ignite.datasets.listed_split import Lists, count_listed, read_listed, resolve
from spine_ignite.datasets.patients import patients_of
from spine_ignite.datasets.split import PARTS, Split
from spine_ignite.errors import DataError, UsageError
from spine_ignite.labels import LabelScheme, dataset_json, dseg_table, load_scheme

_SPLITS = (SPLITS, "overview.csv")  # that datasets have beside their files
_PATIENTS = "patients.csv"
_OWN_SCHEMES = ("scheme.yaml", dataset_json.FILE, f"derivatives/labels/{dseg_table.FILE}")
_REGISTERED = {"mrspineseg": "mrspineseg", "spider": "spider"}

Fold = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Opened:
    """A dataset to be converted.

    Args:
        dataset: its cases; each has the part, ``train`` or ``test``, that it will be of.
        scheme: of its masks.
        patients: of each case, by name.
        folds: its splits, ``train`` and ``val``, by names of cases.
        notes: what is unusual and stops nothing.
    """

    dataset: Dataset
    scheme: LabelScheme
    patients: Mapping[str, str]
    folds: tuple[Fold, ...]
    notes: tuple[str, ...]


def open_source(
    root: Path,
    layout: str | None = None,
    masks: str | None = None,
    split: Path | None = None,
    patients: str | None = None,
) -> Opened:
    """Find all cases of a dataset, and what belongs to them.

    Args:
        root: its folder.
        layout: its layout; default: as it is recognised.
        masks: label scheme of its masks; default: what lies in the folder says, or that of its layout.
        split: a file of ``data.split``; default: one that lies in the folder, or the folds of a datalist.
        patients: a rule of ``data.patients``; default: ``patients.csv`` in the folder, else what names tell.

    Raises:
        DataError: files are missing, or contradict each other; the message says which.
        UsageError: its label scheme is not known.
    """
    dataset, problems = find_cases(root, layout)
    require_valid(root, problems)
    if dataset.layout == "nnunet" and (wrong := miscounted(root)) is not None:
        raise DataError(f"{wrong}; correct it, or add the files")
    scheme = load_scheme(masks) if masks is not None else _own_scheme(root, dataset.layout)
    beside = root / _PATIENTS
    names = [case.name for case in dataset.cases]
    _require_apart(dataset.cases)
    whose = patients_of(names, patients or (str(beside) if beside.is_file() else None))
    notes = list(dataset.notes)
    file = split or next((root / name for name in _SPLITS if (root / name).is_file()), None)
    folds: tuple[Fold, ...] = ()
    if file is not None:
        folds, test = _listed(file, {case.name: whose[case.name] for case in dataset.split("train")})
        dataset = _moved(dataset, test)
        notes += _unlisted(file, dataset, folds)
    elif dataset.layout == "monai" and (path := datalist.datalist_of(root)) is not None:
        folds = tuple(datalist.folds_in(path, {case.image: case.name for case in dataset.cases}))
    return Opened(dataset, scheme, whose, folds, tuple(notes))


def _own_scheme(root: Path, layout: str) -> LabelScheme:
    for path in (root / name for name in _OWN_SCHEMES):
        if path.is_file():
            return load_scheme(path)
    if layout in _REGISTERED:
        return load_scheme(_REGISTERED[layout])
    raise UsageError(f"{root} does not say what the values of its masks mean; name their label scheme with --masks")


def _require_apart(cases: Sequence[Case]) -> None:
    seen: dict[str, Case] = {}
    for case in cases:
        other = seen.setdefault(case.name.lower(), case)
        if other is not case:
            raise DataError(f"{case.image} and {other.image} are both called {case.name}; rename one of them")


def _listed(path: Path, patients: Mapping[str, str]) -> tuple[tuple[Fold, ...], tuple[str, ...]]:
    """Return the splits of a file, and the training cases that it makes test cases."""
    count = count_listed(path)
    folds: list[Fold] = []
    tests: set[tuple[str, ...]] = set()
    for number in range(count):
        read = read_listed(path, number if count > 1 else None)
        lists = _of_training(read) if isinstance(read, Split) else read
        found = resolve(lists, patients, path)
        tests.add(tuple(sorted(found["test"], key=natural_order)))
        if found["validation"]:
            folds.append({"train": found["training"], "val": found["validation"]})
    if len(tests) > 1:
        raise DataError(f"the splits in {path} differ in their test cases; a dataset has one test part")
    return tuple(folds), next(iter(tests), ())


def _of_training(split: Split) -> Lists:
    """A run's record: its test cases are those of the dataset already."""
    return Lists({part: [case.name for case in split.part(part)] if part != "test" else [] for part in PARTS})


def _moved(dataset: Dataset, test: Sequence[str]) -> Dataset:
    cases = tuple(replace(case, split="test") if case.name in test else case for case in dataset.cases)
    return replace(dataset, cases=cases)


def _unlisted(path: Path, dataset: Dataset, folds: Sequence[Fold]) -> list[str]:
    known = {name for fold in folds for side in fold.values() for name in side}
    others = [case.name for case in dataset.split("train") if case.name not in known]
    if not folds or not others:
        return []
    number = "1 training case is" if len(others) == 1 else f"{len(others)} training cases are"
    return [f"{number} in no split of {path}: {', '.join(others[:5])}{', …' if len(others) > 5 else ''}"]
