"""``spine-ignite review``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from spine_ignite.cli.label_scheme import label_scheme_option, scheme_of
from spine_ignite.cli.options import echo_json, json_option, progress_bar, reading_options, say
from spine_ignite.errors import UsageError
from spine_ignite.names import counted

if TYPE_CHECKING:
    from spine_ignite.config.data import NanRule
    from spine_ignite.volumes.volume import Reading

EPILOG = """\b
Examples:
  spine-ignite review labels --images images -o review.html
  spine-ignite review labels --images images --measurements measurements.csv -o review.html
  spine-ignite review labels --images images --decisions decisions.csv --into dataset --by "A. Reader"
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
@label_scheme_option
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), default=Path("review.html"), show_default=True, help="The file."
)
@click.option(
    "--decisions",
    type=click.Path(path_type=Path),
    metavar="CSV",
    help="The table that was downloaded from the sheet, for --into.",
)
@click.option(
    "--into",
    type=click.Path(path_type=Path),
    metavar="DATASET",
    help="In place of a sheet: take what was accepted or corrected into this dataset, as training cases.",
)
@click.option("--by", default="", metavar="NAME", help="Who decided, for the record in DATASET.")
@reading_options
@json_option
def command(
    labels: Path,
    images: Path | None,
    measurements: Path | None,
    scheme: str | None,
    out: Path,
    decisions: Path | None,
    into: Path | None,
    by: str,
    orientation: str | None,
    nan: NanRule,
    as_json: bool,
) -> int:
    """Write the label volumes of the folder LABELS as one HTML page to go through, the worst first.

    For a cohort without references: two pictures of each column, what the naming of its levels said of itself, and keys
    to accept, reject, correct the levels by a click, and leave a remark. What was decided is downloaded as a table. The
    page holds scans: share it as you would share them. For research: not a diagnosis, not a medical device.
    """
    from spine_ignite.datasets.label_volumes import label_volumes
    from spine_ignite.review.sheet import PURPOSE, write_sheet
    from spine_ignite.volumes.volume import Reading

    if (decisions is None) != (into is None):
        raise UsageError("--decisions and --into belong together: the table, and the dataset that its cases go into")
    if decisions is not None and into is not None:
        if images is None:
            raise UsageError("training cases need their images: --images FOLDER")
        return _take_in(labels, images, decisions, into, scheme, by, Reading(orientation, nan), as_json)
    sheet = write_sheet(
        labels,
        out,
        scheme_of(scheme, *label_volumes([labels])),
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
        return 0
    for problem in sheet.problems:
        say(problem, err=True)
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in sheet.verdicts.items())
    total = counted(sum(sheet.verdicts.values()), "label volume")
    say(f"Sheet: {sheet.path} ({sheet.megabytes:.1f} MB; {total}: {verdicts}); {PURPOSE}")
    return 0


def _take_in(
    labels: Path,
    images: Path,
    decisions: Path,
    into: Path,
    scheme: str | None,
    by: str,
    reading: Reading,
    as_json: bool,
) -> int:
    from spine_ignite.datasets.label_volumes import label_volumes
    from spine_ignite.places import require_apart
    from spine_ignite.review.applying import RECORD, USE, add_training_cases
    from spine_ignite.review.decisions import decided_files, read_decisions

    require_apart({"--into": into}, {"LABELS": labels, "--images": images})
    results = add_training_cases(
        decided_files(read_decisions(decisions), labels),
        images,
        scheme_of(scheme, *label_volumes([labels])),
        into,
        by=by,
        reading=reading,
        progress=lambda items: progress_bar(items, "Cases"),
    )
    failed = [result for result in results if result.error is not None]
    if as_json:
        echo_json({"dataset": into, "cases": [asdict(result) for result in results], "use": USE})
    else:
        added = counted(len(results) - len(failed), "training case")
        say(f"{added} taken into {into}, listed in {RECORD}: {USE}")
    for result in failed:
        say(f"Error: {result.error}", err=True)
    return 1 if failed else 0
