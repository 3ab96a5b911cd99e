"""Tables as CSV: figures in full, and text that a spreadsheet does not compute."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from spine_ignite.names import from_csv, in_csv


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table; NaN and None become empty cells, and a text never begins a formula (:func:`.names.in_csv`).

    Args:
        columns: the headings.
        rows: a cell per column, numbers or text.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(in_csv, columns))
    writer.writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue()


def read_csv(path: Path) -> Iterator[dict[str, str]]:
    """Read a table as texts by heading, row by row.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no UTF-8, or no CSV.
    """
    with path.open(encoding="utf-8", newline="") as file:
        try:
            for row in csv.DictReader(file):
                yield {from_csv(key): from_csv(value or "") for key, value in row.items() if key is not None}
        except csv.Error as error:
            raise ValueError(f"{path.name} is no table: {error}") from error


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return in_csv(value)
    if isinstance(value, float):  # numpy's included
        return "" if math.isnan(value) else repr(float(value))
    return value
