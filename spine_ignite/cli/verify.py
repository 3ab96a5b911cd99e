"""``spine-ignite verify``."""

from __future__ import annotations

from pathlib import Path

import click

from spine_ignite.cli.options import echo_json, json_option, progress_bar, say
from spine_ignite.names import counted

EPILOG = """\b
Examples:
  spine-ignite verify runs/unet
  spine-ignite verify runs/unet --expect 5f0c9d27ab41 --data /new/place/dataset
  spine-ignite verify runs/unet --retrain                # the network too, from the data
  spine-ignite verify STUDY --cell unet-base-fold0-seed1
  spine-ignite verify folds --cell fold0 --retrain fold0
"""


@click.command(epilog=EPILOG)
@click.argument("path", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--cell", "cells", multiple=True, metavar="CELL", help="Only this part of RUN; may be repeated.")
@click.option("--expect", metavar="HEAD", help="The head of the manifest as it was noted elsewhere; 12 digits suffice.")
@click.option(
    "--retrain",
    "again",
    multiple=True,
    is_flag=False,
    flag_value=".",
    metavar="[CELL]",
    help="Train the network again, or that of a part, and compare the weights bit for bit.",
)
@click.option("--quick", is_flag=True, help="Compare hashes and records; compute nothing again.")
@click.option("--data", type=click.Path(path_type=Path), help="Where the dataset is now.")
@json_option
def command(
    path: Path,
    cells: tuple[str, ...],
    expect: str | None,
    again: tuple[str, ...],
    quick: bool,
    data: Path | None,
    as_json: bool,
) -> int:
    """Hold RUN against its manifest, and compute its predictions and tables again.

    RUN is a run directory, a cross-validation or a study, whose parts are verified too. Each thing that does not fit is
    named in a line; the exit code is then 1, as where something could not be checked.
    """
    from spine_ignite.verification.verify import verify

    result = verify(
        path,
        cells=cells,
        expect=expect,
        again=again,
        quick=quick,
        data=data,
        progress=lambda items: progress_bar(items, "Computing again"),
    )
    if as_json:
        echo_json(result.to_dict())
        return result.exit_code
    findings = result.findings
    for sentence in findings.wrong:
        say(f"Does not fit: {sentence}")
    for sentence in findings.unchecked:
        say(f"Not checked:  {sentence}")
    for sentence in findings.notes:
        say(f"Note:         {sentence}")
    checked = ", ".join(f"{number} {what}" for what, number in findings.checked.items() if number) or "nothing"
    say(f"Fits:         {checked}")
    say(f"Manifest:     {result.head}")
    left = f", {counted(len(findings.unchecked), 'thing')} could not be checked" if findings.unchecked else ""
    wrong = (
        f"{counted(len(findings.wrong), 'thing')} does not fit"
        if len(findings.wrong) == 1
        else (f"{counted(len(findings.wrong), 'thing')} do not fit")
    )
    say(f"{path} is what its manifest says" if findings.fits else f"{path}: {wrong}{left}")
    return result.exit_code
