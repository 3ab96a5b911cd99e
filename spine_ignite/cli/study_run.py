"""``spine-ignite study run``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from spine_ignite.cli.options import echo_json, json_option, say
from spine_ignite.cli.study_options import device_names, open_or_make, out_option, pool_options, study_argument

if TYPE_CHECKING:
    from spine_ignite.studies.running import StudyRun

EPILOG = """\b
Examples:
  spine-ignite study run STUDY.yaml                       # one process a GPU
  spine-ignite study run STUDY.yaml --at-once 2 --devices 0,1
  spine-ignite study run STUDY                            # what is left, after an interruption
"""


@click.command(epilog=EPILOG)
@study_argument
@out_option
@pool_options
@json_option
def command(study: Path, out: Path | None, at_once: int | None, devices: str | None, as_json: bool) -> int:
    """Make a study and train its cells, several at once, each as a process of its own.

    What is done is left; what was stopped goes on from its checkpoint; several of these commands, on several machines
    that share the folder, do no cell twice. Cells that failed are tried again by `study resume`.

    Exits 1 if a cell failed, 130 after Ctrl-C and 143 after SIGTERM.
    """
    from spine_ignite.studies.running import run_study

    def echo(line: str) -> None:
        say(line, err=as_json)

    made = open_or_make(study, out, echo)
    return tell(run_study(made, at_once=at_once, devices=device_names(devices), echo=echo), as_json)


def tell(result: StudyRun, as_json: bool) -> int:
    """Print how a study ended, for programs, and return the exit code."""
    if as_json:
        echo_json({"cells": [standing.to_dict() for standing in result.standings]})
    return result.exit_code
