"""The header of an NRRD file (teem.sourceforge.net/nrrd/format.html): its fields, checked, and where the voxels are."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spine_ignite.errors import DataError

_LONGEST_HEADER = 1 << 20  # 3D Slicer writes a paragraph for each segment
_MOST_AXES = 16
_TYPES = {
    "i1": "signed char|int8|int8_t",
    "u1": "uchar|unsigned char|uint8|uint8_t",
    "i2": "short|short int|signed short|signed short int|int16|int16_t",
    "u2": "ushort|unsigned short|unsigned short int|uint16|uint16_t",
    "i4": "int|signed int|int32|int32_t",
    "u4": "uint|unsigned int|uint32|uint32_t",
    "i8": "longlong|long long|long long int|signed long long|signed long long int|int64|int64_t",
    "u8": "ulonglong|unsigned long long|unsigned long long int|uint64|uint64_t",
    "f4": "float",
    "f8": "double",
}
_TYPE = {name: code for code, names in _TYPES.items() for name in names.split("|")}
_ENCODINGS = {"raw": "raw", "gzip": "gzip", "gz": "gzip", "bzip2": "bzip2", "bz2": "bzip2"}
# Signs of the three world axes towards R, A, S. Other spaces do not say where the patient is.
_SPACES = {
    "right-anterior-superior": (1, 1, 1),
    "ras": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1),
    "las": (-1, 1, 1),
    "left-posterior-superior": (-1, -1, 1),
    "lps": (-1, -1, 1),
}
_SAME = {"datafile": "data file", "lineskip": "line skip", "byteskip": "byte skip"}


@dataclass(frozen=True, slots=True)
class NrrdHeader:
    """What the header says.

    Args:
        sizes: of all axes, the fastest first.
        spatial: which of the axes are in space; the others are of one value each, if this is a volume.
        affine: voxel indices of the spatial axes to RAS+ mm ``(4, 4)``.
        oriented: whether the directions are in the file.
        dtype: of the stored voxels.
        encoding: ``raw``, ``gzip`` or ``bzip2``.
        data: file of the voxels, if it is another one.
        end: number of bytes that the header takes.
    """

    sizes: tuple[int, ...]
    spatial: tuple[int, ...]
    affine: NDArray[np.float64]
    oriented: bool
    dtype: np.dtype[np.generic]
    encoding: str
    data: Path | None
    end: int


def read_header(path: Path) -> NrrdHeader:
    """Read and check the header.

    Raises:
        DataError: it is not one of an NRRD file, or of one whose voxels are not read here; the message says why.
        OSError: the file cannot be read.
    """
    fields, end = _fields(path)
    for name in ("dimension", "sizes", "type", "encoding"):
        if name not in fields:
            raise _unreadable(path, f"its header has no {name}")
    axes = fields["dimension"]
    if not re.fullmatch(r"\d{1,2}", axes) or not 1 <= int(axes) <= _MOST_AXES:
        raise _unreadable(path, f"its number of dimensions is {axes[:20]!r}")
    sizes = tuple(int(word) if re.fullmatch(r"\d{1,18}", word) else 0 for word in fields["sizes"].split())
    if len(sizes) != int(axes) or min(sizes) < 1:
        raise _unreadable(path, f"its sizes are {fields['sizes'][:60]!r}")
    spatial, affine, oriented = _place(path, fields, len(sizes))
    return NrrdHeader(
        sizes, spatial, affine, oriented, _dtype(path, fields), _encoding(path, fields), _data(path, fields), end
    )


def _fields(path: Path) -> tuple[dict[str, str], int]:
    """Return the fields, by their names in lower case, and the number of bytes up to the voxels."""
    with path.open("rb") as file:
        head = file.read(_LONGEST_HEADER)
    if not re.match(rb"NRRD000[1-5]\r?\n", head):
        raise _unreadable(path, "it does not begin as one")
    fields: dict[str, str] = {}
    end = head.index(b"\n") + 1
    while end < len(head):
        line, newline, _ = head[end:].partition(b"\n")
        end += len(line) + len(newline)
        text = line.decode("utf-8", "replace").rstrip("\r")
        if not text:
            return fields, end
        if text.startswith("#") or ":=" in text:  # comments, and whatever programs keep there
            continue
        name, colon, value = text.partition(": ")
        name = _SAME.get(name.lower(), name.lower())
        if not colon:
            raise _unreadable(path, "a line of its header is not a field")
        if name in fields:
            raise _unreadable(path, f"its header has {name[:40]} twice")
        fields[name] = value.strip()
    if len(head) == _LONGEST_HEADER:
        raise _unreadable(path, "its header does not end")
    return fields, end


def _place(path: Path, fields: dict[str, str], axes: int) -> tuple[tuple[int, ...], NDArray[np.float64], bool]:
    _require_mm(path, fields)
    affine = np.eye(4)
    signs = _SPACES.get(fields.get("space", "").lower())
    if "space directions" in fields:
        vectors = [_vector(word) for word in _words(fields["space directions"])]
        spatial = tuple(axis for axis, vector in enumerate(vectors) if vector is not None)
        origin = _vector(fields.get("space origin", "(0,0,0)"))
        if len(vectors) != axes or len(spatial) != 3 or origin is None:
            raise _unreadable(path, "its space directions and origin are not those of a volume")
        affine[:3, :3] = np.array([vectors[axis] for axis in spatial]).T
        affine[:3, 3] = origin
    else:
        steps = [_number(word) for word in fields.get("spacings", " ".join(["1"] * axes)).split()]
        spatial = tuple(axis for axis, step in enumerate(steps) if math.isfinite(step))
        if len(steps) != axes:
            raise _unreadable(path, "its spacings are not those of a volume")
        if len(spatial) == 3:
            affine[:3, :3] = np.diag([steps[axis] for axis in spatial])
    affine[:3] *= np.array(signs or (1, 1, 1))[:, None]
    return spatial, affine, signs is not None and "space directions" in fields


def _require_mm(path: Path, fields: dict[str, str]) -> None:
    for quoted, bare in re.findall(r'"([^"]*)"|([^"\s]+)', fields.get("space units", "")):
        unit = (quoted + bare).strip()
        if unit.lower() not in ("", "mm", "???"):  # the last is NRRD's word for what is not known
            raise DataError(f"{path} measures space in {unit[:20]!r} (space units); write it again in mm")


def _words(text: str) -> list[str]:
    return [word.replace(" ", "") for word in re.findall(r"none|\([^()]*\)", text)]


def _vector(text: str) -> tuple[float, ...] | None:
    """Return three finite numbers ``(a,b,c)``; None for anything else, ``none`` among it."""
    found = re.fullmatch(r"\((.*)\)", text.replace(" ", ""))
    numbers = tuple(_number(word) for word in found[1].split(",")) if found is not None else ()
    return numbers if len(numbers) == 3 and all(map(math.isfinite, numbers)) else None


def _number(word: str) -> float:
    """Return a number in plain notation; NaN for anything else."""
    return float(word) if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", word, re.ASCII) else math.nan


def _dtype(path: Path, fields: dict[str, str]) -> np.dtype[np.generic]:
    code = _TYPE.get(fields["type"].lower())
    if code is None:
        raise _unreadable(path, f"its voxels are of the type {fields['type'][:40]!r}; numbers are needed")
    endian = fields.get("endian", "little" if code.endswith("1") else "").lower()
    if endian not in ("little", "big"):
        raise _unreadable(path, "its header does not say the order of bytes (endian)")
    return np.dtype(f"{'<' if endian == 'little' else '>'}{code}")


def _encoding(path: Path, fields: dict[str, str]) -> str:
    encoding = _ENCODINGS.get(fields["encoding"].lower())
    if encoding is None:
        raise DataError(f"{path} has voxels encoded as {fields['encoding'][:40]!r}; write it as gzip or raw")
    if any(fields.get(name, "0") != "0" for name in ("line skip", "byte skip")):
        raise DataError(f"{path} skips a part of the file before its voxels; write it as one .nrrd file")
    return encoding


def _data(path: Path, fields: dict[str, str]) -> Path | None:
    name = fields.get("data file")
    if name is None:
        return None
    if name.split(" ")[0] == "LIST" or "%" in name:
        raise DataError(f"{path} keeps its voxels in several files; write it as one .nrrd file")
    return path.parent / name


def _unreadable(path: Path, reason: str) -> DataError:
    return DataError(f"{path} is not a readable NRRD file: {reason}")
