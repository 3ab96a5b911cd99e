"""nnU-Net's ``dataset.json``: the names of a dataset's labels and channels, and a label scheme made of them.

Both of its forms are read, ``{"L5": 1}`` of version 2 and ``{"1": "L5"}`` of version 1 and the Medical Segmentation
Decathlon. What a structure is, is guessed from its name, in the spellings that datasets have for it.
"""

from __future__ import annotations

import colorsys
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spine_ignite.errors import UsageError
from spine_ignite.names import brief, cut, printable

FILE = "dataset.json"
_MOST_BYTES = 2**24

_COLUMN = ("S", "L6", *(f"L{n}" for n in range(5, 0, -1)), "T13", *(f"T{n}" for n in range(12, 0, -1)))
_UPWARDS = (*_COLUMN, *(f"C{n}" for n in range(7, 0, -1)))
_KINDS = ("background", "sacrum", "vertebra", "disc", "canal", "cord", "rib", "other")
IGNORE = "ignore"  # nnU-Net's name for the label of voxels that count nowhere


@dataclass(frozen=True, slots=True)
class DatasetJson:
    """What the file says.

    Args:
        path: the file.
        labels: the value of each name; None for one that is no single value, as nnU-Net's regions.
        channels: names of the images' channels.
        name: of the dataset.
        training: how many training cases it says that there are; None if it says nothing.
    """

    path: Path
    labels: dict[str, int | None]
    channels: tuple[str, ...]
    name: str
    training: int | None = None


