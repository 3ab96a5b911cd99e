"""Text from outside, made safe for each medium that shows it: names of files, runs and classes, values, messages.

Whoever shows a text calls the function of the medium, where it is shown and nowhere before: what is kept in memory and
in files that programs read is the text itself.
"""

from __future__ import annotations

import reprlib
from typing import Any


def printable(text: str) -> str:
    """Return text in one line: line breaks, control characters and what reorders or hides text become escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)


def cut(text: str, most: int) -> str:
    """Return text of at most ``most`` characters; what is left out of a longer one is marked."""
    return text if len(text) <= most else f"{text[: most - 2]} …"


def brief(value: Any) -> str:
    """Return a value as Python writes it, in one line that is short whatever is nested in the value."""
    return cut(printable(_BRIEF.repr(value)), 120)


class _Brief(reprlib.Repr):
    """Python's own short form, which looks at no more of a value than it shows."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 3
        self.maxstring = self.maxother = self.maxlong = 60

    def repr_int(self, x: int, level: int) -> str:
        """Whole numbers of any size: Python refuses to write those of thousands of digits."""
        return super().repr_int(x, level) if x.bit_length() < 4096 else f"a number of {x.bit_length()} bits"


_BRIEF = _Brief()
