"""``spine-ignite study make``."""

from __future__ import annotations

from pathlib import Path

import click

from spine_ignite.cli.options import echo_json, json_option, say
from spine_ignite.cli.study_options import open_or_make, out_option, study_argument

EPILOG = """\b
Examples:
  spine-ignite study make STUDY.yaml
  spine-ignite study make STUDY.yaml --out studies/first
"""


@click.command(epilog=EPILOG)
@study_argument
@out_option
@json_option
def command(study: Path, out: Path | None, as_json: bool) -> None:
    """Make a study without training: resolve its configurations, choose its folds, seal its test set.

    Models, settings and seeds may be added to the file later; the same command, or run, takes them in.
    """
    made = open_or_make(study, out, lambda line: say(line, err=as_json))
    if as_json:
        echo_json({"study": made.directory.root, "cells": [cell.name for cell in made.cells]})
        return
    say(f"Study: {made.directory.root}")
