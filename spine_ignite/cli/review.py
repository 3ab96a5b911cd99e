"""``spine-ignite review``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from spine_ignite.cli.options import echo_json, json_option, progress_bar, reading_options, say
from spine_ignite.names import counted

if TYPE_CHECKING:
    from spine_ignite.config.data import NanRule

EPILOG = """\b
Examples:
  spine-ignite review labels --images images -o review.html
  spine-ignite review labels --images images --measurements measurements.csv -o review.html
"""


@click.command(epilog=EPILOG)
@click.argument("labels", type=click.Path(path_type=Path))
@click.option("--images", type=click.Path(path_type=Path), help="The folder of the images, found by case id.")
@click.option(
    "--measurements",
    type=click.Path(path_type=Path),
    metavar="CSV",
    help="What `spine-ignite measure LABELS -o CSV` wrote; figures out of range are told.",
)
@click.option(
    "--scheme",
    default="mrspineseg",
    show_default=True,
    help="Label scheme: a name, a YAML file, or nnU-Net's dataset.json.",
)
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), default=Path("review.html"), show_default=True, help="The file."
)
@reading_options
@json_option
def command(
    labels: Path,
    images: Path | None,
    measurements: Path | None,
    scheme: str,
    out: Path,
    orientation: str | None,
    nan: NanRule,
    as_json: bool,
) -> None:
    """Write the label volumes of the folder LABELS as one HTML page to go through, the worst first.

    For a cohort without references: two pictures of each column, what the naming of its levels said of itself, and keys
    to accept, reject, correct the levels by a click, and leave a remark. What was decided is downloaded as a table. The
    page holds scans: share it as you would share them. For research: not a diagnosis, not a medical device.
    """
    from spine_ignite.labels import load_scheme
    from spine_ignite.review.sheet import PURPOSE, write_sheet
    from spine_ignite.volumes.volume import Reading

    sheet = write_sheet(
        labels,
        out,
        load_scheme(scheme),
        images=images,
        measurements=measurements,
        reading=Reading(orientation, nan),
        progress=lambda items: progress_bar(items, "Cases"),
    )
    if as_json:
        echo_json(
            {"file": sheet.path, "bytes": sheet.path.stat().st_size, "cases": sheet.verdicts}
            | {"problems": sheet.problems, "use": PURPOSE}
        )
        return
    for problem in sheet.problems:
        say(problem, err=True)
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in sheet.verdicts.items())
    total = counted(sum(sheet.verdicts.values()), "label volume")
    say(f"Sheet: {sheet.path} ({sheet.megabytes:.1f} MB; {total}: {verdicts}); {PURPOSE}")
