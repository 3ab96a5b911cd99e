"""A methods section as text: for Markdown, and for LaTeX."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from spine_ignite.errors import UsageError
from spine_ignite.names import in_latex, in_markdown


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a methods section: a caption, headings, rows of texts."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Methods:
    """A methods section.

    Args:
        paragraphs: title and text of each.
        tables: of results.
        head: of the manifest that it was written from.
    """

    paragraphs: tuple[tuple[str, str], ...]
    tables: tuple[Table, ...]
    head: str


def to_markdown(methods: Methods) -> str:
    """Return a methods section as Markdown."""
    parts = [f"**{in_markdown(title)}.** {in_markdown(text)}" for title, text in methods.paragraphs]
    for table in methods.tables:
        rows = [table.columns, ["---"] * len(table.columns), *table.rows]
        lines = ["| " + " | ".join(c if c == "---" else in_markdown(c) for c in row) + " |" for row in rows]
        parts += [in_markdown(table.caption), "\n".join(lines)]
    parts.append(f"Written from the manifest with the head `{methods.head}`.")
    return "\n\n".join(parts) + "\n"


def to_latex(methods: Methods) -> str:
    """Return a methods section for LaTeX; its tables need booktabs."""
    lines = [f"% written from the manifest with the head {methods.head}"]
    for title, text in methods.paragraphs:
        lines += [rf"\paragraph{{{in_latex(title)}.}} {in_latex(text)}", ""]
    for table in methods.tables:
        lines += [
            r"\begin{table}", rf"\caption{{{in_latex(table.caption)}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}", r"\toprule",
            *(" & ".join(map(in_latex, row)) + r" \\" for row in (table.columns,)), r"\midrule",
            *(" & ".join(map(in_latex, row)) + r" \\" for row in table.rows),
            r"\bottomrule", r"\end{tabular}", r"\end{table}", "",
        ]  # fmt: skip
    return "\n".join(lines)


WRITERS: dict[str, Callable[[Methods], str]] = {".md": to_markdown, ".tex": to_latex}


def writer_of(path: Path | None) -> Callable[[Methods], str]:
    """Return what writes a methods section into a file of this name; Markdown without one.

    Raises:
        UsageError: its suffix is neither .md nor .tex.
    """
    suffix = ".md" if path is None else path.suffix.lower()
    if suffix not in WRITERS:
        raise UsageError(f"a methods section is written as .md or .tex, not to {path}")
    return WRITERS[suffix]
