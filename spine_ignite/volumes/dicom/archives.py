"""The files of a source of DICOM: those below a folder, those that a DICOMDIR names, those in a zip, or one alone.

A zip is never unpacked: its files are read where they are, one at a time.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from spine_ignite.errors import DataError
from spine_ignite.volumes.dicom.dicom_paths import DAMAGE, candidates, is_slice_name, looks_like, may_be_dicom

_HEAD = 132  # bytes: the preamble, and what says that it is one
_MOST_BYTES = 2**31  # of one file in a zip
# Images shrink to a half or a third; what shrinks to less than a hundredth was made to fill a disk, or a memory.
_BOMB_BYTES, _BOMB_RATIO = 2**26, 100


@dataclass(frozen=True, slots=True)
class Member:
    """A file of a source: its name there, and what tells whether it has changed."""

    name: str
    size: int
    stamp: int


@dataclass(frozen=True, slots=True)
class Archive:
    """A source of DICOM and its files.

    Args:
        path: the source.
        members: its files in the order of their names.
        root: what the names are relative to; None in a zip.
        missing: how many files a DICOMDIR names that are not there.
    """

    path: Path
    members: tuple[Member, ...]
    root: Path | None = None
    missing: int = 0

    def file(self, member: Member) -> Path:
        """Return the file on disk that holds a member: itself, or the zip."""
        return self.path if self.root is None else self.root / member.name

    def read(self, member: Member) -> bytes:
        """Return the whole of a member.

        Raises:
            OSError: it cannot be read, or is damaged.
        """
        try:
            if self.root is not None:
                return self.file(member).read_bytes()
            with zipfile.ZipFile(self.path) as archive:
                return archive.read(member.name)
        except DAMAGE as error:
            raise OSError("it is damaged") from error

    def images(self) -> Iterator[tuple[Member, IO[bytes] | None]]:
        """Yield the members that look like DICOM, opened: of a zip no more is unpacked than is read.

        Those that cannot be opened, and those that are nothing but should be DICOM, come with None.
        """
        with zipfile.ZipFile(self.path) if self.root is None else nullcontext() as packed:
            for member in self.members:
                try:
                    file: IO[bytes] = self.file(member).open("rb") if packed is None else packed.open(member.name)
                    with file:
                        head = file.read(_HEAD)
                        if looks_like(head):
                            file.seek(0)
                            yield member, file
                        elif _was_dicom(member, head):
                            yield member, None
                except DAMAGE:
                    if may_be_dicom(PurePosixPath(member.name)):
                        yield member, None


def _was_dicom(member: Member, head: bytes) -> bool:
    """Whether a file that is no DICOM should be: by its name, or since it is empty or ends in an empty preamble."""
    name = PurePosixPath(member.name)
    return may_be_dicom(name) and (is_slice_name(name) or (len(head) < _HEAD and not any(head)))


def open_archive(path: Path) -> Archive:
    """List the files of a source.

    Raises:
        DataError: it cannot be read, is a zip that leads outside, is encrypted or blown up, or a DICOMDIR whose files
            are all missing.
    """
    try:
        if path.is_dir():
            files = list(candidates(path))
            return Archive(path, tuple(_member(path, file) for file in files if file.is_file()), path)
        if path.suffix.lower() == ".zip":
            return Archive(path, _packed(path))
        if path.name.upper() == "DICOMDIR":
            return _listed(path)
        return Archive(path, (_member(path.parent, path),), path.parent)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or 'it is damaged'}") from None


def _member(root: Path, file: Path) -> Member:
    status = file.stat()
    return Member(file.relative_to(root).as_posix(), status.st_size, status.st_mtime_ns)


def _packed(path: Path) -> tuple[Member, ...]:
    try:
        with zipfile.ZipFile(path) as archive:
            items = [item for item in archive.infolist() if not item.is_dir()]
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        raise DataError(f"{path} is not a readable zip: it is truncated or corrupt") from None
    for item in items:
        name = item.filename
        windows = PureWindowsPath(name)
        if ".." in windows.parts or windows.drive or windows.root or PurePosixPath(name).is_absolute():
            raise DataError(f"{path} holds a file whose name leads outside of it; do not unpack it, ask who made it")
        if item.flag_bits & 1:
            raise DataError(f"{path} is encrypted; unpack it with its password and give the folder")
        if item.file_size > _MOST_BYTES or item.file_size > max(_BOMB_BYTES, _BOMB_RATIO * item.compress_size):
            raise DataError(
                f"{path} holds a file of {item.file_size >> 20} MiB in {item.compress_size >> 10} KiB, which are no "
                "images; do not unpack it, ask who made it"
            )
    if sum(item.compress_size for item in items) > path.stat().st_size:
        raise DataError(f"{path} holds files that share their bytes, which are no images; do not unpack it")
    return tuple(sorted((Member(i.filename, i.file_size, i.CRC) for i in items), key=lambda member: member.name))


def _listed(path: Path) -> Archive:
    from spine_ignite.volumes.dicom.dicom_headers import quiet

    root = path.parent
    with quiet() as pydicom:
        try:
            records = pydicom.dcmread(path).DirectoryRecordSequence
            names = [_parts(record.ReferencedFileID) for record in records if "ReferencedFileID" in record]
        except Exception:
            raise DataError(f"{path} is not a readable DICOMDIR; give the folder that it lies in") from None
    if any(".." in parts or any("/" in p or "\\" in p or ":" in p for p in parts) for parts in names):
        raise DataError(f"{path} names a file outside of its folder; give the folder of the images")
    found = [file for parts in names if (file := _on_disk(root, parts)) is not None]
    if names and not found:
        raise DataError(f"{path} names {len(names)} files of which none is there; copy the whole medium")
    return Archive(path, tuple(_member(root, file) for file in found), root, len(names) - len(found))


def _parts(value: object) -> list[str]:
    return [value] if isinstance(value, str) else [str(part) for part in value]  # type: ignore[attr-defined]


def _on_disk(root: Path, parts: list[str]) -> Path | None:
    """Find a file that a DICOMDIR names: in upper case by the standard, in lower case as some systems show it."""
    for names in (parts, [part.lower() for part in parts]):
        file = root.joinpath(*names)
        if file.is_file():
            return file
    return None
