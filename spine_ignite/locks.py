"""A lock on a folder, so that two processes do not write it at once."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from spine_ignite.errors import RunError
from spine_ignite.files import explain, guard, open_plain

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows has no fcntl: there nothing keeps a second process out
    fcntl = None  # type: ignore[assignment]

_PATIENCE = 1.0  # seconds in which a process that has just taken a lock writes its name
_ATTEMPTS = 100  # to make a folder that others make and remove
_held: set[int] = set()


def _let_go() -> None:
    """Close a parent's locks in a forked process, such as a loader worker, which may outlive a killed parent."""
    for descriptor in _held:
        with suppress(OSError):
            os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


@contextmanager
def lock_folder(folder: Path, what: str, name: str = ".lock") -> Iterator[None]:
    """Hold the lock of ``folder`` while the block runs; it goes with the process, however that ends.

    The system holds the lock (``flock``), on network drives too where these support it; what is in the file only tells
    others whom they wait for. Afterwards the file is removed, and the folder too if it was made for the lock and is
    empty. No link below the folder is written through from then on.

    Raises:
        RunError: another process holds it, or the folder cannot be written or locked; ``what`` says what is going on
            there.
    """
    path = folder / name
    guard(folder)
    made: list[Path] = []
    try:
        descriptor = _take(path, what, made)
    except OSError as error:
        raise RunError(explain(error, path)) from error
    _held.add(descriptor)
    try:
        _sign(descriptor, f"{os.getpid()} {socket.gethostname()}\n")
        yield
    finally:
        if descriptor in _held:  # not so in a fork of this process
            with suppress(OSError):
                if _is_at(descriptor, path):
                    path.unlink()
            _held.remove(descriptor)
            os.close(descriptor)
            for parent in made:
                with suppress(OSError):
                    parent.rmdir()


def is_locked(folder: Path, name: str = ".lock") -> bool:
    """Whether a process holds the lock of a folder at this moment.

    To know it the lock is taken, shared with others who look, and let go at once: who wants it in that very moment is
    refused, and should try again.
    """
    try:
        descriptor = open_plain(folder / name, os.O_RDONLY)
    except (OSError, RunError):
        return False
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _take(path: Path, what: str, made: list[Path]) -> int:
    """Make the folder and lock the file in it; ``made`` gets the folders that were made, the innermost first."""
    while True:
        folder = path.parent
        _make(folder, made)
        try:
            descriptor = open_plain(path, os.O_RDWR | os.O_CREAT)
        except FileNotFoundError:  # who held it has removed the folder that it had made
            continue
        try:
            _acquire(descriptor, folder, what)
            if _is_at(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # who held it has removed the file: the lock is on another by now


def _make(folder: Path, made: list[Path]) -> None:
    """Make the folder, again if who made it or one above it removes that at the same moment."""
    for attempts_left in reversed(range(_ATTEMPTS)):
        made += [parent for parent in (folder, *folder.parents) if not parent.exists() and parent not in made]
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, FileNotFoundError) as error:
            if not attempts_left or Path(error.filename).is_symlink() or Path(error.filename).is_file():
                raise
        else:
            return


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def _acquire(descriptor: int, folder: Path, what: str) -> None:
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RunError(
            f"{folder} is in use: another process{_holder(descriptor)} {what}; wait for it or choose another folder"
        ) from None
    except OSError as error:
        raise RunError(
            f"{folder} cannot be locked ({error.strerror}), so that nothing would keep a second process out; choose a "
            "folder on a file system with locks"
        ) from error


def _sign(descriptor: int, text: str) -> None:
    """Write who holds the lock; on a full disk nobody is named, and the lock holds all the same."""
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text.encode(), 0)


def _holder(descriptor: int) -> str:
    """Name the process that holds a lock; until it has signed there may be the name of one that was killed."""
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        words = os.pread(descriptor, 512, 0).decode(errors="replace").split()
        if words and words[0].isdecimal():
            host = words[1] if len(words) > 1 else socket.gethostname()
            if host != socket.gethostname():
                return f" (process {words[0]} on {host})"
            if _lives(int(words[0])):
                return f" (process {words[0]})"
        time.sleep(0.01)
    return ""


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except PermissionError:  # somebody else's
        return True
    except (OSError, OverflowError):
        return False
    return True
