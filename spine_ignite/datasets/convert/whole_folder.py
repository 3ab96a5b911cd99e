"""A folder that is there whole or not at all: filled beside its place, then put there; what was there is ours or stays.

A record in it names every file with its SHA-256. Only a folder whose files are all as recorded is replaced.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from spine_ignite.errors import DataError, RunError
from spine_ignite.files import explain, write_text
from spine_ignite.ownership import MARKER, Kind, Listed, own_folder, remove_listed, require_ours
from spine_ignite.volumes.digests import file_sha256

RECORD = "conversion.json"
_KIND: Kind = "conversion"
# What is written: volumes and texts, no deeper than derivatives/labels/sub-1/ses-1/anat.
_NAME = r".+\.(nii\.gz|json|csv|tsv|yaml)|README|\.bidsignore"
_CONTENTS = tuple(Listed("/".join([r"\w[\w-]*"] * depth), _NAME) for depth in range(6))


@contextmanager
def replaced_whole(folder: Path) -> Iterator[Path]:
    """Give a new folder, beside ``folder``, that takes its place when the block is done; if it fails nothing changes.

    Raises:
        RunError: ``folder`` is not empty and not ours alone, another process is converting into it, or the disk is
            full.
    """
    if folder.is_symlink():
        raise RunError(f"{folder} is a link; choose another folder")
    new, old = (folder.with_name(f".{folder.name}.{what}-spine-ignite") for what in ("converting", "replaced"))
    try:
        _recover(folder, old)
        _require_replaceable(folder)
        with own_folder(new, _KIND, "is converting a dataset into it"):
            remove_listed(new, _KIND, _CONTENTS)  # of a process that was killed
            try:
                yield new
                _record_all(new)
            except BaseException:
                remove_listed(new, _KIND, _CONTENTS)
                raise
            _require_replaceable(folder)
        _swap(new, folder, old)
    except OSError as error:
        raise RunError(explain(error, folder)) from error


def read_record(folder: Path) -> dict[str, Any]:
    """Return the record of a folder.

    Raises:
        DataError: there is none, or it is damaged.
    """
    path = folder / RECORD
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        files = data["files"]
        if not isinstance(files, dict):
            raise ValueError("its files are no object")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{path} cannot be read; choose another folder") from error
    return dict(data)


def write_record(folder: Path, data: dict[str, Any]) -> None:
    """Write the record; the checksums of all files are added when the folder is done."""
    write_text(folder / RECORD, json.dumps(data, indent=1) + "\n")


def _record_all(folder: Path) -> None:
    data = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    found = sorted(path for path in _files(folder) if path.name != RECORD or path.parent != folder)
    data["files"] = {path.relative_to(folder).as_posix(): file_sha256(path) for path in found}
    write_text(folder / RECORD, json.dumps(data, indent=1) + "\n")


def _files(folder: Path) -> Iterator[Path]:
    """All that a folder holds and that is no folder, but for our mark and lock."""
    for place, folders, names in os.walk(folder):
        links = [name for name in folders if (Path(place) / name).is_symlink()]
        for name in sorted([*names, *links]):
            if Path(place) != folder or name not in (MARKER, ".lock"):
                yield Path(place) / name


def _require_replaceable(folder: Path) -> None:
    require_ours(folder, _KIND)
    if not folder.is_dir() or next(_files(folder), None) is None:
        return
    files = read_record(folder)["files"]
    for path in _files(folder):
        name = path.relative_to(folder).as_posix()
        if name != RECORD and (name not in files or path.is_symlink() or file_sha256(path) != files[name]):
            how = "was changed since" if name in files else "did not make"
            said = f"{path} {how}" if name in files else f"{path}, which convert {how}"
            raise RunError(f"{folder} holds {said}; choose another folder, or move it away")


def _recover(folder: Path, old: Path) -> None:
    """Undo or finish what a process that was killed between two renames has left."""
    if old.is_dir() and not old.is_symlink():
        if folder.exists():
            _discard(old)
        else:
            os.replace(old, folder)


def _swap(new: Path, folder: Path, old: Path) -> None:
    if folder.is_dir() and any(folder.iterdir()):
        os.replace(folder, old)
    elif folder.is_dir():
        folder.rmdir()
    os.replace(new, folder)
    if old.is_dir():
        _discard(old)


def _discard(folder: Path) -> None:
    remove_listed(folder, _KIND, _CONTENTS)
    (folder / MARKER).unlink(missing_ok=True)
    folder.rmdir()
