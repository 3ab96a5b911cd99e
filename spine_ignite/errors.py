"""What a user can do wrong, told in one sentence; the command line turns these into exit codes."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterable
from pathlib import Path

from spine_ignite.names import printable


class SpineIgniteError(Exception):
    """A mistake that a user can cause and mend; its text says what is wrong, where, and what to do, in one line."""

    exit_code = 1

    def __str__(self) -> str:
        """Return the text; what names of files could do to a terminal or log, it does not do."""
        return printable(super().__str__())


class UsageError(SpineIgniteError):
    """A wrong name, option, configuration key or value: what was asked for does not exist or fit."""

    exit_code = 2


class DataError(SpineIgniteError):
    """A volume, mask or dataset that cannot be used as it is."""


class RunError(SpineIgniteError):
    """A run directory, checkpoint or device that cannot be used as asked."""


class RunOverError(RunError):
    """A run that cannot go on, since it has come to its end."""


def reason(error: Exception, path: Path) -> str:
    """Say in one line why a file could not be used; an error that nobody foresaw is logged with its traceback too."""
    if isinstance(error, SpineIgniteError):
        return str(error)
    logging.getLogger(__name__).debug("%s", path, exc_info=error)
    return printable(f"{path} cannot be used ({f'{type(error).__name__}: {error}'.removesuffix(': ')})")


def suggest(word: str, known: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the known word closest to ``word``, or an empty string."""
    matches = difflib.get_close_matches(word[:100].lower(), list(known), n=1, cutoff=0.5)
    return f" Did you mean '{matches[0]}'?" if matches else ""
