"""Which paths mean DICOM, and what the volumes that they name are called; no header is read here.

A source is a folder with DICOM files anywhere below it, a zip of such, a DICOMDIR, or one file. ``SOURCE#4`` is its
series 4, ``SOURCE#2.4`` that of its second study, ``SOURCE#study-2`` whatever is chosen of that study.
"""

from __future__ import annotations

import lzma
import os
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path, PurePath, PurePosixPath

SUFFIX = ".dcm"  # stands for all of DICOM where formats go by endings
_SLICES = (SUFFIX, ".dicom", ".ima")
_KEY = re.compile(r"study-\d+|(\d+\.)?\d+[a-z]*")
# Files that lie beside images, and images of other formats, are not opened to see whether they are DICOM.
_OTHERS = re.compile(
    r"\.(nii|gz|mha|mhd|z?raw|nrrd|nhdr|mgz|mgh|hdr|img|zip|json|jsonl|txt|csv|tsv|md|rst|ya?ml|xml|html?|css|js|pdf|xlsx?"
    r"|ods|docx?|log|lock|py|sh|sha256|md5|bval|bvec|np[yz]|png|jpe?g|gif|bmp|tiff?|svg|pt|pth|pt2|safetensors|exe|dll|inf)"
)
# What reading of a zip raises; RuntimeError, of which NotImplementedError is one, tells of passwords and methods.
DAMAGE = (OSError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, RuntimeError, EOFError, KeyError)


def split_key(path: Path) -> tuple[Path, str | None]:
    """Return a source, and the key of what is meant of it, None where nothing is said."""
    base, mark, key = path.name.rpartition("#")
    if mark and not base and path == Path(path.name) and _KEY.fullmatch(key) and not path.exists():
        return Path(), key
    if mark and base and _KEY.fullmatch(key) and not path.exists():
        return path.with_name(base), key
    return path, None


def with_key(source: Path, key: str) -> Path:
    """Return the path that names a series, or a study, of a source."""
    return Path(f"#{key}") if source == Path() else source.with_name(f"{source.name}#{key}")


def is_slice_name(path: PurePath) -> bool:
    """Whether a file's name says that it is DICOM: one image of many, as a rule."""
    return path.name.lower().endswith(_SLICES) or path.name.upper() == "DICOMDIR"


def is_dicom(path: Path) -> bool:
    """Whether a path names a source of DICOM, or a series of one."""
    source, _ = split_key(path)
    try:
        if source.is_dir():
            return _folder_holds_dicom(source, _folders_in(source))
        if not source.is_file():
            return False
        status = source.stat()
        if source.suffix.lower() == ".zip":
            return _zip_holds_dicom(source, status.st_mtime_ns, status.st_size)
        if _OTHERS.fullmatch(source.suffix.lower()):
            return False
        return is_slice_name(source) or looks_like(_head(source))
    except OSError:  # told where it is read
        return False


def stem(path: Path) -> str:
    """Return what the volume of a path is called: by what the user typed, never by what lies in it."""
    source, key = split_key(path)
    if source.name.upper() == "DICOMDIR":
        source = source.parent
    name = source.name  # none for ".": what a folder is called that nobody typed may be a patient's name
    for suffix in (".zip", *_SLICES):
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            name = name[: -len(suffix)]
            break
    name = name.strip(" .") or "dicom"
    if key is None:
        return name
    return f"{name}-{key}" if key.startswith("study") else f"{name}-series-{key}"


def looks_like(head: bytes) -> bool:
    """Whether the first 132 bytes of a file are those of DICOM, with the preamble or without it."""
    if head[128:132] == b"DICM":
        return True
    if len(head) < 132 or head[0] not in (2, 8) or head[1] != 0 or head[3] != 0:
        return False
    explicit, length = head[4:6], int.from_bytes(head[4:8], "little")
    return (explicit.isalpha() and explicit.isupper()) or length < 1024


def may_be_dicom(name: PurePath) -> bool:
    """Whether a file by its name may be DICOM: it is not hidden, as macOS hides what it adds to zips, nor of others."""
    return not any(part.startswith(".") for part in name.parts) and not _OTHERS.fullmatch(name.suffix.lower())


def candidates(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder that may be DICOM, in the order of their names."""
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if may_be_dicom(Path(name)):
                yield Path(parent, name)


def _folders_in(folder: Path) -> tuple[tuple[str, int], ...]:
    """What tells whether files were added below a folder, or taken away, without a look at each."""
    found = []
    for parent, folders, _ in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found.append((parent, os.stat(parent).st_mtime_ns))
    return tuple(found)


@lru_cache(maxsize=256)
def _folder_holds_dicom(folder: Path, _folders: tuple[tuple[str, int], ...]) -> bool:
    return any(True for _ in _dicom_files(folder))


def _dicom_files(folder: Path) -> Iterator[Path]:
    for path in candidates(folder):
        with suppress(OSError):
            if path.is_file() and looks_like(_head(path)):
                yield path


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(132)


@lru_cache(maxsize=64)
def _zip_holds_dicom(path: Path, _time: int, _size: int) -> bool:
    doubtful = False  # for all that is known it holds DICOM: what is wrong with it is told where it is read
    try:
        with zipfile.ZipFile(path) as archive:
            for item in archive.infolist():
                if item.is_dir() or not may_be_dicom(PurePosixPath(item.filename)):
                    continue
                try:
                    with archive.open(item) as file:
                        if looks_like(file.read(132)):
                            return True
                except DAMAGE:
                    doubtful = True
            return doubtful or any(item.flag_bits & 1 for item in archive.infolist())
    except (*DAMAGE, ValueError):
        return True
