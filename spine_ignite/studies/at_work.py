"""Who works on what: locks on the folders of cells and trials, which go with the process that holds them."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

from spine_ignite.errors import RunError
from spine_ignite.locks import is_locked, lock_folder

CLAIM = ".lock-study"  # in the folder of a cell or trial: held from before its training until after its judgement
_ATTEMPTS = 20  # to take a claim, which `study status` holds for a moment when it looks
_PAUSE = 0.01  # seconds between two attempts


def claim(stack: ExitStack, folder: Path) -> bool:
    """Keep other processes off a folder until the stack is left; False if one is at work on it.

    Raises:
        RunError: the folder cannot be written or locked.
    """
    for attempts_left in reversed(range(_ATTEMPTS)):
        try:
            stack.enter_context(lock_folder(folder, "is working on it", CLAIM))
        except RunError:
            if not attempts_left:
                if is_locked(folder, CLAIM):
                    return False
                raise
            time.sleep(_PAUSE)
        else:
            return True
    return False


def wait_for_lock(stack: ExitStack, folder: Path, name: str, seconds: float = 60.0) -> None:
    """Hold a lock that others hold for moments only, until the stack is left.

    Raises:
        RunError: another process holds it all the time, or it cannot be taken.
    """
    end = time.monotonic() + seconds
    while True:
        try:
            stack.enter_context(lock_folder(folder, "is at work there", name))
        except RunError:
            if time.monotonic() > end or not is_locked(folder, name):
                raise
            time.sleep(_PAUSE)
        else:
            return
