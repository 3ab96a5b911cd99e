"""``spine-ignite find-lr``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from spine_ignite.cli.options import (
    config_options,
    echo_json,
    json_option,
    print_table,
    progress_bar,
    progress_steps,
    say,
)

if TYPE_CHECKING:
    from spine_ignite.tuning.lr_finder import RateCurve

EPILOG = """\b
Examples:
  spine-ignite find-lr --model unet --data dataset -o lr.png
  spine-ignite find-lr --config configs/mrspineseg.yaml --set optimizer.name=sgd --end 100
"""

_ROWS = 12


@click.command(epilog=EPILOG)
@click.option("--model", help="Architecture, from list-models.")
@config_options
@click.option("--data", type=click.Path(path_type=Path), help="Dataset folder (data.root).")
@click.option("--device", help="auto, cpu, cuda, cuda:1, mps.")
@click.option("--start", type=float, default=1e-7, show_default=True, help="First learning rate.")
@click.option("--end", type=float, default=10.0, show_default=True, help="Last learning rate.")
@click.option("--steps", type=click.IntRange(10), default=100, show_default=True, help="Updates from first to last.")
@click.option(
    "--diverge", type=float, default=5.0, show_default=True, help="Stop when the loss is so many times its lowest."
)
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Write the curve as a PNG.")
@json_option
def command(
    model: str | None,
    config_file: Path | None,
    overrides: tuple[str, ...],
    data: Path | None,
    device: str | None,
    start: float,
    end: float,
    steps: int,
    diverge: float,
    out: Path | None,
    as_json: bool,
) -> None:
    """Suggest a learning rate: train for some updates with a rate that rises, and see where the loss falls fastest.

    The trainer is the one that train would use: same loss, precision, augmentation and batches. No run is touched.
    """
    from spine_ignite.config import load_config
    from spine_ignite.places import require_file_apart
    from spine_ignite.tuning.lr_finder import find_learning_rate, plot_curve

    given = {"model.name": model, "data.root": data, "device": device}
    config = load_config(config_file, overrides, given=given, echo=lambda line: say(line, err=True))
    if out is not None:
        require_file_apart("--out", out, config.data.roots)
    with progress_steps("Range test", steps * config.train.accumulate) as advance:
        curve = find_learning_rate(
            config,
            start=start,
            end=end,
            steps=steps,
            diverge=diverge,
            progress=lambda cases: progress_bar(cases, "Preprocessing"),
            on_step=advance,
            echo=lambda line: say(line, err=as_json),
        )
    if out is not None:
        plot_curve(curve, out)
    if as_json:
        echo_json(
            {
                "suggestion": curve.suggestion,
                "lowest": curve.lowest,
                "diverged": curve.diverged,
                "configured": config.optimizer.lr,
                "rates": curve.rates,
                "losses": curve.losses,
                "picture": out,
            }
        )
        return
    _print_curve(curve)
    if not curve.diverged:
        say(f"The loss has not diverged up to {end:g}; a larger --end would show more.")
    say(f"Steepest descent at {curve.suggestion:.1e}, lowest loss at {curve.lowest:.1e}")
    if out is not None:
        say(f"Curve: {out}")
    say(f"Use it with --set optimizer.lr={curve.suggestion:.1e} (now {config.optimizer.lr:.1e})")
    say(f"In a long run a third of it is often better: {curve.suggestion / 3:.1e}")


def _print_curve(curve: RateCurve) -> None:
    every = max(1, len(curve.rates) // _ROWS)
    points = list(zip(curve.rates, curve.losses, strict=True))[::every]
    rows = [[f"{rate:.1e}", f"{loss:.4f}"] for rate, loss in points]
    print_table("Learning-rate range test", ["learning rate", "loss (smoothed)"], rows)
