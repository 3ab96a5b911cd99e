"""Tables against tables, cell by cell."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from spine_ignite.csv_files import read_csv
from spine_ignite.errors import DataError, RunError

RELATIVE = 1e-9  # what sums of float64 may differ by from one numpy to another
_NAMING = {"cases.csv": 2, "classes.csv": 1, "confusion.csv": 3}  # columns that say of what a row of an evaluation is
_HASHES = "tables"  # of the other tables, which are compared themselves


def differing_cells(
    name: str, recorded: Path, again: Path, naming: int | None = None, but: Collection[str] = ()
) -> list[str]:
    """Say which cells of a table are not those that were computed again, a sentence each.

    Args:
        name: of the table, as the sentences are to call it.
        recorded: its file.
        again: the file of the table that was computed now.
        naming: how many columns of a CSV file say of what a row is, the first ones; default as of an evaluation's.
        but: columns that are not compared.
    """
    try:
        if recorded.suffix == ".json":
            one, two = (_leaves(json.loads(path.read_text(encoding="utf-8"))) for path in (recorded, again))
            return _differing(name, dict(one), dict(two))
        first = _NAMING[again.name] if naming is None else naming
        return _differing(name, *(_cells(path, first, but) for path in (recorded, again)))
    except (OSError, ValueError, KeyError, TypeError, RecursionError, DataError, RunError) as error:
        return [f"{name}: it cannot be read ({type(error).__name__}: {error})"]


def differing_leaves(name: str, recorded: Any, again: Any) -> list[str]:
    """Do so for plain data, of which each value is a cell."""
    return _differing(name, dict(_leaves(recorded)), dict(_leaves(again)))


def same_value(one: Any, two: Any) -> bool:
    """Whether two cells say the same, numbers but for rounding."""
    if isinstance(one, bool) or isinstance(two, bool) or one is None or two is None:
        return one is two
    try:
        return math.isclose(float(one), float(two), rel_tol=RELATIVE, abs_tol=RELATIVE)
    except (TypeError, ValueError):
        return bool(one == two)


def _differing(name: str, recorded: Mapping[str, Any], again: Mapping[str, Any]) -> list[str]:
    found = []
    for place in [*again, *(place for place in recorded if place not in again)]:
        if place not in recorded:
            found.append(f"{name}: {place} is missing, {_shown(again[place])} when computed again")
        elif place not in again:
            found.append(f"{name}: {place} is {_shown(recorded[place])}, and nothing when computed again")
        elif not same_value(recorded[place], again[place]):
            found.append(
                f"{name}: {place} is {_shown(recorded[place])}, and {_shown(again[place])} when computed again"
            )
    return found


def _cells(path: Path, naming: int, but: Collection[str]) -> dict[str, str]:
    cells: dict[str, str] = {}
    for row in read_csv(path):
        of = ", ".join(list(row.values())[:naming])
        for column, text in list(row.items())[naming:]:
            place = f"{column} of {of}"
            if place in cells:
                raise ValueError(f"there are two rows of {of}")
            if column not in but:
                cells[place] = text
    return cells


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of nested mappings and lists with its dotted key; hashes of the other tables are left out."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if items is None or not value:
        yield path, value
        return
    for key, item in items:
        if path or key != _HASHES:
            yield from _leaves(item, f"{path}.{key}" if path else str(key))


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else value
    return text if text else "empty"