def read_dataset_json(path: Path) -> DatasetJson:
    """Read the file.

    Raises:
        UsageError: it cannot be read, or names no labels.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise ValueError(f"it is larger than {_MOST_BYTES // 2**20} MiB")
        data = json.loads(content.decode("utf-8-sig"))
        if not isinstance(data, dict):
            raise ValueError("it holds no object with 'labels'")
        labels = _labels(data["labels"])
        names = _channels(data.get("channel_names", data.get("modality", {})))
        title, training = _text(data.get("name", "nnU-Net")), data.get("numTraining")
        count = training if type(training) is int else None
        return DatasetJson(path, labels, tuple(_text(name) for name in names), title, count)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except KeyError as error:
        raise UsageError(f"{path} is not a dataset.json of nnU-Net: {error} is missing") from error
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(f"{path} is not a dataset.json of nnU-Net: {cut(str(error), 200)}") from error


def _channels(said: Any) -> list[Any]:
    """Return what the channels are called, in the order of their numbers, wherever the file has them."""
    if not isinstance(said, dict) or not all(str(key).isdecimal() for key in said):
        return list(said.values() if isinstance(said, dict) else said)
    numbered = {int(key): name for key, name in said.items()}
    if sorted(numbered) != list(range(len(said))):
        raise ValueError(f"its channels are numbered {', '.join(said)}; number them from 0 on without a gap")
    return [numbered[number] for number in range(len(said))]


def structure(name: str) -> tuple[str, str]:
    """Return the kind of a structure by its name, and the name in the spelling of the label schemes.

    ``vertebra_L5`` is the vertebra ``L5``, ``disc L5-S1`` and ``L5S`` the disc ``L5/S``; what is not recognised is
    ``other``, its name in lower case without separators.
    """
    text = re.sub(r"[^a-z0-9]+", " ", name.lower()).strip()
    if text in ("background", "bg"):
        return "background", "background"
    is_disc = re.search(r"\b(discs?|disks?|ivds?)\b", text) is not None
    text = re.sub(r"\b(intervertebral|discs?|disks?|ivds?|vertebrae?|vertebral|vert|body|bodies)\b", " ", text).strip()
    text = re.sub(r"\bsacr(um|al)\b", "s", text)
    level = r"([ctl]\d{1,2}|s1?)"
    if re.fullmatch(r"s1?", text) and not is_disc:
        return "sacrum", "S"
    if re.fullmatch(r"[ctl]\d{1,2}", text) and not is_disc:
        return "vertebra", text.upper()
    pair = re.fullmatch(rf"{level} ?{level}|([ctl])(\d{{1,2}}) (\d{{1,2}})", text)
    if pair is not None:
        upper, lower = (pair[1], pair[2]) if pair[1] else (pair[3] + pair[4], pair[3] + pair[5])
        both = ["S" if part in ("s", "s1") else part.upper() for part in (upper, lower)]
        return "disc", "/".join(sorted(both, key=_height, reverse=True))
    if "canal" in text:
        return "canal", "canal"
    if re.search(r"\b(cord|medulla|myelon)\b", text):
        return "cord", "cord"
    if re.search(r"\bribs?\b", text):
        return "rib", re.sub(r"\bribs\b", "rib", text).replace(" ", "")
    return "other", re.sub(r"[\W_]+", "", name.lower())


def scheme_data(path: Path) -> dict[str, Any]:
    """Return the label scheme of a file, as plain data.

    Vertebrae are listed from the sacrum up, then discs, then all else by value.

    Raises:
        UsageError: the file cannot be read, has regions, or its value 0 is no background.
    """
    described = read_dataset_json(path)
    regions = [name for name, value in described.labels.items() if value is None]
    if regions:
        raise UsageError(
            f"{path} makes {brief(regions[0])} a region of several values, which a label scheme here cannot be; "
            "write a scheme of your own (data.scheme: a YAML file)"
        )
    return named_scheme(described.name, {name: value or 0 for name, value in described.labels.items()})


def named_scheme(title: str, labels: Mapping[str, int]) -> dict[str, Any]:
    """Return a label scheme made of the value of each name, as plain data; ``ignore`` is the value to be ignored.

    Vertebrae are listed from the sacrum up, then discs, then all else by value.
    """
    classes = []
    for name, value in labels.items():
        if name == IGNORE:
            continue
        kind, known = structure(name)
        kind = "background" if value == 0 else "other" if kind == "background" else kind
        classes.append((_KINDS.index(kind), _height(known), value, name, kind))
    entries = [
        {"value": value, "name": name, "kind": kind, "color": _color(number)}
        for number, (_, _, value, name, kind) in enumerate(sorted(classes))
    ]
    ignored = labels.get(IGNORE)
    return {"name": title, "classes": entries, **({"ignore": ignored} if ignored is not None else {})}


def _labels(data: Any) -> dict[str, int | None]:
    if not isinstance(data, dict) or not data:
        raise ValueError("'labels' names none")
    old = all(re.fullmatch(r"\d{1,5}", str(key)) and isinstance(value, str) for key, value in data.items())
    pairs = (
        [(_text(value), int(key)) for key, value in data.items()] if old else [(_text(k), v) for k, v in data.items()]
    )
    labels: dict[str, int | None] = {}
    for name, value in pairs:
        if isinstance(value, list) and len(value) > 1:
            labels[name] = None
            continue
        (number,) = value if isinstance(value, list) else (value,)
        if type(number) is not int or not 0 <= number < 2**16:
            raise ValueError(f"the value of {brief(name)} is {brief(value)}")
        labels[name] = number
    return labels


def _text(value: Any) -> str:
    if not isinstance(value, (str, int, float)):
        raise ValueError(f"{brief(value)} is no name")
    return cut(printable(str(value)), 100)


def _height(name: str) -> int:
    """Place in the column from below, of a disc that of the vertebra above it; above all for what is none."""
    upper = name.split("/")[0]
    return _UPWARDS.index(upper) if upper in _UPWARDS else len(_UPWARDS)


def _color(number: int) -> list[int]:
    """A colour for each class; steps of the golden angle keep neighbours apart."""
    if number == 0:
        return [0, 0, 0]
    parts = colorsys.hsv_to_rgb(number * 0.381966 % 1, 0.45 + 0.3 * (number % 2), 0.95 - 0.1 * (number % 3))
    return [round(255 * part) for part in parts]
