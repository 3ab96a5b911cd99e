from __future__ import annotations

import subprocess
import sys

import click
import pytest

from spine_ignite import cli
from spine_ignite.errors import DataError, UsageError


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


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["list-models"]])
def test_the_quick_commands_never_import_torch(arguments: list[str]) -> None:
    code = (
        f"import sys; from spine_ignite import cli; code = cli.run({arguments!r}); "
        "heavy = {'torch', 'numpy', 'ignite', 'monai', 'torchio', 'matplotlib'} & set(sys.modules); "
        "assert code == 0 and not heavy, (code, heavy)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
