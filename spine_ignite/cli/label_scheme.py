"""The scheme of label volumes that a command is given: what they carry, or what it is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spine_ignite.errors import UsageError

if TYPE_CHECKING:
    from spine_ignite.labels import LabelScheme

Command = Callable[..., Any]


def label_scheme_option(command: Command) -> Command:
    """Add ``--scheme``, for :func:`scheme_of`."""
    return click.option(
        "--scheme",
        help="Label scheme: a name, a YAML file, or nnU-Net's dataset.json. Default: what all label volumes "
        "carry, as do those that predict and levels write.",
    )(command)


def scheme_of(name: str | None, *volumes: Path) -> LabelScheme:
    """Return the scheme of a name, or that which label volumes carry: numbers alone could mean any level.

    Raises:
        UsageError: there is no such scheme, or none is named and a volume says none, or another than the first.
    """
    from spine_ignite.labels import load_scheme
    from spine_ignite.volumes.label_description import scheme_in

    if name is not None:
        return load_scheme(name)
    first, *others = volumes
    carried = scheme_in(first)
    if carried is None:
        raise UsageError(f"{first} does not say what its values mean; name its label scheme with --scheme")
    for volume in others:
        found = scheme_in(volume)
        if found is None and _is_readable(volume):
            raise UsageError(f"{volume} does not say in which scheme its values are, as {first} does; say --scheme")
        if found is not None and found != carried:
            raise UsageError(
                f"{volume} carries another label scheme ('{found.name}') than {first} ('{carried.name}'); give those "
                "of one scheme at a time, or say --scheme"
            )
    return carried


def _is_readable(volume: Path) -> bool:
    """Whether a volume can be read, and so might have been misread; what is wrong with another is told where it is."""
    from spine_ignite.volumes.reader import read_geometry

    try:
        read_geometry(volume)
    except Exception:  # of any kind that a format's library raises
        return False
    return True
