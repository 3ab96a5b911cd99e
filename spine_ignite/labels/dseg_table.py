"""BIDS's table of a segmentation (``dseg.tsv``): the value, name and colour of each structure, as a label scheme."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spine_ignite.errors import UsageError
from spine_ignite.labels.dataset_json import named_scheme
from spine_ignite.names import brief, cut, printable

if TYPE_CHECKING:
    from spine_ignite.labels.scheme import LabelScheme

FILE = "dseg.tsv"
IGNORE = "ignore"  # the name that a value to be ignored has, as in nnU-Net
_LONGEST = 1 << 20  # characters that are read


def dseg_table(scheme: LabelScheme) -> str:
    """Return the table of a scheme, the background and values to be ignored included."""
    rows = [(c.value, c.name, "#{:02x}{:02x}{:02x}".format(*c.color)) for c in scheme.classes]
    rows += [(value, IGNORE, "#000000") for value in scheme.ignore[:1]]
    return "\n".join(["index\tname\tcolor", *(f"{index}\t{name}\t{color}" for index, name, color in rows)]) + "\n"


def scheme_data(path: Path) -> dict[str, Any]:
    """Return the label scheme of a table, as plain data; what a structure is, is guessed from its name.

    Raises:
        UsageError: the file cannot be read, or is no such table.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file.read(_LONGEST).splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is not UTF-8'}") from error
    labels: dict[str, int] = {}
    for row in rows:
        index, name = row.get("index"), row.get("name")
        if index is None or name is None or not index.strip().isdecimal() or int(index) >= 2**16:
            raise UsageError(
                f"{path} is not a dseg.tsv of BIDS: a row has the index {brief(index)}, name {brief(name)}"
            )
        name = cut(printable(name.strip()), 100)
        if name in labels:
            raise UsageError(f"{path} gives the name {brief(name)} to two values; name them apart")
        labels[name] = int(index)
    if 0 not in labels.values():
        labels = {"background": 0, **labels}
    if len(labels) < 2:
        raise UsageError(f"{path} is not a dseg.tsv of BIDS: it names no structure (columns index and name)")
    return named_scheme(path.parent.name or "BIDS", labels)
