"""``spine-ignite study status``."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from spine_ignite.cli.options import echo_json, json_option, print_table
from spine_ignite.cli.study_options import folder_of, study_argument

EPILOG = """\b
Examples:
  spine-ignite study status STUDY
  spine-ignite study status STUDY --watch          # again every ten seconds, until Ctrl-C or the end
  spine-ignite study status STUDY --json
"""
_EVERY = 10.0  # seconds


@click.command(epilog=EPILOG)
@study_argument
@click.option("--watch", is_flag=True, help="Show it again every ten seconds until nothing is left to do.")
@json_option
def command(study: Path, watch: bool, as_json: bool) -> None:
    """Show how the cells of a study stand: waiting, running, stopped, failed or done; epoch and best figure of each.

    Reads files alone: it can be asked while the study runs, from any machine that sees its folder.
    """
    from spine_ignite.studies.making import load_study
    from spine_ignite.studies.standing import readable_standings, standings, summary_line

    made = load_study(folder_of(study))
    while True:
        found = standings(made)
        if as_json:
            echo_json({"study": made.directory.root, "cells": [standing.to_dict() for standing in found]})
        else:
            if watch and sys.stdout.isatty():
                click.clear()
            print_table(summary_line(found), *readable_standings(found))
        if not watch or all(standing.state in ("done", "failed") for standing in found):
            return
        time.sleep(_EVERY)
