"""What the actions on a study share: which study is meant, and the options that several have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from spine_ignite.cli.options import progress_bar
from spine_ignite.errors import UsageError

if TYPE_CHECKING:
    from spine_ignite.studies.making import Study

Command = TypeVar("Command", bound=Callable[..., Any])

study_argument = click.argument("study", type=click.Path(path_type=Path))
out_option = click.option(
    "--out", type=click.Path(path_type=Path), help="Its folder, for a file; default: that of its name without suffix."
)


def pool_options(function: Command) -> Command:
    """Add ``--at-once N`` and ``--devices A,B`` (``at_once``, ``devices``)."""
    count = click.option(
        "--at-once", type=click.IntRange(min=1), metavar="N", help="Processes at once; default: one a GPU, else one."
    )
    return count(devices_option(function))


def devices_option(function: Command) -> Command:
    """Add ``--devices A,B`` (``devices``)."""
    told = "GPUs to hand out, one a process; default: all visible."
    return click.option("--devices", metavar="A,B", help=told)(function)


def device_names(devices: str | None) -> tuple[str, ...] | None:
    """Turn ``--devices`` into names; None if it was not given."""
    return None if devices is None else tuple(part.strip() for part in devices.split(",") if part.strip())


def folder_of(study: Path, out: Path | None = None) -> Path:
    """Return the folder of a study that is named by its file or by its folder.

    Raises:
        UsageError: ``--out`` is given with a folder.
    """
    from spine_ignite.studies.making import default_folder
    from spine_ignite.studies.study_directory import StudyDirectory

    if not study.is_file():
        if out is not None:
            raise UsageError(f"--out is for a file that declares a study; {study} is its folder, or does not exist")
        return study
    if (
        out is None
        and study == StudyDirectory(study.parent).declaration
        and StudyDirectory(study.parent).seal.is_file()
    ):
        return study.parent  # as it was recorded
    return out if out is not None else default_folder(study)


def open_or_make(study: Path, out: Path | None, echo: Callable[[str], None]) -> Study:
    """Open a study by its folder, or make it (or find that it was made) by its file.

    Raises:
        SpineIgniteError: it cannot be opened or made.
    """
    from spine_ignite.studies.declaration import read_declaration
    from spine_ignite.studies.making import load_study, make_study

    folder = folder_of(study, out)
    if not study.is_file() or folder == study.parent:
        return load_study(folder)
    return make_study(
        read_declaration(study), folder, progress=lambda items: progress_bar(items, "Preprocessing"), echo=echo
    )
