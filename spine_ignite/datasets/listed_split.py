"""Splits that are given as a file: nnU-Net's, SPIDER's official one, or plain lists of cases or patients."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spine_ignite.datasets.folds import parse_folds
from spine_ignite.datasets.name_lookup import CaseNames
from spine_ignite.datasets.patients import listed, read_table
from spine_ignite.datasets.split import PARTS, Split, parse_split
from spine_ignite.errors import DataError
from spine_ignite.plain_yaml import read_yaml

_KEYS = {"training": "training", "train": "training", "validation": "validation", "val": "validation", "test": "test"}
_EXPECTED = (
    "expected a run's split.json, a cross-validation's splits.json, nnU-Net's splits_final.json, SPIDER's "
    "overview.csv, or a YAML or JSON file with the lists 'training' and 'validation'"
)


@dataclass(frozen=True, slots=True)
class Lists:
    """What a file lists for each of ``training``, ``validation`` and ``test``, as it is written there.

    Args:
        parts: the entries; cases, or patients where ``may_be_patients``.
        may_be_patients: whether an entry may name a patient, all of whose cases are meant.
        may_name_more: whether the list is of the whole of a public dataset, of which some may be left out.
        entry: the one that was chosen of several splits.
    """

    parts: Mapping[str, Sequence[str]]
    may_be_patients: bool = False
    may_name_more: bool = False
    entry: int | None = None


def read_listed(path: Path, fold: int | None) -> Split | Lists:
    """Read a file of ``data.split``.

    Args:
        path: the file.
        fold: which of several splits; default the first.

    Raises:
        DataError: it cannot be read, or is none of these.
    """
    if path.suffix.lower() == ".csv":
        _no_fold(path, fold)
        return _overview(path)
    data = _read(path)
    if isinstance(data, dict) and "folds" in data:
        folds = parse_folds(data, path)
        if fold is None or fold >= len(folds.folds):
            raise DataError(
                f"{path} holds {len(folds.folds)} folds, numbered from 0; say with data.fold which is held out"
            )
        return folds.split(fold)
    if isinstance(data, dict) and "origin" in data:
        return parse_split(data, path)
    if isinstance(data, list):
        number = fold or 0
        if number >= len(data):
            raise DataError(f"{path} holds {len(data)} splits, numbered from 0; there is no data.fold={number}")
        return Lists(_parts(path, data[number]), entry=number)
    _no_fold(path, fold)
    return Lists(_parts(path, data), may_be_patients=True)


def count_listed(path: Path) -> int:
    """Return how many splits a file of ``data.split`` holds.

    Raises:
        DataError: it cannot be read.
    """
    data = None if path.suffix.lower() == ".csv" else _read(path)
    if isinstance(data, dict) and "folds" in data:
        return len(parse_folds(data, path).folds)
    return len(data) if isinstance(data, list) else 1


def resolve(lists: Lists, patients: Mapping[str, str], path: Path) -> dict[str, list[str]]:
    """Return the names of the cases in each part.

    Args:
        lists: what the file says.
        patients: the patient of each training case of the dataset.
        path: the file.

    Raises:
        DataError: a case is unknown, listed twice, or its patient is both in training and in validation.
    """
    known = CaseNames(patients)
    members: dict[str, list[str]] = {}
    for name, patient in patients.items():
        members.setdefault(patient, []).append(name)
    found: dict[str, list[str]] = {part: [] for part in PARTS}
    unknown: list[str] = []
    for part, entries in lists.parts.items():
        for entry in entries:
            case = known.find(entry)
            if case is not None:
                found[part].append(case)
            elif lists.may_be_patients and entry in members:
                found[part] += members[entry]
            else:
                unknown.append(entry)
    if unknown and not lists.may_name_more:
        raise DataError(
            f"{path} lists {listed(unknown)}, which the training part of the dataset does not have; correct the list, "
            "or add the files"
        )
    if not found["training"]:
        raise DataError(f"{path} lists no training case that the dataset has; is it the list of another dataset?")
    everything = [name for names in found.values() for name in names]
    twice = sorted({name for name in everything if everything.count(name) > 1})
    if twice:
        raise DataError(f"{path} lists {listed(twice)} more than once; keep one")
    _one_side_each(found, patients, path)
    return found


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig")) if path.suffix.lower() == ".json" else read_yaml(path)
    except FileNotFoundError:
        raise DataError(f"the split {path} (data.split) does not exist; {_EXPECTED}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}; {_EXPECTED}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read: {' '.join(str(error).split())[:300]}; {_EXPECTED}") from error


def _one_side_each(found: Mapping[str, Sequence[str]], patients: Mapping[str, str], path: Path) -> None:
    trained = {patients[name]: name for name in found["training"]}
    shared = [f"{trained[patients[name]]} and {name}" for name in found["validation"] if patients[name] in trained]
    if shared:
        raise DataError(
            f"{path} has one patient (or image) both in training and in validation: {listed(shared)}; move or remove "
            "one of each, or say with data.patients who is who"
        )


def _overview(path: Path) -> Lists:
    """SPIDER's official division; a table of it may hold more than the series that were downloaded."""
    parts: dict[str, list[str]] = {part: [] for part in PARTS}
    for name, subset in read_table(path, ("new_file_name", "subset")):
        if subset.lower() not in _KEYS:
            raise DataError(f"{path} puts {name} into the subset '{subset}'; expected training, validation or test")
        parts[_KEYS[subset.lower()]].append(name)
    return Lists(parts, may_name_more=True)


def _parts(path: Path, data: Any) -> dict[str, list[str]]:
    if not isinstance(data, dict) or not data or not all(key in _KEYS for key in data):
        raise DataError(f"{path} is no split; {_EXPECTED}")
    parts: dict[str, list[str]] = {part: [] for part in PARTS}
    for key, entries in data.items():
        plain = isinstance(entries, list) and all(isinstance(entry, (str, int)) for entry in entries)
        if not plain or any(isinstance(entry, bool) for entry in entries):
            raise DataError(f"'{key}' in {path} must be a list of names of cases")
        parts[_KEYS[key]] += [str(entry) for entry in entries]
    if not parts["training"]:
        raise DataError(f"{path} lists no training case; {_EXPECTED}")
    return parts


def _no_fold(path: Path, fold: int | None) -> None:
    if fold is not None:
        raise DataError(f"{path} holds one split, so that data.fold={fold} chooses nothing; leave data.fold out")
