"""Which folders are ours. Only what lies in one, under a name that we give, is ever deleted or written over.

A folder becomes ours by a marker file, which is made when the folder is empty (or, where other files may lie beside
ours, when none has a name that we give). What a folder holds besides is never touched.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from spine_ignite.errors import RunError
from spine_ignite.files import explain, is_part, open_plain, remove_abandoned, write_text
from spine_ignite.locks import lock_folder

MARKER = ".spine-ignite"
FORMAT = 1
_KINDS = {
    "run": "a run",
    "cross-validation": "a cross-validation",
    "study": "a study",
    "store": "a slice store",
    "evaluation": "an evaluation",
    "comparison": "a comparison",
    "slices": "exported slices",
    "phantoms": "phantoms",
    "reviewed": "reviewed cases",
    "conversion": "a converted dataset",
}
Kind = Literal[
    "run",
    "cross-validation",
    "study",
    "store",
    "evaluation",
    "comparison",
    "slices",
    "phantoms",
    "reviewed",
    "conversion",
]
_NOBODYS = re.compile(rf"{re.escape(MARKER)}|\.lock(-[a-z]+)?|\.readers")


@dataclass(frozen=True)
class Listed:
    """Files that we may write in a folder of ours.

    Args:
        folder: a regular expression for the folder below ours, with ``/``; empty for ours itself.
        name: a regular expression for the file's name.
    """

    folder: str
    name: str


def is_ours(folder: Path, kind: Kind) -> bool:
    """Whether a folder carries our mark, for this kind of content."""
    return _read_mark(folder) == kind


def require_ours(folder: Path, kind: Kind, beside: Sequence[Listed] | None = None) -> None:
    """Refuse a folder that holds files of others.

    Args:
        folder: the folder; it need not be there.
        kind: what is to be written into it.
        beside: what will be written, if files under other names may lie beside it; None: the folder must be ours alone.

    Raises:
        RunError: the folder holds something else.
    """
    if not folder.exists() and not folder.is_symlink():
        return
    if not folder.is_dir():
        raise RunError(f"{folder} is not a folder; choose another one")
    if _read_mark(folder) == kind:
        return
    require_unmarked(folder)
    try:
        found = _others(folder) if beside is None else (path.name for path in listed(folder, beside))
        other = next(iter(found), None)
    except OSError as error:
        raise RunError(explain(error, folder)) from error
    if other is not None:
        raise RunError(
            f"{folder} holds files that spine-ignite did not make as {_KINDS[kind]}, {other} for one; "
            "choose a folder that is new or empty"
        )


def require_unmarked(folder: Path) -> None:
    """Refuse a folder of ours whose content is kept by other commands, for files that may lie beside those of others.

    Raises:
        RunError: it carries our mark.
    """
    mark = _read_mark(folder)
    if mark is not None:
        raise RunError(f"{folder} holds {_KINDS.get(mark, 'something else')} of spine-ignite; choose another folder")


@contextmanager
def own_folder(folder: Path, kind: Kind, what: str, beside: Sequence[Listed] | None = None) -> Iterator[None]:
    """Lock a folder and mark it as ours while nothing of others is in it.

    If the block fails and leaves nothing there, neither mark nor folder stays.

    Args:
        folder: the folder, made if it is not there.
        kind: what is written into it.
        what: what is going on there, for others who want it: ``is training in it``.
        beside: see :func:`require_ours`.

    Raises:
        RunError: the folder holds something else, is in use, or cannot be written.
    """
    require_ours(folder, kind, beside)
    with lock_folder(folder, what):
        require_ours(folder, kind, beside)  # another process may have come and gone meanwhile
        new = not is_ours(folder, kind)
        if new:
            write_text(folder / MARKER, json.dumps({"kind": kind, "format": FORMAT}) + "\n")
        try:
            yield
        except BaseException:
            if new:
                with suppress(OSError):
                    if next(_others(folder), None) is None:
                        (folder / MARKER).unlink()
            raise


def listed(root: Path, contents: Sequence[Listed]) -> Iterator[Path]:
    """Find what a folder holds under names that we give, files and what stands in their places; no link is followed.

    Raises:
        OSError: a folder cannot be read.
    """
    for folder, below in _folders(root, contents):
        names = [entry.name for entry in contents if re.fullmatch(entry.folder, below)]
        for name in sorted(os.listdir(folder)):
            path = folder / name
            in_place = _is_folder(contents, below, name) and (path.is_symlink() or not path.is_dir())
            if in_place or any(re.fullmatch(known, name) for known in names):
                yield path


def remove_listed(
    root: Path, kind: Kind, contents: Sequence[Listed], keep: Callable[[Path], bool] = lambda _path: False
) -> list[Path]:
    """Delete what a folder of ours holds under names that we give, and folders below it that this leaves empty.

    What killed processes left half-written there goes too; files for which ``keep`` is true stay.

    Returns:
        What stays, since it is not ours or is to be kept.

    Raises:
        RunError: the folder lacks our mark, a link or folder has one of our names, or a file cannot be deleted.
    """
    if not is_ours(root, kind):
        raise RunError(f"{root} was not made by spine-ignite as {_KINDS[kind]}; nothing in it is deleted")
    try:
        found = [path for path in listed(root, contents) if not keep(path)]
        for path in found:
            if path.is_symlink() or not path.is_file():
                raise RunError(f"{path} is not a plain file; nothing was deleted: remove it, or choose another folder")
        folders = list(_folders(root, contents))
        for path in found:
            path.unlink()
        stays: list[Path] = []
        for folder, below in reversed(folders):  # the innermost first
            remove_abandoned(folder)
            stays += [folder / name for name in _others(folder) if not _is_folder(contents, below, name)]
            if below and not os.listdir(folder):
                folder.rmdir()
        return sorted(stays)
    except OSError as error:
        raise RunError(explain(error, root)) from error


def _folders(root: Path, contents: Sequence[Listed], below: str = "") -> Iterator[tuple[Path, str]]:
    """A folder and those in it where something is listed, each with its path below ``root``."""
    folder = root / below
    yield folder, below
    for name in sorted(os.listdir(folder)):
        inner = folder / name
        if _is_folder(contents, below, name) and inner.is_dir() and not inner.is_symlink():
            yield from _folders(root, contents, f"{below}/{name}" if below else name)


def _is_folder(contents: Sequence[Listed], below: str, name: str) -> bool:
    """Whether something is listed in the folder ``name`` of ``below``, or further below it."""
    path = f"{below}/{name}" if below else name
    depth = path.count("/") + 1
    return any(re.fullmatch("/".join(known.folder.split("/")[:depth]), path) for known in contents)


def _others(folder: Path) -> Iterator[str]:
    """What a folder holds, but for locks, our mark and half-written files of ours."""
    names = sorted(os.listdir(folder))
    return (name for name in names if not _NOBODYS.fullmatch(name) and not is_part(name))


def _read_mark(folder: Path) -> str | None:
    """The kind of content that a folder's marker names; None without one, or if it is damaged."""
    try:
        with os.fdopen(open_plain(folder / MARKER, os.O_RDONLY), encoding="utf-8") as file:
            mark = json.loads(file.read(1000))
        return str(mark["kind"]) if mark["format"] == FORMAT else None
    except (OSError, RunError, ValueError, KeyError, TypeError, RecursionError):
        return None
