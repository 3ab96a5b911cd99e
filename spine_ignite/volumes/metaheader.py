"""The header of a MetaImage, checked before SimpleITK sees it.

SimpleITK's reader trusts some fields: with more dimensions than it has room for it writes past its memory, and names of
several files are a format of C's ``printf`` to it, with a division by a step that need not be there.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

from spine_ignite.errors import DataError

_LONGEST_HEADER = 1 << 16
_LONGEST_VALUE = 1024
_VECTORS = ("dimsize", "elementspacing", "elementsize", "offset", "position", "origin", "centerofrotation")
MATRICES = ("transformmatrix", "rotation", "orientation")
_INTEGERS = {"headersize": -1, "compresseddatasize": 0, "elementnumberofchannels": 1}


def read_header(path: Path) -> tuple[dict[str, str], int]:
    """Return the fields, by their names in lower case, and the number of bytes that the header takes.

    Raises:
        DataError: the header is not one of a MetaImage of 2 to 4 dimensions whose fields have sensible values.
    """
    with path.open("rb") as file:
        head = file.read(_LONGEST_HEADER)
    fields: dict[str, str] = {}
    end = 0
    while "elementdatafile" not in fields:
        line, newline, _ = head[end:].partition(b"\n")
        if not newline and end + len(line) == len(head) and not line.strip():
            raise _unreadable(path, "it does not say where its voxels are")
        end += len(line) + len(newline)
        if line.strip():
            name, value = _field(path, line)
            if name in fields:
                raise _unreadable(path, f"its header has {name} twice")
            _check(path, name, value, fields)
            fields[name] = value
    return fields, end


def _field(path: Path, line: bytes) -> tuple[str, str]:
    found = re.fullmatch(rb"\s*([^\x00-\x1f=:]{1,128}?)\s*[=:]\s*([^\x00]*?)\s*", line)
    if found is None or len(found[2]) > _LONGEST_VALUE:
        raise _unreadable(path, "a line of its header is not a field")
    return found[1].decode("ascii", "replace").lower(), found[2].decode("utf-8", "replace")


def _check(path: Path, name: str, value: str, before: dict[str, str]) -> None:
    if name == "ndims":
        if value not in ("2", "3", "4"):
            raise _unreadable(path, f"its number of dimensions is {value[:20]!r}")
    elif name in _VECTORS or name in MATRICES:
        if "ndims" not in before:
            raise _unreadable(path, f"its header has {name} before NDims")
        dimensions = int(before["ndims"])
        numbers = [_number(word) for word in value.split()]
        if len(numbers) != dimensions ** (2 if name in MATRICES else 1) or not all(map(math.isfinite, numbers)):
            raise _unreadable(path, f"its {name} does not have a number for each dimension")
        if name == "dimsize" and not all(number.is_integer() and 0 < number < 2**31 for number in numbers):
            raise _unreadable(path, f"its size is {value[:60]!r}")
    elif name == "elementdatafile":
        if value.startswith("LIST") or "%" in value:  # one that is missing is passed over in silence, too
            raise DataError(f"{path} keeps its voxels in several files; write it as one .mha file")
        if value.upper() == "LOCAL" and _number(before.get("headersize", "0")):
            # The voxels follow the header; SimpleITK would skip into them, or count from the file's end.
            raise _unreadable(path, f"its HeaderSize is {before['headersize'][:20]!r} before voxels in its file")
    elif name in _INTEGERS and not _INTEGERS[name] <= _number(value) < 2**53:
        raise _unreadable(path, f"its {name} is {value[:20]!r}")


def _number(word: str) -> float:
    """Return a number in plain notation; NaN for anything else, and for what Python alone would read."""
    return float(word) if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", word, re.ASCII) else math.nan


def _unreadable(path: Path, reason: str) -> DataError:
    return DataError(f"{path} is not a readable MetaImage: {reason}")
