"""A lock on a folder, so that two processes do not write it at once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spine_ignite.errors import RunError
from spine_ignite.files import explain

try:
    import fcntl
except ImportError:  # Windows has no fcntl: there the lock is the file's exclusive creation.
    fcntl = None  # type: ignore[assignment]


@contextmanager
def lock_folder(folder: Path, what: str, name: str = ".lock") -> Iterator[None]:
    """Hold the lock of ``folder`` while the block runs; it goes with the process, however that ends.

    Raises:
        RunError: another process holds it, or the folder cannot be written; ``what`` says what is going on there.
    """
    path = folder / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise RunError(explain(error, path)) from error
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    except BlockingIOError:
        holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
        by = f" (process {holder})" if holder else ""
        raise RunError(
            f"{folder} is in use: another process{by} {what}; wait for it or choose another folder"
        ) from None
    finally:
        os.close(descriptor)
