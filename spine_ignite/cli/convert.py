"""``spine-ignite convert``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from spine_ignite.cli.options import echo_json, json_option, progress_bar, reading_options, say
from spine_ignite.names import counted

if TYPE_CHECKING:
    from spine_ignite.config.data import NanRule


@click.command(
    epilog="\b\nExamples:\n"
    "  spine-ignite convert SPIDER nnUNet_raw/Dataset001_Spider --to nnunet --scheme spine\n"
    "  spine-ignite convert nnUNet_raw/Dataset001_Spider mine --to mrspineseg"
)
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("dest", type=click.Path(path_type=Path))
@click.option("--to", required=True, metavar="LAYOUT", help="Layout to write: nnunet, mrspineseg, bids or monai.")
@click.option("--from", "layout", metavar="LAYOUT", help="Layout of SOURCE. [default: as it is recognised]")
@click.option("--masks", help="Label scheme of the masks in SOURCE. [default: what SOURCE says, or its layout's]")
@click.option("--scheme", help="Label scheme of the masks in DEST. [default: that of SOURCE]")
@click.option(
    "--split",
    type=click.Path(path_type=Path),
    help="Splits to carry over, as data.split. [default: splits_final.json, overview.csv or folds in SOURCE]",
)
@click.option("--patients", help="Whose a case is, as data.patients. [default: patients.csv in SOURCE, or its names]")
@click.option("--contrast", metavar="T2w", help="Contrast of all images. [default: what their names tell]")
@reading_options
@json_option
def command(
    source: Path,
    dest: Path,
    to: str,
    layout: str | None,
    masks: str | None,
    scheme: str | None,
    split: Path | None,
    patients: str | None,
    contrast: str | None,
    orientation: str | None,
    nan: NanRule,
    as_json: bool,
) -> None:
    """Write the dataset in SOURCE anew in DEST, in another layout: images, masks, patients and splits.

    DEST is whole afterwards, or as it was before. It must be new, empty, or an earlier conversion, unchanged since.
    """
    from spine_ignite.datasets.convert.conversion import Choices, convert
    from spine_ignite.volumes.volume import Reading

    choices = Choices(layout, masks, split, patients, scheme, contrast, Reading(orientation, nan))
    done = convert(source, dest, to, choices, lambda cases: progress_bar(cases, "Converting"))
    if as_json:
        found = {"from": done.layout, "to": to, "cases": done.cases, "splits": done.folds, "notes": list(done.notes)}
        echo_json({"source": str(source), "dest": str(dest), **found, "scheme": done.scheme.to_dict()})
        return
    for note in done.notes:
        say(f"Note: {note}", err=True)
    parts = ", ".join(f"{number} {part}" for part, number in done.cases.items())
    splits = f", {counted(done.folds, 'split')}" if done.folds else ""
    say(f"{dest}: {parts} cases in the layout {to}{splits}, from {source} ({done.layout})")
