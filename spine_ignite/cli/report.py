"""``spine-ignite report``."""

from __future__ import annotations

from pathlib import Path

import click

from spine_ignite.cli.methods import write_methods
from spine_ignite.cli.options import echo_json, json_option, progress_bar, say

EPILOG = """\b
Examples:
  spine-ignite report runs/unet
  spine-ignite report runs/unet --methods -o methods.tex
  spine-ignite report runs/unet --split validation --cases 6 -o unet-validation.html
"""


@click.command(epilog=EPILOG)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--split", type=click.Choice(["test", "validation"]), default="test", show_default=True)
@click.option("-o", "--out", type=click.Path(path_type=Path), help="The file; default: report.html in RUN.")
@click.option(
    "--cases",
    type=click.IntRange(min=0),
    default=2,
    show_default=True,
    metavar="N",
    help="Cases with their volumes in the viewer: the worst and the best by turns.",
)
@click.option("--data", type=click.Path(path_type=Path), help="The dataset that was judged, if it is not the run's.")
@click.option(
    "--methods", is_flag=True, help="Write a methods section from the manifest, as text or to -o FILE (.md, .tex)."
)
@json_option
def command(
    run: Path, split: str, out: Path | None, cases: int, data: Path | None, methods: bool, as_json: bool
) -> None:
    """Write RUN as one HTML page: figures, pictures, curves, a viewer of its worst and best cases.

    The page opens in any browser without a network. It holds scans: share it as you would share them.
    """
    if methods:
        from spine_ignite.report.methods import methods_of

        write_methods(lambda: methods_of(run, split), out, as_json)
        return
    from spine_ignite.report import write_report

    report = write_report(
        run, out, split=split, cases=cases, data=data, progress=lambda items: progress_bar(items, "Cases")
    )
    if as_json:
        echo_json(
            {"file": report.path, "bytes": report.path.stat().st_size, "cases": report.viewed}
            | {"problems": report.problems}
        )
        return
    for problem in report.problems:
        say(problem, err=True)
    viewed = f", with the volumes of {', '.join(report.viewed)}" if report.viewed else ""
    say(f"Report: {report.path} ({report.megabytes:.1f} MB{viewed})")
