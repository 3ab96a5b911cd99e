"""``spine-ignite evaluate``."""

from __future__ import annotations

from pathlib import Path

import click

from spine_ignite.cli.options import (
    echo_json,
    json_option,
    postprocess_option,
    postprocessing,
    print_table,
    progress_bar,
)
from spine_ignite.errors import UsageError

EPILOG = """\b
Examples:
  spine-ignite evaluate runs/unet
  spine-ignite evaluate --predictions labels --labels dataset/test/label --scheme mrspineseg -o judged
"""


@click.command(epilog=EPILOG)
@click.argument("run", required=False, type=click.Path(path_type=Path))
@click.option("--split", type=click.Choice(["test", "validation"]), default="test", show_default=True)
@click.option("--data", type=click.Path(path_type=Path), help="Another dataset than the run's.")
@click.option("--checkpoint", type=click.Choice(["best", "last"]), default="best", show_default=True)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps.")
@click.option("--predictions", type=click.Path(path_type=Path), help="Judge these label volumes, of any tool.")
@click.option("--labels", type=click.Path(path_type=Path), help="Reference masks for --predictions.")
@click.option("--scheme", default="mrspineseg", show_default=True, help="Label scheme of --predictions.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Folder for the tables of --predictions.")
@click.option(
    "--tolerance",
    type=click.FloatRange(0, min_open=True),
    default=2.0,
    show_default=True,
    help="Of the normalised surface Dice, in mm.",
)
@postprocess_option
@json_option
def command(
    run: Path | None,
    split: str,
    data: Path | None,
    checkpoint: str,
    device: str,
    predictions: Path | None,
    labels: Path | None,
    scheme: str,
    out: Path | None,
    tolerance: float,
    postprocess: tuple[str, ...],
    as_json: bool,
) -> None:
    """Judge RUN on its test cases, or --predictions by --labels: 3D metrics per case and class."""
    if (run is None) == (predictions is None) or (predictions is None) != (labels is None):
        raise UsageError("give a RUN, or --predictions DIR together with --labels DIR")
    from spine_ignite.evaluation.judge import evaluate, evaluate_folders
    from spine_ignite.evaluation.tables import level_sentence, readable_rows
    from spine_ignite.labels import load_scheme

    if run is not None:
        summary = evaluate(
            run,
            split=split,
            data=data,
            checkpoint=checkpoint,
            device=device,
            postprocess=postprocessing(postprocess),
            tolerance=tolerance,
            progress=lambda items: progress_bar(items, "Evaluating"),
        )
        out = run / "evaluation" / split
    else:
        assert predictions is not None
        assert labels is not None
        summary = evaluate_folders(
            predictions, labels, load_scheme(scheme), out, tolerance, lambda items: progress_bar(items, "Evaluating")
        )
    if as_json:
        echo_json(summary.to_dict())
        return
    columns, rows = readable_rows(summary)
    print_table(f"{len(summary.cases)} cases", columns, rows)
    click.echo(f"Mean 3D Dice {summary.means['dice']:.4f} over {len(summary.classes)} classes")
    levels = level_sentence(summary)
    if levels is not None:
        click.echo(levels)
    if out is not None:
        click.echo(f"Tables and pictures: {out}")
