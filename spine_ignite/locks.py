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
except ImportError:  # pragma: no cover - Windows has no fcntl: there nothing keeps a second process out
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
        _acquire(descriptor, folder, what)
        yield
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, folder: Path, what: str) -> None:
    if fcntl is not None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode(errors="replace").strip()
            by = f" (process {holder})" if holder else ""
            raise RunError(
                f"{folder} is in use: another process{by} {what}; wait for it or choose another folder"
            ) from None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
