"""``spine-ignite levels``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from spine_ignite.cli.label_scheme import label_scheme_option, scheme_of
from spine_ignite.cli.options import echo_json, json_option, print_table, progress_bar, reading_options, say
from spine_ignite.errors import UsageError
from spine_ignite.names import counted

if TYPE_CHECKING:
    from spine_ignite.config.data import NanRule
    from spine_ignite.inference.levels.conditions import Conditions
    from spine_ignite.inference.levels.label_files import Leveled
    from spine_ignite.volumes.volume import Reading

EPILOG = """\b
Examples:
  spine-ignite levels labels --scheme mrspineseg                # what is sure, and why not
  spine-ignite levels labels/scan.nii.gz --scheme spider -o named
  spine-ignite levels labels/scan.nii.gz --scheme spider -o named --level L3@4.5,-20,113
  spine-ignite levels labels/scan.nii.gz --scheme spider -o named --lowest L5
  spine-ignite levels labels/t2.nii.gz --scheme spider -o named --from labels/t1.nii.gz
  spine-ignite levels labels --scheme mrspineseg -o corrected --decisions decisions.csv
"""


@click.command(epilog=EPILOG)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@label_scheme_option
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), help="Folder for label volumes with the likeliest levels."
)
@click.option(
    "--level",
    "clicks",
    multiple=True,
    metavar="L3@X,Y,Z",
    help="A level that is known: of the vertebra at a point (mm, RAS+), or L3@#7 by its id; may be repeated.",
)
@click.option("--lowest", metavar="L5", help="The level of the lowest vertebra.")
@click.option(
    "--from",
    "other",
    type=click.Path(path_type=Path),
    metavar="LABELS",
    help="Labels of another scan of the patient, or of a whole-spine localizer, in the same frame of the scanner.",
)
@click.option("--from-scheme", help="Label scheme of that scan. [default: --scheme, else what it carries]")
@click.option(
    "--decisions",
    type=click.Path(path_type=Path),
    metavar="CSV",
    help="The table of a sheet of `spine-ignite review`: volumes of a folder whose levels were corrected there.",
)
@click.option(
    "--risk",
    type=click.FloatRange(0, 0.5, min_open=True, max_open=True),
    metavar="SHARE",
    help="Of wrong columns among those that are accepted, at most; a prediction keeps its own without it. Label maps "
    "alone are uncalibrated.",
)
@click.option("--force", is_flag=True, help="Replace volumes in OUT that this command wrote.")
@reading_options
@json_option
def command(
    files: tuple[Path, ...],
    scheme: str | None,
    out: Path | None,
    clicks: tuple[str, ...],
    lowest: str | None,
    other: Path | None,
    from_scheme: str | None,
    decisions: Path | None,
    risk: float | None,
    force: bool,
    orientation: str | None,
    nan: NanRule,
    as_json: bool,
) -> int:
    """Name the levels of label volumes in FILES (files or folders) of any tool, and say how surely; no network is run.

    <name>.levels.json is written beside each, or with --out beside the renamed volume. What is given with --level,
    --lowest or --from is taken for certain, and all other levels follow from it. Of a prediction that is as it was made
    the naming stays, and is accepted or asked about at the --risk.
    """
    from spine_ignite.datasets.label_volumes import label_volumes
    from spine_ignite.inference.levels.label_files import level_files
    from spine_ignite.volumes.label_description import write_tables
    from spine_ignite.volumes.volume import Reading

    reading = Reading(orientation, nan)
    if decisions is not None:
        if clicks or lowest or other is not None:
            raise UsageError("--decisions says all that is known of the levels; leave out --level, --lowest and --from")
        return _correct(decisions, files, scheme, out, reading, force, as_json)
    conditions = _conditions(clicks, lowest, other, from_scheme or scheme, reading)
    if not conditions.are_empty and out is None:
        raise UsageError("say where the renamed label volume goes: --out FOLDER")
    volumes = label_volumes(files)
    if (clicks or lowest) and len(volumes) > 1:
        raise UsageError(f"--level and --lowest are about one label volume, and there are {len(volumes)}")
    named = scheme_of(scheme, *volumes)
    results = level_files(
        volumes,
        named,
        out,
        conditions=conditions,
        risk=risk,
        reading=reading,
        force=force,
        progress=lambda items: progress_bar(items, "Naming"),
    )
    if out is not None and any(result.error is None for result in results):
        write_tables(out, named)
    _tell(results, out, as_json)
    return 1 if any(result.error is not None for result in results) else 0


def _correct(
    table: Path,
    folders: tuple[Path, ...],
    scheme: str | None,
    out: Path | None,
    reading: Reading,
    force: bool,
    as_json: bool,
) -> int:
    """Correct what was corrected in a sheet."""
    from spine_ignite.datasets.label_volumes import label_volumes
    from spine_ignite.review.applying import correct_levels
    from spine_ignite.review.decisions import decided_files, read_decisions

    if out is None:
        raise UsageError("say where the corrected label volumes go: --out FOLDER")
    if len(folders) != 1 or not folders[0].is_dir():
        raise UsageError("--decisions is about the label volumes of one folder: give the folder of the sheet alone")
    decided = decided_files(read_decisions(table), folders[0])
    results = correct_levels(
        decided,
        scheme_of(scheme, *label_volumes(folders)),
        out,
        reading=reading,
        force=force,
        progress=lambda items: progress_bar(items, "Correcting"),
    )
    _tell(results, out, as_json)
    return 1 if any(result.error is not None for result in results) else 0


def _conditions(
    clicks: tuple[str, ...], lowest: str | None, other: Path | None, scheme: str | None, reading: Reading
) -> Conditions:
    from dataclasses import replace

    from spine_ignite.inference.levels.conditions import Conditions, check_level, parse_click
    from spine_ignite.inference.levels.label_files import other_scan

    known = Conditions() if other is None else other_scan(other, scheme_of(scheme, other), reading)
    return replace(
        known,
        clicks=tuple(parse_click(text) for text in clicks),
        lowest=None if lowest is None else check_level(lowest),
    )


def _tell(results: list[Leveled], out: Path | None, as_json: bool) -> None:
    failed = [result for result in results if result.error is not None]
    if as_json:
        echo_json(
            [
                {"input": r.source, "output": r.output, "error": r.error, "changed": r.changed, "levels": r.described}
                for r in results
            ]
        )
    else:
        rows = [_row(result) for result in results if result.described is not None]
        print_table("", ["volume", "levels", "posterior", "verdict", "why"], rows)
        if out is not None:
            say(f"{counted(len(results) - len(failed), 'label volume')} written to {out}")
    for result in failed:
        say(f"Error: {result.error}", err=True)


def _row(result: Leveled) -> list[str]:
    assert result.described is not None
    column = result.described["column"]
    named = [row["level"] for row in result.described["instances"] if row["kind"] == "vertebra" and row["level"]]
    span = f"{named[0]} to {named[-1]}" if named else "none"
    why = "; ".join([column["calibration"], *column["reasons"]])
    return [result.source.name, span, f"{column['posterior']:.3f}", column["verdict"], why]
