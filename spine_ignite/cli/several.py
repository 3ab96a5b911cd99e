"""``--nproc``: a command in several processes on this machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def nproc_option(does: str) -> Callable[[Command], Command]:
    """Add ``--nproc N``, passed as ``nproc``; see :func:`launched`.

    Args:
        does: what the processes do, for ``--help``: ``Train``.
    """
    return click.option(
        "--nproc", type=click.IntRange(min=1), metavar="N", help=f"{does} with N processes on this machine."
    )


def launched(nproc: int | None) -> int | None:
    """Run the command that was called in several processes, and return their exit code; None: this one is to do it.

    Raises:
        UsageError: another launcher has started several already.
        RunError: a process cannot be started.
    """
    if nproc is None or nproc == 1:
        return None
    from spine_ignite.machine.launch import launch
    from spine_ignite.machine.launched import require_one

    require_one(f"--nproc {nproc}")
    return launch(words_of(click.get_current_context(), but="nproc"), nproc)


def words_of(context: click.Context, but: str) -> list[str]:
    """Return the words that call a command again as it was called, without one of its options.

    Args:
        context: of the command.
        but: the parameter's name.
    """
    options: list[str] = []
    arguments: list[str] = []
    for parameter in context.command.params:
        value = context.params.get(str(parameter.name))
        if parameter.name == but or value is None:
            continue
        if not isinstance(parameter, click.Option):
            arguments += [str(one) for one in (value if parameter.nargs != 1 else [value])]
        elif parameter.is_flag:
            options += parameter.opts[:1] if value else parameter.secondary_opts[:1]
        else:
            for one in value if parameter.multiple else [value]:
                options += [parameter.opts[0], *map(str, one if parameter.nargs != 1 else [one])]
    return [str(context.info_name), *options, *(["--", *arguments] if arguments else [])]
