"""What ``report`` and ``study report`` do with ``--methods``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from spine_ignite.cli.options import echo_json, say

if TYPE_CHECKING:
    from spine_ignite.report.methods_text import Methods


def write_methods(make: Callable[[], Methods], out: Path | None, as_json: bool) -> None:
    """Make a methods section, and write it to a file or print it.

    Args:
        make: makes it.
        out: the file, .md or .tex; None prints Markdown.
        as_json: print it as JSON.

    Raises:
        UsageError: the file has another suffix.
    """
    from spine_ignite.files import write_text
    from spine_ignite.report.methods_text import writer_of

    write = writer_of(out)
    found = make()
    if out is not None:
        write_text(out, write(found))
    if as_json:
        echo_json({"file": out, "head": found.head, "paragraphs": dict(found.paragraphs)})
    elif out is not None:
        say(f"Methods: {out}")
    else:
        for line in write(found).split("\n"):
            say(line)
