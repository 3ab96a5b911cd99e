"""What several commands share: options, tables, JSON and progress."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from spine_ignite.names import in_json, printable
from spine_ignite.plain_json import plain_data

Command = TypeVar("Command", bound=Callable[..., Any])
T = TypeVar("T")


def _checked_orientation(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    from spine_ignite.config.data import check_orientation

    try:
        return None if value is None else check_orientation(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


# How files are read that leave something unsaid.
READING_OPTIONS = (
    click.option(
        "--orientation",
        metavar="XYZ",
        callback=_checked_orientation,
        help="Of files that say nothing about it: where their axes point to, as PSR (posterior, superior, right).",
    ),
    click.option(
        "--nan",
        type=click.Choice(["refuse", "border"]),
        default="refuse",
        show_default=True,
        help="NaN in images: refuse them, or take them for what is outside the field of view.",
    ),
)


def reading_options(function: Command) -> Command:
    """Add ``--orientation`` and ``--nan``."""
    for option in reversed(READING_OPTIONS):
        function = option(function)
    return function


def json_option(function: Command) -> Command:
    """Add ``--json``, passed as ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")(function)


def config_options(function: Command) -> Command:
    """Add ``--config FILE`` (``config_file``) and ``--set a.b=c …`` (``overrides``)."""
    override = click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="KEY=VALUE",
        help="Override a configuration key, for instance --set train.epochs=50; may be repeated.",
    )
    file = click.option("--config", "config_file", type=click.Path(path_type=Path), help="A YAML file (see configs/).")
    return file(override(function))


def postprocess_option(function: Command) -> Command:
    """Add ``--postprocess STEP …``, passed as ``postprocess``; see :func:`postprocessing`."""
    return click.option(
        "--postprocess",
        multiple=True,
        metavar="STEP",
        help="Clean-up: levels, components, holes, or a plugin's (may be repeated), or none. "
        "Default: what `spine-ignite postprocess` found for the run, else what its configuration says.",
    )(function)


def postprocessing(choices: Sequence[str]) -> tuple[str, ...] | None:
    """Turn the choices of :func:`postprocess_option` into the steps to take; None means those of the run.

    Raises:
        UsageError: a step that there is not.
    """
    from spine_ignite.config.postprocess import check_step

    if list(choices) in ([], ["run"]):
        return None
    return () if list(choices) == ["none"] else tuple(check_step(choice) for choice in choices)


def say(line: object, *, err: bool = False) -> None:
    """Print a line; what names in it could do to a terminal they do not do. All that commands print goes through here.

    Args:
        line: its text.
        err: print it on stderr.
    """
    click.echo(printable(str(line)), err=err)


def echo_json(value: Any) -> None:
    """Print a value as indented JSON; paths become strings, NaN becomes null."""
    click.echo(in_json(json.dumps(plain_data(value), indent=2, ensure_ascii=False, allow_nan=False)))


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table on stdout; full width where stdout is not a terminal, so that nothing is cut."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # Text and not strings, in which rich would look for markup and for names of emoji.
    table = Table(title=Text(printable(title)) if title else None, box=box.SIMPLE_HEAD, title_justify="left")
    for column in columns:
        table.add_column(Text(printable(column)), overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    console = Console() if sys.stdout.isatty() else Console(width=200)
    console.print(table)


def progress_bar(items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
    """Yield the items while a progress bar runs on stderr; silent when stderr is not a terminal."""
    with progress_steps(label, total if total is not None else _length(items)) as advance:
        for item in items:
            yield item
            advance()


@contextmanager
def progress_steps(label: str, total: int | None) -> Iterator[Callable[[], None]]:
    """Give a function to call after each of ``total`` steps; silent when stderr is not a terminal."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(label, total=total)
        yield lambda: progress.advance(task)


def _length(items: Iterable[Any]) -> int | None:
    return len(items) if isinstance(items, Sequence) else None
