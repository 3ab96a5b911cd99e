"""``spine-ignite study submit``."""

from __future__ import annotations

from pathlib import Path

import click

from spine_ignite.cli.options import echo_json, json_option, say
from spine_ignite.cli.slurm_options import asked_of_slurm, slurm_option
from spine_ignite.cli.study_options import open_or_make, out_option, study_argument

EPILOG = """\b
Examples:
  spine-ignite study submit STUDY.yaml --slurm partition=gpu --slurm gpus_per_node=1 --slurm time=720
  spine-ignite study submit STUDY --failed            # what is left, and what failed
"""


@click.command(epilog=EPILOG)
@study_argument
@out_option
@slurm_option
@click.option("--failed", is_flag=True, help="Submit cells again that failed.")
@json_option
def command(study: Path, out: Path | None, slurm: tuple[str, ...], failed: bool, as_json: bool) -> None:
    """Make a study and hand its cells to Slurm, as one array of jobs; what is done or in the queue is left.

    What a job asks for stands in the study (cluster) or is given by --slurm. A job that is pre-empted, whose time is
    up or whose node dies goes on from its checkpoint.
    """
    from spine_ignite.studies.submitting import submit_study

    def echo(line: str) -> None:
        say(line, err=as_json)

    jobs = submit_study(open_or_make(study, out, echo), asked_of_slurm(slurm), failed=failed, echo=echo)
    if as_json:
        echo_json({"jobs": jobs})
