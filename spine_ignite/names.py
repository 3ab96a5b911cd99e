"""Text from outside, made safe for each medium that shows it: names of files, runs and classes, values, messages.

Whoever shows a text calls the function of the medium, where it is shown and nowhere before: what is kept in memory and
in files that programs read is the text itself.
"""

from __future__ import annotations

import json
import re
import reprlib
from typing import Any


def printable(text: str) -> str:
    """Return text in one line: line breaks, control characters and what reorders or hides text become escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)


def lines_printable(text: str) -> str:
    """Return text with its lines and tabs as they are, and all else as :func:`printable` gives it."""
    return re.sub(r"[^\n\t]+", lambda part: printable(part[0]), text)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, an ``s`` added unless it is one: ``1 case``, ``2 cases``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def cut(text: str, most: int) -> str:
    """Return text of at most ``most`` characters; what is left out of a longer one is marked."""
    return text if len(text) <= most else f"{text[: most - 2]} …"


def brief(value: Any) -> str:
    """Return a value as Python writes it, in one line that is short whatever is nested in the value."""
    return cut(printable(_BRIEF.repr(value)), 120)


def in_csv(text: str) -> str:
    """Return the text of a cell that a spreadsheet takes for text: what it would compute begins with an apostrophe.

    An apostrophe is added as well where there are some already, so that :func:`from_csv` gives back what is printable.
    """
    text = printable(text)
    return f"'{text}" if _FORMULA.match(text) else text


def from_csv(cell: str) -> str:
    """Return the text that :func:`in_csv` made a cell of."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell[1:]) else cell


def in_figure(text: str, most: int = 200) -> str:
    """Return a text for matplotlib, to be drawn under ``FIGURE_SETTINGS``; legends leave out what has a ``_`` first."""
    text = cut(printable(text), most)
    return f" {text}" if text.startswith("_") else text


# matplotlib's settings under which a text is drawn as it is, dollar signs and backslashes included.
FIGURE_SETTINGS = {"text.parse_math": False, "text.usetex": False}


def in_latex(text: str) -> str:
    """Return text that LaTeX prints as it is."""
    escaped = "".join(_LATEX.get(character, character) for character in printable(text))
    return escaped.replace("--", "-{}-").replace("--", "-{}-")


def in_markdown(text: str) -> str:
    """Return text that Markdown shows as it is, also in a table; nothing in it becomes a link, tag or entity."""
    escaped = re.sub(r"([\\`*_<>|\[\]#~$&])", r"\\\1", printable(text))
    return re.sub(r"(?i):(?=//)|(?<=www)\.", lambda found: f"\\{found.group()}", escaped)


def code_block(text: str, language: str) -> str:
    """Return a block of code in Markdown, which nothing in the text ends."""
    fence = "`" * max(3, 1 + max((len(ticks) for ticks in re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def in_page(value: Any) -> Any:
    """Return a value for an HTML template, which escapes what it is given; lines stay lines there."""
    if type(value) is not str or value.isprintable():  # markup is ours already
        return value
    return lines_printable(value)


def in_json(document: str) -> str:
    """Return a JSON document, as it is but for what a terminal or a file of UTF-8 could not take: that is escaped."""
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in document)


_FORMULA = re.compile(r"[' ]*[=+\-@\uff1d\uff0b\uff0d\uff20]")  # the last four are wide forms of the others
_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "[": "{[}",  # after a line's end it would begin an optional argument, as * would be one
    "]": "{]}",
    "*": "{*}",
    "⁻": r"\textsuperscript{$-$}",
    "³": r"\textsuperscript{3}",
}


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
