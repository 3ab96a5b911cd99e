"""``spine-ignite study report``."""

from __future__ import annotations

from pathlib import Path

import click

from spine_ignite.cli.methods import write_methods
from spine_ignite.cli.options import echo_json, json_option, print_table, progress_bar, say
from spine_ignite.cli.study_options import device_names, folder_of, pool_options, study_argument
from spine_ignite.names import counted

EPILOG = """\b
Examples:
  spine-ignite study report STUDY                 # on validation cases, each by cells that have not seen it
  spine-ignite study report STUDY --open-test     # once, at the end: it is recorded
  spine-ignite study report STUDY --methods -o methods.tex
  spine-ignite study report STUDY --measure hd95 --difference 0.5
"""


@click.command(epilog=EPILOG)
@study_argument
@click.option("--open-test", is_flag=True, help="Open the sealed test set and judge all cells by it; recorded.")
@click.option("--measure", default="dice", show_default=True, help="What to rank by: dice, iou, recall, hd95, nsd …")
@click.option(
    "--difference",
    type=click.FloatRange(0, min_open=True),
    default=0.01,
    show_default=True,
    help="How many cases are needed to see it, in the measure's unit.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the bootstrap.")
@click.option("--resamples", type=click.IntRange(min=100), default=10_000, show_default=True, help="Of the bootstrap.")
@click.option("--cost/--no-cost", default=True, show_default=True, help="Measure FLOPs and latency.")
@click.option("--methods", is_flag=True, help="Write a methods section of the report that is there, from the manifest.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="With --methods: a file, .md or .tex.")
@pool_options
@json_option
def command(
    study: Path,
    open_test: bool,
    measure: str,
    difference: float,
    seed: int,
    resamples: int,
    cost: bool,
    at_once: int | None,
    devices: str | None,
    methods: bool,
    out: Path | None,
    as_json: bool,
) -> None:
    """Compare all cells of a study: table with intervals, tests of all pairs, the number of cases needed.

    On the validation cases, or with --open-test on the sealed test cases: that needs all cells done, is checked against
    the seal, and recorded in openings.json. The same command again shows what was found then.
    """
    from spine_ignite.compare.grids import main_grid, ranking_rows
    from spine_ignite.runs.manifest import head_of
    from spine_ignite.studies.making import load_study
    from spine_ignite.studies.opening import open_test as open_now
    from spine_ignite.studies.study_methods import methods_of_study
    from spine_ignite.studies.study_output import method_rows, pair_rows, report_record, report_study

    made = load_study(folder_of(study))
    if methods:
        write_methods(lambda: methods_of_study(made, "test" if open_test else "validation"), out, as_json)
        return
    if open_test:
        open_now(made, at_once=at_once, devices=device_names(devices), echo=lambda line: say(line, err=as_json))
    report = report_study(
        made, "test" if open_test else "validation", measure=measure, difference=difference, seed=seed,
        resamples=resamples, cost=cost, progress=lambda items: progress_bar(items, "Costs"),
    )  # fmt: skip
    if as_json:
        echo_json(report_record(report))
        return
    comparison = report.comparison
    grid = main_grid(comparison)
    rows = [[name, *(cell.text for cell in cells)] for name, cells in zip(grid.names, grid.rows, strict=True)]
    title = (
        f"{counted(len(comparison.runs), 'method')} on {counted(len(comparison.scores.cases), report.split + ' case')}"
    )
    print_table(title, [grid.corner, *grid.headings], rows)
    print_table("Ranking per case", *ranking_rows(comparison))
    print_table("Over trainings", *method_rows(report))
    print_table(f"Pairs; cases needed to see {difference:g}", *pair_rows(report))
    for line in (*comparison.notes, *report.notes):
        say(line)
    say(f"Tables and figures: {report.folder}")
    say(f"Manifest: {head_of(made.directory.root)}")
