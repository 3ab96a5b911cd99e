"""The command line: a group that loads a command's module only when it is used.

Uses every room. Here alone is printed and exited; a command says what it got and calls the library.
"""

from __future__ import annotations

import importlib
import io
import os
import sys
from typing import Any

import click

from spine_ignite.commands import COMMAND_ENTRY_POINTS, COMMANDS
from spine_ignite.errors import RunError, SpineIgniteError, suggest
from spine_ignite.names import lines_printable, printable

EPILOG = """\b
A first run, on synthetic data:
  spine-ignite phantom dataset
  spine-ignite train --model unet --data dataset --set train.epochs=5
"""


# All else would be done by each process of a launcher again, into the same folders. These write nothing, but for those
# whose processes work together, and `study`, whose cells are processes without that launcher.
_TOGETHER = ("evaluate", "predict", "train")
_OF_ANY_PROCESS = ("check", "list-components", "list-models", "profile", "show-model", "study", *_TOGETHER)


class LazyGroup(click.Group):
    """Imports a command's module when the command is run, so that --help stays instant.

    Plugins that bring commands are looked for where the core has none of a name, and for --help.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order in which they are used, those of plugins last."""
        return [*COMMANDS, *_of_plugins()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command, or None if there is none of this name."""
        if cmd_name not in COMMANDS:
            return _of_plugin(cmd_name)
        if cmd_name not in _OF_ANY_PROCESS:
            from spine_ignite.machine.launched import require_one

            require_one(f"spine-ignite {cmd_name}")
        module = importlib.import_module(f"spine_ignite.cli.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; an unknown one is answered with the closest known name."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            known = self.list_commands(ctx)
            if args[0].rpartition(":")[2] not in known:
                raise click.UsageError(f"No such command '{args[0]}'.{suggest(args[0], known)}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))
        if brought := _of_plugins():
            with formatter.section("Commands of plugins"):
                formatter.write_dl([(name, printable(summary)) for name, summary in brought.items()])


def _of_plugins() -> dict[str, str]:
    """Return the commands of plugins with a line about each; none of the core's names is theirs."""
    from importlib.metadata import entry_points

    if not entry_points(group=COMMAND_ENTRY_POINTS):
        return {}
    from spine_ignite.registry import load_commands

    found = {item.value.name: item.value.summary for item in load_commands().components("command")}
    return {name: summary for name, summary in found.items() if name not in COMMANDS}


def _of_plugin(name: str) -> click.Command | None:
    if name.rpartition(":")[2] not in _of_plugins():
        return None
    from spine_ignite.registry import load_commands

    chosen = load_commands().choose("command", name)
    if not isinstance(chosen.target, click.Command):
        raise RunError(f"{chosen} is a {type(chosen.target).__name__}, not a click command; report it to its author")
    return chosen.target


def _print_version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value:
        from spine_ignite.version import __version__

        click.echo(f"spine-ignite {__version__}")
        ctx.exit()


@click.command(cls=LazyGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Show it.")
def cli(debug: bool) -> None:
    """Train, evaluate and compare segmentation networks on spine MRI.

    Every architecture is a plugin: `spine-ignite list-models` shows those that are installed.
    """


def main(args: list[str] | None = None) -> None:
    """Run the command line and exit: 0 success, 1 failure, 2 usage mistake, 130 Ctrl-C."""
    sys.exit(run(sys.argv[1:] if args is None else args))


def run(args: list[str]) -> int:
    """Run the command line and return its exit code; errors are told here and nowhere else."""
    debug = "--debug" in args
    try:
        result: Any = cli.main([a for a in args if a != "--debug"], prog_name="spine-ignite", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        return 130
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        click.echo(lines_printable(shown.getvalue()), err=True, nl=False)
        return error.exit_code
    except BrokenPipeError:
        # The reader has gone (`| head`): nothing more to say, and nothing to say it to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except SpineIgniteError as error:
        if debug:
            raise
        click.echo(f"Error: {error}", err=True)
        return error.exit_code
    except (Exception, MemoryError) as error:
        if debug:
            raise
        text = printable(" ".join(str(error).split())) or "no further detail"
        click.echo(f"Error: {type(error).__name__}: {text} (run with --debug for the traceback)", err=True)
        return 1
