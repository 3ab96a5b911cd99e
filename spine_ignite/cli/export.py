"""``spine-ignite export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from spine_ignite.cli.options import echo_json, json_option, say

if TYPE_CHECKING:
    from spine_ignite.inference.export import Format

EPILOG = """\b
Examples:
  spine-ignite export runs/unet -o unet.safetensors
  spine-ignite predict unet.safetensors scan.nii.gz -o labels
  spine-ignite export runs/unet --format torch-export -o unet.pt2
"""


@click.command(epilog=EPILOG)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), help="The file; default: beside the checkpoint.")
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["safetensors", "torch-export"]),
    default="safetensors",
    show_default=True,
    help="Weights (.safetensors), or a program that PyTorch runs without spine-ignite (.pt2).",
)
@click.option("--checkpoint", default="best", show_default=True, metavar="best|last|FILE", help="Which weights.")
@click.option("--half", is_flag=True, help="Store weights in half precision; they are used in single.")
@json_option
def command(run: Path, out: Path | None, file_format: Format, checkpoint: str, half: bool, as_json: bool) -> None:
    """Write the network of RUN to a file for other programs, with the averaged weights if the run averaged.

    The file is read back and compared with the original on a random batch before it takes its place. A .safetensors
    file may stand in the place of a run in `predict` and `train.start_from`.
    """
    from spine_ignite.inference.export import export_run

    exported = export_run(run, out, file_format=file_format, checkpoint=checkpoint, half=half)
    if as_json:
        echo_json(
            {"file": exported.path, "format": file_format, "checkpoint": exported.source, "model": exported.model}
            | {"bytes": exported.size, "batch": exported.batch, "difference": exported.difference}
        )
        return
    shape = " x ".join(map(str, exported.batch))
    same = "equal" if exported.difference == 0 else f"equal to {exported.difference:.1e}"
    say(f"Exported: {exported.path} ({exported.size / 1e6:.1f} MB), the {exported.model} of {exported.source}")
    say(f"Verified: read back, its logits on a random batch of {shape} are {same}")
