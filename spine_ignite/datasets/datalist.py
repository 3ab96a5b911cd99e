"""MONAI's datalist: a JSON file that names images and masks, ``datalist.json`` or the Decathlon's ``dataset.json``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spine_ignite.datasets.case_ids import bare_id
from spine_ignite.datasets.cases import Case
from spine_ignite.errors import DataError
from spine_ignite.names import brief
from spine_ignite.volumes.reader import volume_stem, volume_suffix

FILES = ("datalist.json", "dataset.json")
_PARTS = {"training": "train", "validation": "train", "testing": "test", "test": "test"}
_MOST_BYTES = 1 << 26


def find(root: Path) -> list[Case] | None:
    """Return the cases that a datalist names; None for a folder without one.

    Raises:
        DataError: the file is damaged, an entry names no file that is there, or two have the same name.
    """
    path = datalist_of(root)
    if path is None:
        return None
    cases: dict[str, Case] = {}
    for part, entry in entries(path):
        image = _file(path, entry.get("image"))
        label = _file(path, entry["label"]) if entry.get("label") is not None else None
        if image is None:
            raise DataError(f"{path} has an entry without an image: {brief(entry)}")
        stem = volume_stem(image)
        case = Case(bare_id(stem), stem, image, label, _PARTS[part])
        if cases.setdefault(case.id, case) is not case:
            raise DataError(
                f"{path} names two images of case '{case.id}', {cases[case.id].image} and {image}; keep one"
            )
    return sorted(cases.values(), key=lambda case: case.split != "train")


def datalist_of(root: Path) -> Path | None:
    """Return the datalist in a folder, None if there is none."""
    for path in (root / name for name in FILES):
        data = _read(path) if path.is_file() else None
        if isinstance(data, dict) and isinstance(data.get("training"), list) and data["training"]:
            return path
    return None


def entries(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the entries of a datalist, each with the key of its list.

    Raises:
        DataError: one is no object.
    """
    data = _read(path)
    for part in _PARTS:
        listed = data.get(part, [])
        for entry in listed if isinstance(listed, list) else [listed]:
            found = {"image": entry} if isinstance(entry, str) else entry
            if not isinstance(found, dict):
                raise DataError(f"{path} has {brief(entry)} in '{part}', expected an object with image and label")
            yield part, found


def folds_in(path: Path, names: dict[Path, str]) -> list[dict[str, list[str]]]:
    """Return the splits of a datalist, by its ``fold`` of each entry or its list ``validation``; none if it has none.

    Args:
        path: the datalist.
        names: of the cases, by the file of their image.
    """
    folds: dict[str, int] = {}
    held_out: list[str] = []
    for part, entry in entries(path):
        name = names.get(_file(path, entry.get("image")) or path)
        if name is not None and part == "training" and type(entry.get("fold")) is int:
            folds[name] = entry["fold"]
        elif name is not None and part == "validation":
            held_out.append(name)
    training = [name for part, entry in entries(path) if part == "training" and (name := _name(path, entry, names))]
    if held_out:
        return [{"train": training, "val": held_out}]
    numbers = sorted(set(folds.values()))
    if len(numbers) < 2 or len(folds) < len(training):
        return []
    return [
        {
            "train": [name for name in training if folds[name] != number],
            "val": [name for name in training if folds[name] == number],
        }
        for number in numbers
    ]


def _name(path: Path, entry: dict[str, Any], names: dict[Path, str]) -> str | None:
    return names.get(_file(path, entry.get("image")) or path)


def _file(path: Path, value: Any) -> Path | None:
    """The file of an entry; of several, which are channels, none."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if value is None:
        return None
    if not isinstance(value, str):
        raise DataError(
            f"{path} names {brief(value)} as a file; networks here see one image of each case, or several that a "
            "table names (contrasts.csv, docs/formats.md)"
        )
    file = path.parent / value
    if volume_suffix(file) is None or not file.is_file():
        raise DataError(f"{path} names {file}, which is no volume that is there; correct the list, or add the file")
    return file


def _read(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            return json.loads(file.read(_MOST_BYTES).decode("utf-8-sig"))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read: {' '.join(str(error).split())[:200]}") from error
