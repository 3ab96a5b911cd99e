"""``spine-ignite export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spine_ignite.cli.options import echo_json, json_option, say
from spine_ignite.errors import UsageError
from spine_ignite.names import counted

if TYPE_CHECKING:
    from spine_ignite.hub.hub_folder import HubFolder
    from spine_ignite.inference.same_logits import Compared

EPILOG = """\b
Examples:
  spine-ignite export runs/unet -o unet.safetensors
  spine-ignite predict unet.safetensors scan.nii.gz -o labels
  spine-ignite export runs/unet --format onnx -o unet.onnx
  spine-ignite export runs/unet --format torch-export -o unet.pt2
  spine-ignite export runs/unet --format hub --license CC-BY-4.0 -o unet-lumbar
"""


@click.command(epilog=EPILOG)
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), help="The file, or new folder; default: beside the checkpoint."
)
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["safetensors", "onnx", "torch-export", "hub"]),
    default="safetensors",
    show_default=True,
    help="Weights (.safetensors), a graph for onnxruntime (.onnx), a program that PyTorch runs without spine-ignite "
    "(.pt2), or a folder for a model hub, with a card.",
)
@click.option("--checkpoint", default="best", show_default=True, metavar="best|last|FILE", help="Which weights.")
@click.option("--half", is_flag=True, help="Store weights in half precision; they are used in single.")
@click.option(
    "--calibration/--no-calibration",
    default=True,
    help="Take along what a cross-validation knows of its levels, numbers for each of its patients. [default: yes]",
)
@click.option("--license", "license_id", metavar="SPDX", help="Under which the network may be used, such as MIT.")
@json_option
def command(
    run: Path,
    out: Path | None,
    file_format: str,
    checkpoint: str,
    half: bool,
    calibration: bool,
    license_id: str | None,
    as_json: bool,
) -> None:
    """Write the network of RUN to a file for other programs, with the averaged weights if the run averaged.

    The file is read back and compared with the original on a batch of slices before it takes its place. A .safetensors
    or .onnx file, or a folder for a hub, may stand in the place of a run in `predict`.
    """
    if file_format == "hub":
        if out is None:
            raise UsageError("--format hub writes a new folder; say which with -o")
        from spine_ignite.hub.hub_folder import export_hub

        folder = export_hub(run, out, checkpoint=checkpoint, half=half, license_id=license_id, calibration=calibration)
        _tell_hub(folder, as_json)
        return
    from spine_ignite.inference.export import export_run

    exported = export_run(
        run,
        out,
        file_format=file_format,  # type: ignore[arg-type]  # click has checked it
        checkpoint=checkpoint,
        half=half,
        license_id=license_id,
        calibration=calibration,
    )
    told = {"file": exported.path, "format": file_format, "checkpoint": exported.source, "model": exported.model}
    if as_json:
        sizes = {"fixed": exported.fixed} if file_format == "onnx" else {}
        echo_json(told | {"bytes": exported.size, "levels": exported.levels} | _compared(exported.compared) | sizes)
        return
    say(f"Exported: {exported.path} ({exported.size / 1e6:.1f} MB), the {exported.model} of {exported.source}")
    say(f"Verified: {_verified(exported.compared)}")
    if exported.levels is not None:
        say(f"Levels:   {exported.levels}")
    if exported.fixed is not None:
        height, width = exported.compared.batches[0][2:]
        say(f"Note:     height and width are fixed to {height} x {width}: {exported.fixed}")


def _tell_hub(exported: HubFolder, as_json: bool) -> None:
    if as_json:
        told = {"folder": exported.folder, "format": "hub", "checkpoint": exported.source, "files": exported.files}
        echo_json(told | {"levels": exported.levels})
        return
    say(f"Exported: {exported.folder}, {counted(len(exported.files), 'file')}: {', '.join(exported.files)}")
    say(f"Verified: {_verified(exported.compared)}")
    if exported.levels is not None:
        say(f"Levels:   {exported.levels}")
    for note in exported.notes:
        say(f"Note:     {note}")


def _compared(compared: Compared) -> dict[str, Any]:
    return {"batch": compared.batches[0], "difference": compared.difference}


def _verified(compared: Compared) -> str:
    what = "slices of the run's own data" if compared.real else "a random batch"
    shapes = " and ".join(" x ".join(map(str, shape)) for shape in compared.batches)
    same = "equal" if compared.difference == 0 else f"equal to {compared.difference:.1e}"
    of = f"; the largest is {compared.largest:.3g}" if compared.largest else ""
    return f"read back, its logits on {what} of {shapes} are {same}{of}"
