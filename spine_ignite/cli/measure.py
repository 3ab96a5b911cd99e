"""``spine-ignite measure``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from spine_ignite.cli.label_scheme import label_scheme_option, scheme_of
from spine_ignite.cli.options import echo_json, json_option, print_table, progress_bar, reading_options, say
from spine_ignite.names import counted

if TYPE_CHECKING:
    from spine_ignite.anatomy.measure_files import Measured
    from spine_ignite.config.data import NanRule

EPILOG = """\b
Examples:
  spine-ignite measure labels/Case1.nii.gz
  spine-ignite measure labels -o measurements.csv
  spine-ignite measure labels --scheme spider --image images -o measurements.json
  spine-ignite measure labels/dicom-seg --image exams -o measurements.csv
"""

# What is shown of each kind on a screen; files hold all.
_SHOWN = {
    "height_anterior_mm": "ant.",
    "height_middle_mm": "mid.",
    "height_posterior_mm": "post.",
    "depth_mm": "depth",
    "width_mm": "width",
    "wedge_deg": "wedge",
    "angle_deg": "angle",
    "slip_mm": "slip",
    "slip_percent": "slip %",
    "height_index": "index",
    "canal_ap_mm": "canal",
    "volume_ml": "ml",
    "signal_ratio": "signal",
    "lordosis_deg": "lordosis",
}


@click.command(epilog=EPILOG)
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE|FOLDER...")
@label_scheme_option
@click.option(
    "--image",
    "images",
    type=click.Path(path_type=Path),
    metavar="FILE|FOLDER",
    help="The image, a folder of images, or DICOM, for the signal of discs over that of the fluid (T2).",
)
@click.option("-o", "--out", type=click.Path(path_type=Path), help="A .csv or .json file for all figures.")
@reading_options
@json_option
def command(
    inputs: tuple[Path, ...],
    scheme: str | None,
    images: Path | None,
    out: Path | None,
    orientation: str | None,
    nan: NanRule,
    as_json: bool,
) -> int:
    """Measure label volumes of any tool: heights, wedges, slips, angles, diameters and volumes of each level.

    In mm, degrees and ml, on the patient's axes and not on those of the voxels. What the field of view cuts off is
    flagged and not measured. For research: not a diagnosis, not a medical device, and only as good as the labels.
    """
    from spine_ignite.anatomy import measure_files as files
    from spine_ignite.datasets.label_volumes import label_volumes
    from spine_ignite.volumes.volume import Reading

    if out is not None:
        files.require_format(out)
    volumes = label_volumes(inputs)
    labels = scheme_of(scheme, *volumes)
    measured = files.measure_files(
        volumes,
        labels,
        images,
        Reading(orientation, nan),
        progress=lambda items: progress_bar(items, "Measuring"),
    )
    if out is not None:
        files.write_measurements(out, measured, labels)
    if as_json:
        echo_json(files.as_json(measured, labels))
    else:
        _tell(measured, out)
    failed = [item for item in measured if item.error is not None]
    for item in failed:
        say(f"Error: {item.error}", err=True)
    return 1 if failed else 0


def _tell(measured: list[Measured], out: Path | None) -> None:
    from spine_ignite.anatomy.figures import PURPOSE

    done = [item for item in measured if item.error is None]
    if out is not None:
        say(f"{counted(len(done), 'label volume')} measured, written to {out}: {PURPOSE}")
        return
    for item in done:
        shown = [name for name in _SHOWN if any(math.isfinite(row.figures.get(name, math.nan)) for row in item.rows)]
        rows = [
            [row.level, *(_cell(row.figures.get(name, math.nan)) for name in shown), "; ".join(row.flags)]
            for row in item.rows
        ]
        print_table(f"{item.file}: mm, degrees, ml", ["level", *(_SHOWN[name] for name in shown), "remarks"], rows)
    say(f"Measurements are {PURPOSE}.")


def _cell(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else ""
