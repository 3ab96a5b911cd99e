"""Which level is taken for which: the confusion among the structures of the column, from head to foot."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from spine_ignite.labels import LabelScheme
from spine_ignite.report.run_tables import Cell, Column, Table, share

Confusion = NDArray[np.int64]
_MOST = 24  # structures of a table of a scheme without a column; more could not be read


def confusion_tables(confusion: Confusion, scheme: LabelScheme) -> list[Table]:
    """Return a table for the vertebrae and one for the discs, or one for all structures of a scheme without either.

    A row is a structure of the reference, a column what its voxels are predicted as, in percent of them. Both run from
    head to foot; schemes list them the other way round.

    Args:
        confusion: voxels by class in the reference (rows) and in the prediction (columns), ``(C, C)``.
        scheme: the classes.
    """
    groups = {
        "levels": ("Vertebrae and sacrum", [c.index for c in scheme.classes if c.kind in ("vertebra", "sacrum")]),
        "discs": ("Discs", [c.index for c in scheme.classes if c.kind == "disc"]),
    }
    found = [(key, title, members[::-1]) for key, (title, members) in groups.items() if len(members) > 1]
    if not found and 2 < scheme.num_classes <= _MOST:
        found = [("structures", "Structures", list(range(1, scheme.num_classes)))]
    return [
        _table(f"confusion-{key}", title, confusion, members, scheme.names)
        for key, title, members in found
        if confusion[members].any()
    ]


def neighbour_share(confusion: Confusion, scheme: LabelScheme) -> float:
    """Share of the voxels of vertebrae, found as any vertebra, that have a neighbour's name; NaN without any."""
    vertebrae = [c.index for c in scheme.classes if c.kind == "vertebra"]
    among = confusion[np.ix_(vertebrae, vertebrae)]
    total = int(among.sum())
    return float((np.trace(among, 1) + np.trace(among, -1)) / total) if total else math.nan


def _table(key: str, title: str, confusion: Confusion, members: Sequence[int], names: Sequence[str]) -> Table:
    others = [index for index in range(1, len(names)) if index not in members]
    headings = [names[index] for index in members] + (["other structure"] if others else []) + [names[0]]
    rows = []
    for index in members:
        total = int(confusion[index].sum())
        if total:
            counts = [int(confusion[index, column]) for column in members]
            counts += ([int(confusion[index, others].sum())] if others else []) + [int(confusion[index, 0])]
            right = members.index(index)
            rows.append((Cell(names[index]), *(_cell(n, total, place == right) for place, n in enumerate(counts))))
    columns = (Column("Reference", number=False), *(Column(heading) for heading in headings))
    return Table(
        key, f"{title}: where the voxels of the reference (rows) are predicted (columns)", columns, tuple(rows)
    )


def _cell(count: int, total: int, right: bool) -> Cell:
    """A share of the row: blank for none at all, tinted where it is an error."""
    if not count and not right:
        return Cell("", "0.0")
    part = count / total
    cell = share(part, None if right else part, digits=1)
    text = "<0.1%" if 0 < part < 0.0005 else cell.text
    return Cell(text, cell.sort, cell.tint, right)
