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
        help="Label scheme: a name, a YAML file, or nnU-Net's dataset.json. Default: what the first label volume "
        "carries, as do those that predict and levels write.",
    )(command)


def scheme_of(name: str | None, volume: Path) -> LabelScheme:
    """Return the scheme of a name, or that which a label volume carries: numbers alone could mean any level.

    Raises:
        UsageError: there is no such scheme, or neither says which.
    """
    from spine_ignite.labels import load_scheme
    from spine_ignite.volumes.label_description import scheme_in

    if name is not None:
        return load_scheme(name)
    carried = scheme_in(volume)
    if carried is None:
        raise UsageError(f"{volume} does not say what its values mean; name its label scheme with --scheme")
    return carried
