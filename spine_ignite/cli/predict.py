"""``spine-ignite predict``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from spine_ignite.cli.inference_options import inference_options
from spine_ignite.cli.options import echo_json, json_option, progress_bar, say
from spine_ignite.cli.several import launched, nproc_option
from spine_ignite.names import counted

if TYPE_CHECKING:
    from spine_ignite.inference.options import InferenceOptions
    from spine_ignite.inference.predict_files import Prediction
    from spine_ignite.inference.predictor import Predictor

EPILOG = """\b
Examples:
  spine-ignite predict runs/unet scan.nii.gz -o labels
  spine-ignite predict unet.safetensors scan.nii.gz -o labels
  spine-ignite predict runs/unet dataset -o labels --skip-existing
  spine-ignite predict runs/unet scan.nii.gz -o labels --tta --ensemble runs/ccnet --uncertainty
  spine-ignite predict runs/unet exam -o labels --dicom-seg      # a folder of DICOM
  spine-ignite predict runs/folds scan.nii.gz -o labels         # the mean of the runs in runs/folds
  spine-ignite predict runs/unet dataset -o labels --nproc 4    # four processes share the volumes, on a GPU each
"""


@click.command(epilog=EPILOG)
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="Folder for the label volumes.")
@click.option("--probabilities", is_flag=True, help="Write OUT/probabilities too: 4D NIfTI, classes last.")
@click.option("--uncertainty", is_flag=True, help="Write OUT/uncertainty too: entropy from 0 (certain) to 1.")
@click.option("--dicom-seg", is_flag=True, help="Write OUT/dicom-seg too: of DICOM, segmentations (SEG) of its series.")
@click.option(
    "--series",
    multiple=True,
    metavar="NUMBER|all",
    help="Of DICOM: the series to read; may be repeated. [default: one]",
)
@click.option("--skip-existing", is_flag=True, help="Leave label volumes that are already there.")
@nproc_option("Share the volumes")
@inference_options
@json_option
def command(
    run: Path,
    inputs: tuple[Path, ...],
    out: Path,
    probabilities: bool,
    uncertainty: bool,
    dicom_seg: bool,
    series: tuple[str, ...],
    skip_existing: bool,
    nproc: int | None,
    options: InferenceOptions,
    as_json: bool,
) -> int:
    """Segment INPUTS (files, folders, datasets, DICOM) with the network of RUN, or the mean of a folder of runs.

    RUN may also be a file of `export`, or the name of a network that a plugin brings (`list-components`).

    Each label volume has the shape, affine and units of its input, and a JSON file beside it that says how it was made.
    An input that cannot be used does not stop the others; the exit code is then 1.
    """
    if (code := launched(nproc)) is not None:
        return code
    from spine_ignite.inference.inputs import collect_jobs
    from spine_ignite.inference.predict_files import Extras, predict_files
    from spine_ignite.inference.predictor import load_predictor
    from spine_ignite.machine.processes import several_processes
    from spine_ignite.ownership import require_unmarked
    from spine_ignite.places import require_apart

    for folder in filter(Path.is_dir, inputs):
        require_apart({"--out": out}, {"input": folder})
    require_unmarked(out)
    with several_processes() as processes:
        predictor = load_predictor(run, options, processes)
        jobs = processes.by_first(lambda: collect_jobs(inputs, out, series))
        notes = _begin(predictor, jobs, processes.count, as_json) if processes.first else []
        results = predict_files(
            predictor,
            jobs,
            extras=Extras(probabilities, uncertainty, dicom_seg),
            skip_existing=skip_existing,
            progress=lambda jobs: progress_bar(jobs, "Predicting"),
            processes=processes,
        )
        if processes.first:
            _conclude(run, inputs, out, predictor, results, notes)
            _tell(results, out, as_json)
    return 1 if any(result.error is not None for result in results) else 0


def _begin(predictor: Predictor, jobs: list[tuple[Path, Path]], processes: int, as_json: bool) -> list[str]:
    """Say what predicts; return what is to be said of the inputs in the end."""
    from spine_ignite.inference.inputs import series_read

    notes = series_read([source for source, _ in jobs])
    shared = [f"{processes} processes share the volumes"] if processes > 1 else []
    for line in [*str(predictor).split("\n"), *shared] if not as_json else ():
        say(line)
    return notes


def _conclude(
    run: Path,
    inputs: tuple[Path, ...],
    out: Path,
    predictor: Predictor,
    results: list[Prediction],
    notes: list[str],
) -> None:
    """Write what belongs to all label volumes together, and say what a reader of them must know."""
    from spine_ignite.crossval.out_of_fold import seen_cases
    from spine_ignite.evaluation.evaluation_entry import record_predictions
    from spine_ignite.inference.inputs import left_out
    from spine_ignite.volumes.label_description import write_tables

    done = [result for result in results if result.error is None]
    if done:
        write_tables(out, predictor.scheme)
        record_predictions(run, "prediction", predictor, (), [result.output for result in done])
    seen = seen_cases(run, [result.source for result in done])
    for note in (*notes, *left_out(inputs), *([seen] if seen else [])):
        say(f"Note: {note}", err=True)


def _tell(results: list[Prediction], out: Path, as_json: bool) -> None:
    failed = [result for result in results if result.error is not None]
    if as_json:
        echo_json(
            [
                {"input": r.source, "output": None if r.error else r.output, "error": r.error, "skipped": r.skipped}
                | {"postprocessing": r.note}
                for r in results
            ]
        )
    else:
        skipped = sum(result.skipped for result in results)
        say(
            f"{counted(len(results) - len(failed) - skipped, 'label volume')} written to {out}"
            + (f", {skipped} were there already" if skipped else "")
        )
        for result in results:
            if result.note is not None:
                say(f"{result.output.name}: {result.note}")
    for result in failed:
        say(f"Error: {result.error}", err=True)
