from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from spine_ignite import cli
from spine_ignite.commands import COMMANDS
from spine_ignite.errors import DataError, UsageError

Install = Callable[..., Path]


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """The command ``pack`` replaced by one that raises what the test puts into the list."""
    errors: list[BaseException] = []

    @click.command()
    def command() -> None:
        raise errors[0]

    import spine_ignite.cli.pack

    monkeypatch.setattr(spine_ignite.cli.pack, "command", command)
    return errors


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (UsageError("wrong key"), 2, "Error: wrong key\n"),
        (DataError("bad mask"), 1, "Error: bad mask\n"),
        (KeyboardInterrupt(), 130, "Interrupted.\n"),
        (ZeroDivisionError("by\nzero"), 1, "Error: ZeroDivisionError: by zero (run with --debug for the traceback)\n"),
    ],
)
def test_exit_codes(
    failing: list[BaseException], capsys: pytest.CaptureFixture[str], error: BaseException, code: int, text: str
) -> None:
    failing.append(error)
    assert cli.run(["pack"]) == code
    captured = capsys.readouterr()
    assert captured.err.lstrip() == text  # click ends the line in which Ctrl-C came
    assert captured.out == ""


def test_debug_shows_the_traceback(failing: list[BaseException]) -> None:
    failing.append(DataError("bad mask"))
    with pytest.raises(DataError):
        cli.run(["pack", "--debug"])


def test_unknown_command_is_answered_with_the_closest(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["trian"]) == 2
    assert "Did you mean 'train'?" in capsys.readouterr().err


@pytest.mark.parametrize("name", list(cli.COMMANDS))
def test_every_command_has_help_with_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([name, "--help"]) == 0
    assert f"spine-ignite {name}" in capsys.readouterr().out


@pytest.mark.parametrize("name", list(cli.COMMANDS))
def test_a_launcher_starts_several_of_those_alone_that_write_nothing_or_work_together(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29400"}
    for variable, value in place.items():
        monkeypatch.setenv(variable, value)
    refused = cli.run([name, "--help"]) != 0
    told = f"Error: spine-ignite {name} takes one process, and 2 were started; start one"
    assert (told in capsys.readouterr().err) is refused
    reads = {"check", "list-components", "list-models", "profile", "show-model"}
    assert refused is (name not in reads | {"evaluate", "predict", "study", "train"})


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["list-models"]])
def test_the_quick_commands_never_import_torch(arguments: list[str]) -> None:
    code = (
        f"import sys; from spine_ignite import cli; code = cli.run({arguments!r}); "
        "heavy = {'torch', 'numpy', 'ignite', 'monai', 'torchio', 'matplotlib'} & set(sys.modules); "
        "assert code == 0 and not heavy, (code, heavy)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)


GREET = """
import sys
import click
from spine_ignite.errors import DataError
from spine_ignite.hookspecs import hookimpl
from spine_ignite.spec import Component

@hookimpl
def register_commands(register):
    register(Component("greet", "greet_command:greet", "Say hello to a patient."))
    register(Component("train", "greet_command:greet", "Not this one."))
    register(Component("nothing", "greet_command:NOTHING", "No command at all."))
"""
COMMAND = """
import click
from spine_ignite.errors import DataError

NOTHING = len

@click.command()
@click.argument("name")
def greet(name):
    if not name.isprintable():
        raise DataError("no name")
    click.echo(f"hello {name}")
"""


def test_a_plugin_s_command_is_shown_without_being_imported_and_runs(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = install("acme-greet", GREET, groups=["spine_ignite.commands"])
    (folder / "greet_command.py").write_text(COMMAND)
    assert cli.run(["--help"]) == 0
    shown = capsys.readouterr().out
    assert "Commands of plugins:\n  greet    Say hello to a patient." in shown
    assert "Not this one" not in shown, "the core's names stay the core's"
    assert "greet_command" not in sys.modules
    assert cli.run(["greet", "case7"]) == 0
    assert capsys.readouterr().out == "hello case7\n"
    assert cli.run(["acme-greet:greet", "case7"]) == 0
    assert cli.run(["greet", "\n"]) == 1
    assert cli.run(["greet"]) == 2
    assert cli.run(["gret"]) == 2
    assert "Did you mean 'greet'?" in capsys.readouterr().err
    assert cli.run(["nothing"]) == 1
    assert "command 'nothing' of acme-greet 1.0 is a builtin_function_or_method" in capsys.readouterr().err
    sys.modules.pop("greet_command")


def test_help_loads_no_plugin_but_those_with_commands(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    """Nor do commands of a plugin that does not say so in its entry points get unseen ones."""
    install("acme-greet", GREET)
    assert cli.run(["--help"]) == 0
    assert "greet" not in capsys.readouterr().out
    assert "acme_greet_plugin" not in sys.modules
    assert cli.run(["list-components"]) == 0
    assert "register_commands needs an entry point in the group 'spine_ignite.commands' too" in capsys.readouterr().err


def test_help_is_shown_whatever_a_plugin_does(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install("acme-broken", "raise SystemExit(3)", groups=["spine_ignite.commands"])
    assert cli.run(["--help"]) == 0
    assert cli.run(["train", "--help"]) == 0
    assert cli.run(["list-components"]) == 0
    assert "Broken plugin 'acme_broken_plugin' (acme-broken 1.0): SystemExit: 3" in capsys.readouterr().err


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example_and_speaks_to_programs(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"  spine-ignite {name}" in shown.split("Example", 1)[1]
    assert "--json" in shown
