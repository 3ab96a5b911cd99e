"""Writing files so that a reader, a crash or a full disk never meets half of one, and nobody else's are touched."""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TextIO

from spine_ignite.errors import RunError

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows has no fcntl: there half-written files stay
    fcntl = None  # type: ignore[assignment]

_PART = ".part-spine-ignite-"
_PART_NAME = re.compile(re.escape(_PART) + r"[0-9a-f]{8}-.*", re.DOTALL)
_SHORT = re.compile(r"\d+ requested and \d+ written")  # all that numpy says of a full disk
_FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)

_guarded: set[str] = set()
_swept: set[str] = set()


@contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """Give a temporary path in the same folder; on success it is flushed to disk and renamed to ``path``.

    On any error the temporary file is removed and an earlier ``path`` stays as it was. The temporary name ends like
    ``path``, since writers choose their format by it. A file that is replaced keeps its rights; if it is a link, the
    link is replaced and what it points to stays. What killed processes left half-written in the folder is removed.

    Raises:
        RunError: the folder cannot be written, or the disk is full.
    """
    path = Path(path)
    part: _Part | None = None
    try:
        refuse_links(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep_once(path.parent)
        rights = _rights(path)
        part = _begin(path, private=rights is not None)
        yield part.path
        _flush(part.path)
        rights = _rights(path) or rights
        if rights is not None:
            _give_rights(part.path, rights)
        os.replace(part.path, path)
        _flush(path.parent)
    except OSError as error:
        raise RunError(explain(error, path)) from error
    finally:
        if part is not None:
            part.close()


@contextmanager
def make_folder(folder: Path) -> Iterator[Path]:
    """Give a new folder beside ``folder``, which takes that name when it is complete; on any error it is removed.

    A process that is killed leaves it there, under a name that begins with ``.part-spine-ignite-``.

    Raises:
        RunError: there is something of that name already, or it cannot be written.
    """
    folder = Path(folder)
    part: Path | None = None
    try:
        refuse_links(folder)
        if folder.is_symlink() or folder.exists():
            raise RunError(f"{folder} exists already; choose another place, or remove it")
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = _part_name(folder)
        part.mkdir()
        yield part
        for path in part.rglob("*"):
            if path.is_file():
                _flush(path)
        os.rename(part, folder)
        part = None
        _flush(folder.parent)
    except OSError as error:
        raise RunError(explain(error, folder)) from error
    finally:
        if part is not None:
            shutil.rmtree(part, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically; see :func:`write_atomically`."""
    with write_atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_with(path: Path, write: Callable[[IO[bytes]], None]) -> None:
    """Let ``write`` fill a binary file that replaces ``path`` when complete; see :func:`write_atomically`."""
    with write_atomically(path) as temporary, temporary.open("wb") as file:
        write(file)


def open_to_append(path: Path) -> TextIO:
    """Open a UTF-8 text file to append to; see :func:`open_plain`. What has a second name is copied first."""
    if path.is_file() and not path.is_symlink() and path.stat().st_nlink > 1:
        with path.open("rb") as former:
            write_with(path, lambda copy: shutil.copyfileobj(former, copy))
    return os.fdopen(open_plain(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "a", encoding="utf-8")


def open_plain(path: Path, flags: int) -> int:
    """Open a file as ``os.open`` does, unless its last component is a link or is no plain file.

    Raises:
        RunError: it is a link, a pipe or the like, lies behind a link within a guarded folder, or is to be written and
            has a second name (a hard link), under which somebody else may keep it.
        OSError: it cannot be opened for another reason.
    """
    refuse_links(path)
    try:
        descriptor = os.open(path, flags | _FLAGS, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP or path.is_symlink():
            raise RunError(f"{path} is a link, and links are not written through; remove it") from error
        raise
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and (status.st_nlink <= 1 or not flags & (os.O_WRONLY | os.O_RDWR)):
        return descriptor
    os.close(descriptor)
    if stat.S_ISREG(status.st_mode):
        raise RunError(f"{path} is a file that has another name too, and links are not written through; remove it")
    raise RunError(f"{path} is not a plain file; remove it")


def keep_as(path: Path, other: Path) -> None:
    """Let ``other`` be what ``path`` is now; a hard link costs nothing and leaves ``path`` there at every moment."""
    link = _part_name(other)
    try:
        os.link(path, link)
    except OSError:  # a file system without links
        os.replace(path, other)
    else:
        os.replace(link, other)
        with suppress(FileNotFoundError):
            link.unlink()  # it stays if both were one file before


def guard(folder: Path) -> None:
    """Let no link below a folder of ours, such as one in a run that was received, lead what is written elsewhere."""
    _guarded.add(os.path.abspath(folder))


def refuse_links(path: Path) -> None:
    """Refuse a path that passes a link below a guarded folder; its last component is not looked at.

    Raises:
        RunError: it does; the message names the link.
    """
    place = Path(os.path.abspath(path))
    below = place.parents
    outermost = max((number for number, folder in enumerate(below) if str(folder) in _guarded), default=0)
    for folder in below[:outermost]:
        if folder.is_symlink():
            raise RunError(f"{folder} is a link, and links are not written through; put a folder in its place")


def remove_abandoned(folder: Path) -> None:
    """Remove what killed processes left half-written in a folder; what a living process is writing stays."""
    with suppress(OSError):
        for name in filter(_PART_NAME.fullmatch, os.listdir(folder)):
            with suppress(OSError):
                _remove_if_abandoned(Path(folder) / name)


def is_part(name: str) -> bool:
    """Whether a file name is that of a half-written file of ours."""
    return _PART_NAME.fullmatch(name) is not None


def explain(error: OSError, path: Path) -> str:
    """Say in one sentence why a file could not be written."""
    short = error.errno is None and _SHORT.fullmatch(str(error)) is not None
    if short or error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"{path} cannot be written: the disk (or quota) is full; free some space and try again"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{path} cannot be written: no permission; choose another folder or change its rights"
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return f"{path} cannot be written: a part of its path is a file, not a folder"
    return f"{path} cannot be written: {error.strerror or error}"


@dataclass(frozen=True)
class _Part:
    """A file that is being written; its lock says that its writer lives, and goes with it, however it ends."""

    path: Path
    descriptor: int

    def close(self) -> None:
        """Remove the file, unless it has been renamed, and let go of it."""
        with suppress(OSError):
            self.path.unlink()
        os.close(self.descriptor)


def _part_name(path: Path) -> Path:
    return path.with_name(f"{_PART}{secrets.token_hex(4)}-{path.name[-40:]}")  # whole names may be too long


def _begin(path: Path, private: bool) -> _Part:
    """Create the temporary file for ``path``: with the system's usual rights, or for nobody else's eyes."""
    while True:
        part = _part_name(path)
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | _FLAGS, 0o600 if private else 0o666)
        if _lock(descriptor) is not False and os.fstat(descriptor).st_nlink:
            return _Part(part, descriptor)
        os.close(descriptor)  # another process took it for abandoned, in the moment before it was locked


def _lock(descriptor: int) -> bool | None:
    """Lock a file; False if another has locked it, None if the system cannot."""
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    except BlockingIOError:
        return False
    except OSError:
        pass
    return None


def _sweep_once(folder: Path) -> None:
    """Remove what killed processes left in a folder, when this process first writes into it."""
    key = os.path.abspath(folder)
    if key not in _swept:
        _swept.add(key)
        remove_abandoned(folder)


def _remove_if_abandoned(path: Path) -> None:
    if not stat.S_ISREG(path.lstat().st_mode):
        return
    descriptor = os.open(path, os.O_RDWR | _FLAGS)
    try:
        if _lock(descriptor):
            path.unlink()
    finally:
        os.close(descriptor)


def _rights(path: Path) -> os.stat_result | None:
    """What is known of the file that will be replaced; None if there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def _give_rights(path: Path, former: os.stat_result) -> None:
    """Give a file the rights of a former one, and its group and owner if that is allowed."""
    mode = stat.S_IMODE(former.st_mode) & 0o777
    if hasattr(os, "chown"):
        for owner, group in ((-1, former.st_gid), (former.st_uid, -1)):
            with suppress(OSError):
                os.chown(path, owner, group)
        if path.stat().st_gid != former.st_gid:  # what another group might read, this one may not
            mode &= ~0o070 | (mode & 0o007) << 3
    os.chmod(path, mode)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
