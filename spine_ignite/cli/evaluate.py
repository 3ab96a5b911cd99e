"""``spine-ignite evaluate``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import click

from spine_ignite.cli.inference_options import inference_options
from spine_ignite.cli.options import echo_json, json_option, print_table, progress_bar, say
from spine_ignite.cli.several import launched, nproc_option
from spine_ignite.errors import UsageError
from spine_ignite.names import counted

if TYPE_CHECKING:
    from spine_ignite.evaluation.judged_cases import Judged
    from spine_ignite.evaluation.measures import Surfaces
    from spine_ignite.evaluation.tables import Summary
    from spine_ignite.inference.options import InferenceOptions
    from spine_ignite.machine.processes import Processes

EPILOG = """\b
Examples:
  spine-ignite evaluate runs/unet
  spine-ignite evaluate runs/unet --nproc 4      # four processes share the cases, on a GPU each
  spine-ignite evaluate runs/unet --tta --ensemble runs/ccnet -o judged/both
  spine-ignite evaluate runs/spine --data other --masks lumbar-vertebrae -o judged/other
  spine-ignite evaluate --predictions labels --labels dataset/test/label --scheme mrspineseg -o judged
"""


@click.command(epilog=EPILOG)
@click.argument("run", required=False, type=click.Path(path_type=Path))
@click.option("--split", type=click.Choice(["test", "validation"]), default="test", show_default=True)
@click.option("--data", type=click.Path(path_type=Path), help="Another dataset, or where the run's is now.")
@click.option("--predictions", type=click.Path(path_type=Path), help="Judge these label volumes, of any tool.")
@click.option("--labels", type=click.Path(path_type=Path), help="Reference masks for --predictions.")
@click.option("--scheme", default="mrspineseg", show_default=True, help="Label scheme of --predictions.")
@click.option(
    "--masks", help="Label scheme of the masks of --labels or --data, if another; what it does not have is left out."
)
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Folder for the tables, in place of the run's own.")
@click.option(
    "--tolerance",
    type=click.FloatRange(0, min_open=True),
    default=2.0,
    show_default=True,
    help="Of the normalised surface Dice, in mm.",
)
@click.option(
    "--surfaces",
    type=click.Choice(["area", "voxels"]),
    default="area",
    show_default=True,
    help="What HD95, ASSD and NSD count: mm² of surface, or its voxels, as MONAI does.",
)
@nproc_option("Share the cases")
@inference_options
@json_option
def command(
    run: Path | None,
    split: Judged,
    data: Path | None,
    predictions: Path | None,
    labels: Path | None,
    scheme: str,
    masks: str | None,
    out: Path | None,
    tolerance: float,
    surfaces: Surfaces,
    nproc: int | None,
    options: InferenceOptions,
    as_json: bool,
) -> int:
    """Judge RUN on its test cases, or --predictions by --labels: 3D metrics per case and class.

    RUN may be a folder of runs, whose mean is judged; how the predictions were made is recorded in summary.json. A case
    that cannot be judged does not stop the others; it is named there, and the exit code is 1.
    """
    if (run is None) == (predictions is None) or (predictions is None) != (labels is None):
        raise UsageError("give a RUN, or --predictions DIR together with --labels DIR")
    if (code := launched(nproc)) is not None:
        return code
    from spine_ignite.evaluation.judge import evaluate, evaluate_folders
    from spine_ignite.labels import load_scheme
    from spine_ignite.machine.processes import several_processes

    read, shown = load_scheme(masks) if masks is not None else None, out
    with several_processes() as processes:
        how: _How = {
            "tolerance": tolerance,
            "surfaces": surfaces,
            "progress": _progress,
            "echo": _telling(processes),
            "processes": processes,
        }
        if run is not None:
            summary = evaluate(run, split=split, data=data, masks=read, options=options, out=out, **how)
            shown = out or run / "evaluation" / split
        else:
            assert predictions is not None
            assert labels is not None
            summary = evaluate_folders(predictions, labels, load_scheme(scheme), out, read, **how)
        if processes.first:
            _tell(summary, shown, run if out is None else None, as_json)
    return 1 if summary.failed else 0


class _How(TypedDict):
    """What judging a run and judging folders have in common."""

    tolerance: float
    surfaces: Surfaces
    progress: Callable[[Any], Any]
    echo: Callable[[str], None]
    processes: Processes


def _progress(items: Any) -> Any:
    return progress_bar(items, "Evaluating")


def _telling(processes: Processes) -> Callable[[str], None]:
    """Return what tells notes: by one process, since all have the same."""

    def note(line: str) -> None:
        if processes.first:
            say(f"Note: {line}", err=True)

    return note


def _tell(summary: Summary, tables: Path | None, recorded: Path | None, as_json: bool) -> None:
    """Print the result, where its tables are, and the head of the manifest of a run that it is recorded in."""
    from spine_ignite.evaluation.certainty import sentence
    from spine_ignite.evaluation.tables import level_sentence, readable_rows
    from spine_ignite.runs.manifest import head_of

    head = head_of(recorded) if recorded is not None else None
    for case, reason in summary.failed.items():
        say(f"Error: case {case} is not judged: {reason}", err=True)
    if as_json:
        echo_json(summary.to_dict() | ({"manifest": head} if head is not None else {}))
        return
    columns, rows = readable_rows(summary)
    left_out = f"; {len(summary.failed)} more could not be judged" if summary.failed else ""
    print_table(f"{counted(len(summary.cases), 'case')}{left_out}", columns, rows)
    say(f"Mean 3D Dice {summary.means['dice']:.4f} over {len(summary.classes)} classes")
    for line in filter(None, (level_sentence(summary), sentence(summary.certainty))):
        say(line)
    if tables is not None:
        say(f"Tables and pictures: {tables}")
    if head is not None:
        say(f"Manifest: {head}")
