"""``spine-ignite study search``."""

from __future__ import annotations

from pathlib import Path

import click

from spine_ignite.cli.options import echo_json, json_option, print_table, say
from spine_ignite.cli.study_options import device_names, open_or_make, out_option, pool_options, study_argument

EPILOG = """\b
Examples:
  spine-ignite study search STUDY.yaml
  spine-ignite study search STUDY --at-once 4       # the same on another machine adds four workers to it
"""


@click.command(epilog=EPILOG)
@study_argument
@out_option
@pool_options
@json_option
def command(study: Path, out: Path | None, at_once: int | None, devices: str | None, as_json: bool) -> int:
    """Search hyper-parameters, as the study declares (search), with Optuna: trials that lag behind are given up.

    The workers, here and on other machines, share a journal in the study's folder. Interrupted, the same command goes
    on, also in the middle of a trial. Writes trials.json, best.yaml and plots into search/.
    """
    from spine_ignite.studies.searching import search_study

    def echo(line: str) -> None:
        say(line, err=as_json)

    made = open_or_make(study, out, echo)
    found = search_study(made, at_once=at_once, devices=device_names(devices), echo=echo)
    if as_json:
        echo_json({"monitor": found.monitor, "trials": found.trials})
        return found.exit_code
    keys = list(found.trials[0]["params"]) if found.trials else []
    rows = [
        [
            str(trial["trial"]),
            trial["state"],
            "-" if trial["value"] is None else f"{trial['value']:.4f}",
            str(trial["epochs"]),
            *(f"{trial['params'].get(key, '')}" for key in keys),
        ]
        for trial in found.trials
    ]
    print_table("Trials, the best first", ["trial", "state", found.monitor, "epochs", *keys], rows)
    say(f"Configuration of the best, and plots: {made.directory.search}")
    return found.exit_code
