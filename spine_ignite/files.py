"""Writing files so that a reader, a crash or a full disk never meets half of one."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from spine_ignite.errors import RunError


@contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """Give a temporary path in the same folder; on success it is flushed to disk and renamed to ``path``.

    On any error the temporary file is removed and an earlier ``path`` stays as it was. The temporary name ends like
    ``path``, since writers choose their format by it.

    Raises:
        RunError: the folder cannot be written, or the disk is full.
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".part-", suffix=f"-{path.name}", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        _flush(temporary)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
        temporary = None
        _flush(path.parent)
    except OSError as error:
        raise RunError(explain(error, path)) from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically; see :func:`write_atomically`."""
    with write_atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_with(path: Path, write: Callable[[IO[bytes]], None]) -> None:
    """Let ``write`` fill a binary file that replaces ``path`` when complete; see :func:`write_atomically`."""
    with write_atomically(path) as temporary, temporary.open("wb") as file:
        write(file)


def explain(error: OSError, path: Path) -> str:
    """Say in one sentence why a file could not be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"{path} cannot be written: the disk (or quota) is full; free some space and try again"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{path} cannot be written: no permission; choose another folder or change its rights"
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return f"{path} cannot be written: a part of its path is a file, not a folder"
    return f"{path} cannot be written: {error.strerror or error}"


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
