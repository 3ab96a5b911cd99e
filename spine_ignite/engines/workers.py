"""Loader workers end with the process that forked them, however that ends."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)

_parent: int | None = None
_prctl: Callable[..., Any] | None = None


@contextmanager
def workers_end_with_us() -> Iterator[None]:
    """Let processes that are forked in the block be killed when this process dies.

    torch's workers look for their parent too, but only once they have started: one whose parent is killed while it
    forks takes its foster parent for its own, waits for ever, and keeps open what the parent had open.
    """
    global _parent, _prctl
    if _prctl is None and sys.platform.startswith("linux"):
        _prctl = getattr(ctypes.CDLL(None), "prctl", None)
    before, _parent = _parent, os.getpid()
    try:
        yield
    finally:
        _parent = before


def _tie_to_parent() -> None:
    global _parent
    parent, _parent = _parent, None
    if parent is None:
        return
    if _prctl is not None:
        _prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:  # it died before this process could ask to be told
        os._exit(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_tie_to_parent)
