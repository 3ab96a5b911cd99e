"""``spine-ignite cross-validate``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spine_ignite.cli.options import config_options, echo_json, json_option, print_table, progress_bar, say
from spine_ignite.cli.slurm_options import asked_of_slurm, slurm_option
from spine_ignite.cli.study_options import device_names, devices_option
from spine_ignite.errors import UsageError
from spine_ignite.names import counted

if TYPE_CHECKING:
    from spine_ignite.config import RunConfig
    from spine_ignite.crossval.cross_validate import CrossValidation

EPILOG = """\b
Examples:
  spine-ignite cross-validate --model unet --data dataset --out folds
  spine-ignite cross-validate --config configs/mrspineseg.yaml --data dataset --out folds --folds 3
  spine-ignite cross-validate --config configs/mrspineseg.yaml --data dataset --out folds --at-once 4
  spine-ignite cross-validate --model unet --data dataset --out folds --slurm partition=gpu --slurm gpus_per_node=1
  spine-ignite cross-validate --resume folds
  spine-ignite predict folds scan.nii.gz -o labels       # the mean of all folds
"""


@click.command(epilog=EPILOG)
@click.option("--model", help="Architecture, from list-models.")
@config_options
@click.option("--data", type=click.Path(path_type=Path), help="Dataset folder (data.root).")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for all folds and what comes of them.")
@click.option("--folds", type=click.IntRange(min=2), help="How many (data.folds); default 5.")
@click.option("--seed", type=click.IntRange(min=0), help="Of the folds and of training (seed).")
@click.option("--resume", "resume_from", type=click.Path(path_type=Path), help="Go on with the one in this folder.")
@click.option("--device", help="auto, cpu, cuda, cuda:1, mps.")
@click.option("--pictures", type=click.IntRange(min=0), default=10, show_default=True, help="Of the worst suspects.")
@click.option("--at-once", type=click.IntRange(min=1), default=1, show_default=True, help="Folds trained at once.")
@devices_option
@click.option("--only-fold", type=click.IntRange(min=0), metavar="K", help="With --resume: train fold K and no more.")
@slurm_option
@json_option
def command(
    model: str | None,
    config_file: Path | None,
    overrides: tuple[str, ...],
    data: Path | None,
    out: Path | None,
    folds: int | None,
    seed: int | None,
    resume_from: Path | None,
    device: str | None,
    pictures: int,
    at_once: int,
    devices: str | None,
    only_fold: int | None,
    slurm: tuple[str, ...],
    as_json: bool,
) -> int:
    """Train a network for each fold of the patients, and judge each case by the one that has not seen its patient.

    Writes the folds as runs, a label volume of every training case, the result over all of them, and which masks are
    to be looked at. The same command, or --resume, goes on after an interruption: what is done is left.

    --at-once N trains N folds at once, each by a process with a GPU of its own; --slurm hands them to a cluster. The
    result is the same.

    Exits 130 after Ctrl-C and 143 after SIGTERM.
    """
    from spine_ignite.config import load_config
    from spine_ignite.crossval.cross_validate import cross_validate, train_fold
    from spine_ignite.crossval.folds_plan import recorded_config

    def echo(line: str) -> None:
        say(line, err=as_json)

    given: dict[str, Any] = {"data.root": data, "device": device}
    if resume_from is not None:
        new = {"--model": model, "--config": config_file, "--out": out, "--folds": folds, "--seed": seed}
        refused = [name for name, value in new.items() if value is not None]
        if refused:
            raise UsageError(
                f"--resume goes on with what was begun: {', '.join(refused)} cannot be given with it, only --set, "
                "--device and --data"
            )
        if only_fold is not None:
            if overrides or any(value is not None for value in given.values()):
                raise UsageError(
                    "--only-fold trains a fold as the cross-validation records it: leave --set, --device and --data out"
                )
            stopped = train_fold(resume_from, only_fold, echo=echo, show_steps=sys.stderr.isatty())
            return 0 if stopped is None else 128 + stopped
        config, out = recorded_config(resume_from, overrides, given), resume_from
    else:
        if out is None:
            raise UsageError("say with --out where the folds go")
        if only_fold is not None:
            raise UsageError("--only-fold is for a cross-validation that was begun: give --resume")
        given |= {"model.name": model, "data.folds": folds, "seed": seed}
        config = load_config(config_file, overrides, given=given, echo=echo)
    if slurm:
        _submit(config, out, slurm, pictures, echo, as_json)
        return 0
    result = cross_validate(
        config,
        out,
        pictures=pictures,
        echo=echo,
        progress=lambda items: progress_bar(items, "Cases"),
        show_steps=sys.stderr.isatty(),
        at_once=at_once,
        devices=device_names(devices),
    )
    _tell(result, as_json)
    return result.exit_code


def _submit(
    config: RunConfig, out: Path, slurm: tuple[str, ...], pictures: int, echo: Callable[[str], None], as_json: bool
) -> None:
    from spine_ignite.crossval.folds_at_once import submit_cross_validation

    jobs = submit_cross_validation(
        config,
        out,
        asked_of_slurm(slurm),
        pictures=pictures,
        echo=echo,
        progress=lambda items: progress_bar(items, "Cases"),
    )
    if as_json:
        echo_json({"directory": out, "jobs": jobs})


def _tell(result: CrossValidation, as_json: bool) -> None:
    from dataclasses import asdict

    from spine_ignite.crossval.result import readable_folds, result_record
    from spine_ignite.evaluation.certainty import sentence
    from spine_ignite.evaluation.tables import level_sentence, readable_rows

    plain = {"directory": result.directory, "folds": result.folds, "trained": result.trained}
    summary = result.summary
    if summary is None:
        if as_json:
            echo_json(plain)
        return
    for case, reason in summary.failed.items():
        say(f"Error: case {case} is not judged: {reason}", err=True)
    if as_json:
        found = {"result": result_record(summary, result.per_fold), "suspects": [asdict(s) for s in result.suspects]}
        echo_json(plain | found)
        return
    print_table(
        f"{counted(len(summary.cases), 'case')}, each by the network that has not seen it", *readable_rows(summary)
    )
    print_table(f"{result.folds} folds", *readable_folds(result.per_fold, summary.surfaces))
    for line in filter(None, (level_sentence(summary), sentence(summary.certainty))):
        say(line)
    rows = [[str(s.rank), s.case, str(s.fold), f"{s.score:.2f}", s.kind, s.says] for s in result.suspects[:5]]
    print_table("Masks to look at first", ["rank", "case", "fold", "score", "kind", "what"], rows)
    say(f"All cases: {result.directory / 'suspects.csv'}; pictures: {result.directory / 'suspects.html'}")
    say(f"Predict with all folds: spine-ignite predict {result.directory} SCAN -o labels")
