"""Where output may go: not over the data, not over other output, not over a whole home or working folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from spine_ignite.errors import UsageError


def require_apart(
    outputs: Mapping[str, Path], data: Mapping[str, Path] | None = None, reserved: Path | None = None
) -> None:
    """Refuse output folders that are, hold or lie in the data or each other, or that hold the home or working folder.

    Paths are compared by what they lead to: through links, ``..``, and the case of letters where that does not count.

    Args:
        outputs: folders to be written into, by the option or key that names them.
        data: folders that are read, likewise.
        reserved: a folder for output that may lie in the data, as the default slice store does.

    Raises:
        UsageError: a folder cannot be written to without danger; the message says why.
    """
    home = Path(os.path.expanduser("~"))
    never = {"the working folder": Path(), "your home folder": home, "the root folder": Path("/")}
    for label, path in outputs.items():
        for what, place in never.items():
            if _lies_in(place, path):
                raise UsageError(f"{label} {path} is or holds {what}; choose a folder of its own")
        for name, place in (data or {}).items():
            if _lies_in(place, path):
                raise UsageError(f"{label} {path} is or holds the data, {name} {place}; choose a folder outside of it")
            if _lies_in(path, place) and (reserved is None or not _lies_in(path, reserved)):
                raise UsageError(f"{label} {path} lies in the data, {name} {place}; choose a folder outside of it")
    labels = list(outputs)
    for number, label in enumerate(labels):
        for other in labels[:number]:
            if _lies_in(outputs[label], outputs[other]) or _lies_in(outputs[other], outputs[label]):
                raise UsageError(
                    f"{label} {outputs[label]} and {other} {outputs[other]} lie in each other; choose two folders"
                )


def require_file_apart(label: str, path: Path, data: Mapping[str, Path]) -> None:
    """Refuse an output file within the data.

    Raises:
        UsageError: it lies there.
    """
    for name, place in data.items():
        if _lies_in(path, place):
            raise UsageError(f"{label} {path} lies in the data, {name} {place}; choose a place outside of it")


def _lies_in(inner: Path, outer: Path) -> bool:
    """Whether ``inner`` is ``outer`` or lies in it."""
    real = os.path.realpath(outer)
    try:
        known = os.stat(real)
    except OSError:
        known = None
    paths = _upwards(Path(os.path.realpath(inner)))
    return any(str(path) == real or (known is not None and _is(path, known)) for path in paths)


def _upwards(path: Path) -> Iterator[Path]:
    yield path
    yield from path.parents


def _is(path: Path, known: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(path), known)
    except OSError:
        return False
