"""``spine-ignite train``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from spine_ignite.cli.options import config_options, echo_json, json_option, progress_bar
from spine_ignite.errors import UsageError

EPILOG = """\b
Examples:
  spine-ignite train --model unet --data dataset --set train.epochs=50
  spine-ignite train --config configs/mrspineseg.yaml --data dataset --out runs/unet
  spine-ignite train --resume runs/unet
"""


@click.command(epilog=EPILOG)
@click.option("--model", help="Architecture, from list-models.")
@config_options
@click.option("--data", type=click.Path(path_type=Path), help="Dataset folder (data.root).")
@click.option("--out", type=click.Path(path_type=Path), help="Run directory; default runs/<date>_<model>.")
@click.option("--resume", "resume_from", type=click.Path(path_type=Path), help="Go on with the run in this directory.")
@click.option("--device", help="auto, cpu, cuda, cuda:1, mps.")
@click.option("--force", is_flag=True, help="Replace a run that is already in --out.")
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
    as_json: bool,
) -> int:
    """Train a network, validate it, keep its best checkpoint; or resume a run.

    Exits 130 after Ctrl-C and 143 after SIGTERM, with a checkpoint to resume from.
    """
    from spine_ignite.config import load_config

    given = {"model.name": model, "data.root": data, "device": device}
    shortcuts = [f"{key}={value}" for key, value in given.items() if value is not None]

    def echo(line: str) -> None:
        click.echo(line, err=as_json)

    show_steps = sys.stderr.isatty()
    if resume_from is not None:
        if config_file is not None or shortcuts or out is not None or force:
            raise UsageError("--resume takes the run as it is; only --set train.epochs=N can be given with it")
        epochs = _only_epochs(overrides)
        from spine_ignite.engines.run import resume

        result = resume(resume_from, epochs=epochs, echo=echo, show_steps=show_steps)
    else:
        config = load_config(config_file, [*shortcuts, *overrides])
        from spine_ignite.engines.run import train

        result = train(
            config,
            out,
            force=force,
            echo=echo,
            progress=lambda cases: progress_bar(cases, "Preprocessing"),
            show_steps=show_steps,
        )
    if as_json:
        echo_json(
            {
                "run": result.directory,
                "epochs": result.epochs,
                "iterations": result.iterations,
                "best_dice": result.best_dice,
            }
        )
    return result.exit_code


def _only_epochs(overrides: tuple[str, ...]) -> int | None:
    """With --resume nothing may change but the length: anything else would be another run."""
    from spine_ignite.config import load_config

    others = [text for text in overrides if not text.startswith("train.epochs=")]
    if others:
        raise UsageError(f"--resume does not take --set {others[0]}; only train.epochs=N can be changed")
    return load_config(None, overrides).train.epochs if overrides else None
