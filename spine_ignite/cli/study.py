"""``spine-ignite study``: the commands on a study."""

from __future__ import annotations

import importlib

import click

EPILOG = """\b
Example, a study from its declaration to its table:
  spine-ignite study run STUDY.yaml --at-once 4     # trains all cells; again after an interruption
  spine-ignite study status STUDY                   # how far each is; --json for programs
  spine-ignite study report STUDY                   # the table, on cases that a network has not seen
"""

# The module of each is spine_ignite.cli.study_<name>: they are imported when they are run, as all commands are.
ACTIONS = {
    "make": "Make a study: resolve configurations, choose folds, seal the test set.",
    "run": "Train the cells of a study on this machine, several at once.",
    "submit": "Hand the cells of a study to Slurm, as an array of jobs.",
    "resume": "Go on with all that is unfinished, and try again what failed.",
    "status": "Show how the cells of a study stand.",
    "search": "Search hyper-parameters of a model, with Optuna.",
    "report": "Compare all cells: table, intervals, tests, number of cases needed.",
}
_HIDDEN = ("cell", "worker")


class StudyGroup(click.Group):
    """Imports an action's module when it is run, so that --help stays instant."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order in which they are used."""
        return list(ACTIONS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the action, or None if there is none of this name."""
        if cmd_name not in (*ACTIONS, *_HIDDEN):
            return None
        module = importlib.import_module(f"spine_ignite.cli.study_{cmd_name}")
        found: click.Command = module.command
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the actions without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(ACTIONS.items()))


@click.group(cls=StudyGroup, epilog=EPILOG)
def command() -> None:
    """Many trainings as one plan: models x settings x folds x seeds over one dataset.

    STUDY is the file that declares a study (docs/studies.md), or its folder.
    """
