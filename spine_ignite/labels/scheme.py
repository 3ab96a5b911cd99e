"""Label schemes: which value in a mask file is which structure, declared once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from spine_ignite.errors import DataError, UsageError
from spine_ignite.labels import dseg_table
from spine_ignite.labels.dataset_json import scheme_data
from spine_ignite.names import brief, cut
from spine_ignite.plain_yaml import YamlError, read_yaml

FILES = (".yaml", ".yml", ".json", ".tsv")  # a scheme of another name is a registered one
_LONGEST = 100  # characters of a name
_MOST_VALUES = 256  # of a class
_MOST_CLASSES = 255
Kind = Literal["background", "sacrum", "vertebra", "disc", "canal", "cord", "rib", "other"]
Extent = Literal["body", "whole"]

IGNORE = 255  # in arrays of class indices: a voxel that counts nowhere, neither in training nor when judged


@dataclass(frozen=True, slots=True)
class LabelClass:
    """One structure: ``index`` is the network's channel, ``value`` what mask files hold.

    ``merged`` are further values that mean it in masks; what is written is ``value``.
    """

    index: int
    value: int
    name: str
    kind: Kind
    color: tuple[int, int, int]
    merged: tuple[int, ...] = ()

    @property
    def values(self) -> tuple[int, ...]:
        """All values that mean it in masks."""
        return self.value, *self.merged


@dataclass(frozen=True, slots=True)
class LabelScheme:
    """The classes of a dataset in the order of the network's channels; class 0 is the background.

    Args:
        name: of the scheme.
        classes: in channel order.
        vertebrae: whether a vertebra is its body alone or the whole bone, with arch and processes.
        ignore: values of voxels that count nowhere (nnU-Net's ignore label); as class index, :data:`IGNORE`.
        renamed: ``(level, disc, name)``: in a mask that holds the vertebra ``level``, the disc of this scheme is what
            other schemes call ``name``. Tools that number discs by the vertebra above them call that below L5
            ``L5/S``, also where there is an L6.
    """

    name: str
    classes: tuple[LabelClass, ...]
    vertebrae: Extent = "body"
    ignore: tuple[int, ...] = ()
    renamed: tuple[tuple[str, str, str], ...] = ()

    @property
    def num_classes(self) -> int:
        """Number of classes, background included."""
        return len(self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        """Names in channel order."""
        return tuple(c.name for c in self.classes)

    @property
    def values(self) -> tuple[int, ...]:
        """The value of each class in files that are written, in channel order."""
        return tuple(c.value for c in self.classes)

    def to_indices(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """Map file values (integers, any shape) to channel indices, those to be ignored to :data:`IGNORE`.

        Raises:
            DataError: a value is not in the scheme; the message names each with its count.
        """
        accepted = {value: c.index for c in self.classes for value in c.values} | dict.fromkeys(self.ignore, IGNORE)
        table = np.zeros(max(accepted) + 1, np.uint8)
        known = np.zeros(table.size, bool)
        table[list(accepted)] = list(accepted.values())
        known[list(accepted)] = True
        inside = (values >= 0) & (values < table.size)
        clipped = np.where(inside, values, 0)
        valid = inside & known[clipped]
        if not valid.all():
            unknown, counts = np.unique(values[~valid], return_counts=True)
            listed = ", ".join(f"{v} ({n} voxels)" for v, n in zip(unknown[:8], counts[:8], strict=True))
            raise DataError(
                f"label values {listed} are not in the scheme '{self.name}', which has {_ranges(accepted)}; "
                "correct the mask or choose another scheme (data.scheme)"
            )
        return table[clipped]

    def to_values(self, indices: NDArray[np.uint8]) -> NDArray[Any]:
        """Map channel indices back to file values, in the smallest unsigned type that holds them.

        :data:`IGNORE` becomes the scheme's first value for it, or, as nnU-Net has it, the one above all others.
        """
        values = np.asarray(self.values, dtype=np.min_scalar_type(max(self.values)))
        ignored = indices == IGNORE
        if not ignored.any():
            return values[indices]
        value = self.ignore[0] if self.ignore else max(self.values) + 1
        values = np.append(values, value).astype(np.min_scalar_type(max(*self.values, value)))
        return values[np.where(ignored, self.num_classes, indices)]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as in a scheme file; :meth:`from_dict` reads it back."""
        classes = []
        for c in self.classes:
            value: dict[str, Any] = {"values": list(c.values)} if c.merged else {"value": c.value}
            classes.append({**value, "name": c.name, "kind": c.kind, "color": list(c.color)})
        data: dict[str, Any] = {"name": self.name}
        # What is as in most schemes is not written, so that what older versions wrote stays equal.
        if self.vertebrae != "body":
            data["vertebrae"] = self.vertebrae
        if self.ignore:
            data["ignore"] = list(self.ignore)
        if self.renamed:
            data["renamed"] = [list(entry) for entry in self.renamed]
        return {**data, "classes": classes}

    @classmethod
    def from_dict(cls, data: Any, source: str = "label scheme") -> LabelScheme:
        """Check and build a scheme from plain data.

        Raises:
            UsageError: ``data`` is not a scheme; the message names ``source`` and the entry.
        """
        try:
            entries = [_parse_class(i, entry) for i, entry in enumerate(data["classes"])]
            name = _name(data["name"])
            vertebrae = data.get("vertebrae", "body")
            if vertebrae not in get_args(Extent):
                raise ValueError(f"vertebrae must be body or whole, got {brief(vertebrae)}")
            ignore = _ignored(data.get("ignore", []))
            renamed = tuple(_renamed(entry) for entry in data.get("renamed", []))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            detail = f"key {error} is missing" if isinstance(error, KeyError) else cut(str(error), 300)
            raise UsageError(f"{source} is not a label scheme: {detail}") from error
        if not 2 <= len(entries) <= _MOST_CLASSES or entries[0].kind != "background":
            raise UsageError(f"{source}: a scheme has 2 to {_MOST_CLASSES} classes, the first of kind 'background'")
        used: dict[str, list[Any]] = {
            "value": [*(value for entry in entries for value in entry.values), *ignore],
            "name": [entry.name for entry in entries],
        }
        for what, seen in used.items():
            twice = sorted({str(v) for v in seen if seen.count(v) > 1})
            if twice:
                raise UsageError(f"{source}: {what} {', '.join(twice)} is used by two classes")
        unknown = [part for level, disc, _ in renamed for part in (level, disc) if part not in used["name"]]
        if unknown:
            raise UsageError(f"{source}: 'renamed' speaks of {brief(unknown[0])}, which is none of its classes")
        return cls(name, tuple(entries), vertebrae, ignore, renamed)


def _parse_class(index: int, entry: dict[str, Any]) -> LabelClass:
    values = entry["values"] if "values" in entry else [entry["value"]]
    kind, color = entry["kind"], entry["color"]
    if not isinstance(values, list) or not 1 <= len(values) <= _MOST_VALUES or ("values" in entry and "value" in entry):
        raise ValueError(f"class {index}: give a value, or a list of 1 to {_MOST_VALUES} values, got {brief(values)}")
    for value in values:
        if not _is_value(value):
            raise ValueError(f"class {index}: value must be an integer from 0 to 65535, got {brief(value)}")
    if kind not in get_args(Kind):
        raise ValueError(f"class {index}: kind must be one of {', '.join(get_args(Kind))}, got {brief(kind)}")
    if len(color) != 3 or not all(isinstance(c, int) and 0 <= c <= 255 for c in color):
        raise ValueError(f"class {index}: color must be three integers from 0 to 255, got {brief(color)}")
    color = (color[0], color[1], color[2])
    return LabelClass(index, values[0], _name(entry["name"]), kind, color, tuple(values[1:]))


def _is_value(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**16


def _ignored(values: Any) -> tuple[int, ...]:
    listed = values if isinstance(values, list) else [values]
    for value in listed:
        if not _is_value(value):
            raise ValueError(f"ignore must be an integer from 0 to 65535 or a list of such, got {brief(values)}")
    return tuple(listed)


def _renamed(entry: Any) -> tuple[str, str, str]:
    if not isinstance(entry, list) or len(entry) != 3:
        raise ValueError(f"an entry of 'renamed' is a vertebra, a disc and the disc's name then, got {brief(entry)}")
    return _name(entry[0]), _name(entry[1]), _name(entry[2])


def _ranges(values: Iterable[int]) -> str:
    """Name values shortly: ``0-25, 100-125``."""
    runs: list[list[int]] = []
    for value in sorted(values):
        if runs and value == runs[-1][1] + 1:
            runs[-1][1] = value
        else:
            runs.append([value, value])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def _name(value: Any) -> str:
    """A name as text; YAML takes one of digits for a number."""
    fits = isinstance(value, (str, int, float)) and 1 <= len(str(value)) <= _LONGEST
    if not fits or not (text := str(value)).isprintable() or not text.strip():
        raise ValueError(f"a name must be a printable text of 1 to {_LONGEST} characters, got {brief(value)}")
    return text


def load_scheme(name_or_path: str | Path) -> LabelScheme:
    """Load a scheme by its registered name, from a YAML file, nnU-Net's ``dataset.json`` or BIDS's ``dseg.tsv``.

    Raises:
        UsageError: no such scheme, or the file is not one.
    """
    from spine_ignite.registry import load_registry

    path = Path(name_or_path)
    if path.suffix == ".json":
        return LabelScheme.from_dict(scheme_data(path), source=str(path))
    if path.suffix == ".tsv":
        return LabelScheme.from_dict(dseg_table.scheme_data(path), source=str(path))
    if path.suffix not in FILES:
        path = Path(load_registry().component("label-scheme", str(name_or_path)).value.target)
    try:
        data = read_yaml(path)
    except (OSError, YamlError) as error:
        raise UsageError(f"label scheme {path} cannot be read: {error}") from error
    return LabelScheme.from_dict(data, source=str(path))
