"""Everything that the core expects of a command."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import click
import pytest
from click.testing import CliRunner

from spine_ignite.cli import run
from spine_ignite.testing.component_kit import ComponentConformance


class CommandConformance(ComponentConformance):
    """Base class of a command's conformance test.

    Attributes:
        arguments: with which the command is called where it is to fail for a file that is not there; ``{missing}``
            stands for that file. Empty: the command takes no file.
    """

    kind: ClassVar[str] = "command"
    arguments: ClassVar[tuple[str, ...]] = ("{missing}",)

    def test_its_options_are_described_and_no_others_taken(self) -> None:
        """Each option has a help text; one that there is not ends with exit code 2."""
        command = self.command()
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"option '{parameter.name}' has no help text"
        assert run([self.name, "--no-such-option"]) == 2

    def test_its_help_has_an_example(self) -> None:
        """``--help`` says what the command does, as its summary, and how it is called."""
        shown = CliRunner().invoke(self.command(), ["--help"], prog_name=f"spine-ignite {self.name}")
        assert shown.exit_code == 0, f"--help fails: {shown.output}"
        assert self.command().help, "the command says nothing about itself"
        assert f"spine-ignite {self.name} " in shown.output.partition("\n")[2], "--help has no example"

    def test_a_file_that_is_missing_is_told_in_a_sentence(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The exit code is 1 or 2, the file is named, and there is no traceback."""
        if not self.arguments:
            pytest.skip("the command takes no file")
        missing = str(tmp_path / "missing.nii.gz")
        code = run([self.name, *(argument.format(missing=missing) for argument in self.arguments)])
        said = capsys.readouterr().err
        assert code in (1, 2), f"the exit code is {code}"
        assert "missing.nii.gz" in said, f"the file is not named: {said}"
        assert "--debug for the traceback" not in said, f"raise a SpineIgniteError instead: {said}"

    def command(self) -> click.Command:
        """Return the command."""
        target = self.choose().target
        assert isinstance(target, click.Command), f"the target is a {type(target).__name__}, not a click command"
        return target
