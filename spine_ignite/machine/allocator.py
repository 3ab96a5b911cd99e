"""Freed memory that is kept for the next step, in place of being given back and asked for anew."""

from __future__ import annotations

import ctypes
import sys

# Parameters of glibc's mallopt(3), and values that fit into its int.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_NEVER, _LARGEST_KEPT = 2**31 - 1, 2**30


def keep_freed_memory() -> bool:
    """Let the C library keep what tensors free, for the rest of the process; return whether it does.

    Each step of training on a CPU allocates the same tensors. By default glibc gives those above some megabytes back to
    the system when they are freed, and the system fills the pages with zeros again, one fault a page, in the next step.
    The process stays as large as its largest step. Other C libraries are left as they are.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # musl has none
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT)) and bool(mallopt(_TRIM_THRESHOLD, _NEVER))
