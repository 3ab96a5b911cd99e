"""``spine-ignite study resume``."""

from __future__ import annotations

from pathlib import Path

import click

from spine_ignite.cli.options import json_option, say
from spine_ignite.cli.study_options import device_names, folder_of, pool_options, study_argument
from spine_ignite.cli.study_run import tell

EPILOG = """\b
Examples:
  spine-ignite study resume STUDY
  spine-ignite study resume STUDY --at-once 4
"""


@click.command(epilog=EPILOG)
@study_argument
@pool_options
@json_option
def command(study: Path, at_once: int | None, devices: str | None, as_json: bool) -> int:
    """Go on with all cells that are unfinished, each from its checkpoint; what failed is tried again too.

    A cell that another process is at work on is left to it.
    """
    from spine_ignite.studies.making import load_study
    from spine_ignite.studies.running import run_study

    def echo(line: str) -> None:
        say(line, err=as_json)

    made = load_study(folder_of(study))
    result = run_study(made, at_once=at_once, devices=device_names(devices), failed=True, echo=echo)
    return tell(result, as_json)
