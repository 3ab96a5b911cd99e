"""``spine-ignite compare``."""

from __future__ import annotations

from pathlib import Path

import click

from spine_ignite.cli.options import echo_json, json_option, print_table, progress_bar, say
from spine_ignite.names import counted

EPILOG = """\b
Examples:
  spine-ignite compare runs/unet runs/ccnet runs/pspnet
  spine-ignite compare runs/* -o paper --measure hd95 --no-cost
  spine-ignite compare runs/unet judged --names "U-Net,nnU-Net"
  spine-ignite compare folds/unet folds/ccnet --split out-of-fold      # cross-validations
"""


@click.command(epilog=EPILOG)
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), default="comparison", show_default=True, help="Folder to write to."
)
@click.option("--split", type=click.Choice(["test", "validation", "out-of-fold"]), default="test", show_default=True)
@click.option("--names", metavar="A,B...", help="What to call the runs, in their order; default: their folders' names.")
@click.option("--measure", default="dice", show_default=True, help="What to rank by: dice, iou, recall, hd95, nsd …")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the bootstrap.")
@click.option("--resamples", type=click.IntRange(min=100), default=10_000, show_default=True, help="Of the bootstrap.")
@click.option("--cost/--no-cost", default=True, show_default=True, help="Measure FLOPs and latency.")
@click.option("--device", default="cpu", show_default=True, help="Where to measure them: cpu, cuda, cuda:1 …")
@json_option
def command(
    runs: tuple[Path, ...],
    out: Path,
    split: str,
    names: str | None,
    measure: str,
    seed: int,
    resamples: int,
    cost: bool,
    device: str,
    as_json: bool,
) -> None:
    """Compare evaluated runs: the paper's table, tests of all pairs, figures.

    RUN is a run directory that was evaluated, or a folder that `evaluate --predictions DIR --labels DIR -o RUN` wrote,
    or a cross-validation.
    All must have been judged on the same cases by the same masks.
    """
    from spine_ignite.compare import compare, comparison_record, write_comparison
    from spine_ignite.compare.grids import main_grid, ranking_rows
    from spine_ignite.compare.markdown import friedman_sentence
    from spine_ignite.evaluation.measures import shown
    from spine_ignite.places import require_apart

    for run in runs:
        require_apart({"--out": out}, {"RUN": run})
    comparison = compare(
        runs,
        split=split,
        names=names.split(",") if names is not None else None,
        measure=measure,
        seed=seed,
        resamples=resamples,
        cost=cost,
        device=device,
        progress=lambda items: progress_bar(items, "Costs"),
    )
    write_comparison(comparison, out)
    if as_json:
        echo_json(comparison_record(comparison))
        return
    grid = main_grid(comparison)
    rows = [[name, *(cell.text for cell in cells)] for name, cells in zip(grid.names, grid.rows, strict=True)]
    print_table(
        f"{counted(len(runs), 'run')} on {counted(len(comparison.scores.cases), 'case')}",
        [grid.corner, *grid.headings],
        rows,
    )
    print_table(f"Ranking by {shown(measure, comparison.surfaces).heading} per case", *ranking_rows(comparison))
    for line in (
        "Runs that share a letter do not differ significantly.",
        friedman_sentence(comparison.ranking),
        *comparison.notes,
    ):
        if line:
            say(line)
    for judged in comparison.runs:
        if judged.head is not None:
            say(f"Manifest of {judged.name}: {judged.head}")
    say(f"Tables and figures: {out}")
