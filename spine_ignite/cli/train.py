"""``spine-ignite train``."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spine_ignite.cli.options import (
    config_options,
    echo_json,
    json_option,
    print_table,
    progress_bar,
    say,
)
from spine_ignite.cli.several import launched, nproc_option
from spine_ignite.errors import UsageError

if TYPE_CHECKING:
    from spine_ignite.tuning.dry_run import DryRun

EPILOG = """\b
Examples:
  spine-ignite train --model unet --data dataset --set train.epochs=50
  spine-ignite train --config configs/mrspineseg.yaml --data dataset --out runs/unet
  spine-ignite train --resume runs/unet
  spine-ignite train --resume runs/unet --set train.epochs=200 --device cuda:1
  spine-ignite train --data dataset --nproc 4               # four processes share each batch, on a GPU each
  spine-ignite train --data dataset --dry-run               # does it fit, and how long will it take?
  spine-ignite train --data dataset --overfit-batches 2     # can the network learn at all?
"""


@click.command(epilog=EPILOG)
@click.option("--model", help="Architecture, from list-models.")
@config_options
@click.option("--data", type=click.Path(path_type=Path), help="Dataset folder (data.root).")
@click.option("--out", type=click.Path(path_type=Path), help="Run directory; default runs/<date>_<model>.")
@click.option("--resume", "resume_from", type=click.Path(path_type=Path), help="Go on with the run in this directory.")
@click.option("--device", help="auto, cpu, cuda, cuda:1, mps.")
@click.option("--force", is_flag=True, help="Replace a run that is already in --out.")
@click.option("--overfit-batches", type=click.IntRange(min=0), metavar="N", help="Check: learn N batches by heart.")
@nproc_option("Train")
@click.option("--dry-run", "dry", is_flag=True, help="Build all, try one batch, print memory and time; write nothing.")
@json_option
def command(
    model: str | None,
    config_file: Path | None,
    overrides: tuple[str, ...],
    data: Path | None,
    out: Path | None,
    resume_from: Path | None,
    device: str | None,
    force: bool,
    overfit_batches: int | None,
    nproc: int | None,
    dry: bool,
    as_json: bool,
) -> int:
    """Train a network, validate it, keep its best checkpoint; or resume a run.

    A run that is resumed goes on as it was trained. What may change then (with --set, --device, --data, or in its
    config.yaml) is where it runs and where the data lies, its length (train.epochs, train.minutes, train.patience) and
    its log.

    Exits 130 after Ctrl-C and 143 after SIGTERM, with a checkpoint to resume from.
    """
    if not dry and (code := launched(nproc)) is not None:
        return code
    from spine_ignite.config import load_config
    from spine_ignite.machine.launched import require_one

    given = {"model.name": model, "data.root": data, "device": device, "train.overfit_batches": overfit_batches}

    def echo(line: str) -> None:
        say(line, err=as_json)

    show_steps = sys.stderr.isatty()
    if resume_from is not None:
        new = {"--model": model, "--config": config_file, "--out": out, "--overfit-batches": overfit_batches}
        flags = {"--force": force, "--dry-run": dry}
        refused = [name for name, value in new.items() if value is not None] + [name for name in flags if flags[name]]
        if refused:
            raise UsageError(
                f"--resume goes on with the run as it is: {', '.join(refused)} cannot be given with it, only --set, "
                "--device and --data"
            )
        from spine_ignite.training.run import resume

        changes = {"data.root": data, "device": device}
        result = resume(
            resume_from, overrides, given=changes, echo=echo, progress=_preprocessing, show_steps=show_steps
        )
    else:
        config = load_config(config_file, overrides, given=given, echo=echo)
        if dry:
            require_one("a dry run")
            from spine_ignite.tuning.dry_run import dry_run

            _print_dry_run(dry_run(config, out, force=force, progress=_preprocessing, echo=echo), as_json)
            return 0
        from spine_ignite.tuning.start import train

        result = train(
            config,
            out,
            force=force,
            echo=echo,
            progress=_preprocessing,
            show_steps=show_steps,
        )
    if as_json:
        shown = ("epochs", "iterations", "best_dice", "overfit_passed")
        echo_json({"run": result.directory, **{name: getattr(result, name) for name in shown}})
    return result.exit_code


def _preprocessing(cases: Sequence[Any]) -> Iterator[Any]:
    return progress_bar(cases, "Preprocessing")


def _print_dry_run(result: DryRun, as_json: bool) -> None:
    if as_json:
        echo_json(dataclasses.asdict(result))
        return
    validation = "none" if result.validation_seconds is None else f"{result.validation_seconds:.3g} s"
    rows = [
        ["model", f"{result.model}, {result.parameters:,} parameters"],
        ["device", f"{result.device}, {result.precision}"],
        ["training batch", " x ".join(str(n) for n in result.batch) + " (slices, channels, rows, columns)"],
        ["first loss", f"{result.loss:.4g}"],
        ["peak memory", f"{result.memory_mib:,.0f} MiB" + ("" if "cuda" in result.device else " (whole process)")],
        ["training step", f"{result.step_seconds:.3g} s (the first: {result.first_step_seconds:.3g} s)"],
        ["reading a batch", f"{result.load_seconds:.3g} s"],
        ["validation batch", validation],
        ["an epoch", f"{result.steps_per_epoch} steps, {result.validation_batches} validation batches"
         + (f", {result.phantoms} phantoms among the slices" if result.phantoms else "")],
        ["estimated time", f"{result.epoch_seconds / 60:.3g} min an epoch, {result.epochs} epochs in "
         f"{result.total_seconds / 3600:.2g} h"],
    ]  # fmt: skip
    print_table("Dry run: nothing was written", ["what", "value"], rows)
