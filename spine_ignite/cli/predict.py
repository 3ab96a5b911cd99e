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
    from spine_ignite.inference.exam_files import Collected, Exams
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
  spine-ignite predict runs/both t1.nii.gz --contrast t2=t2.nii.gz -o labels   # of a run with data.contrasts
"""


@click.command(epilog=EPILOG)
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("inputs", nargs=-1, type=click.Path(path_type=Path))
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
@click.option(
    "--contrast",
    "named",
    multiple=True,
    metavar="NAME=FILE",
    help="Of a network that sees contrasts: one more image of the exam; may be repeated.",
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
    named: tuple[str, ...],
    skip_existing: bool,
    nproc: int | None,
    options: InferenceOptions,
    as_json: bool,
) -> int:
    """Segment INPUTS (files, folders, datasets, DICOM) with the network of RUN, or the mean of a folder of runs.

    RUN may also be a file of `export`, or the name of a network that a plugin brings (`list-components`).

    Each label volume has the shape, affine and units of its input, and a JSON file beside it that says how it was made.
    An input that cannot be used does not stop the others; the exit code is then 1.

    A network of several contrasts (data.contrasts) takes folders whose files are told by their names, tables (CSV with
    the columns case, contrast, image), or one exam with --contrast.
    """
    if (code := launched(nproc)) is not None:
        return code
    from spine_ignite.inference.channel_numbers import trained_numbers
    from spine_ignite.inference.exam_files import collect
    from spine_ignite.inference.predict_files import Extras, predict_files
    from spine_ignite.inference.predictor import load_predictor
    from spine_ignite.machine.processes import several_processes
    from spine_ignite.ownership import require_unmarked
    from spine_ignite.places import require_apart

    for folder in filter(Path.is_dir, inputs):
        require_apart({"--out": out}, {"input": folder})
    files = _named(named)
    if not inputs and not files:
        raise click.UsageError("Missing argument 'INPUTS...'.")
    require_unmarked(out)
    with several_processes() as processes:
        predictor = load_predictor(run, options, processes)
        numbers = trained_numbers([run, *options.ensemble])
        found = processes.by_first(lambda: collect(predictor.contrasts, inputs, out, series, files, numbers))
        notes = _begin(predictor, found, processes.count, as_json) if processes.first else []
        results = predict_files(
            predictor,
            found.jobs,
            extras=Extras(probabilities, uncertainty, dicom_seg),
            skip_existing=skip_existing,
            progress=lambda jobs: progress_bar(jobs, "Predicting"),
            processes=processes,
            exams=found.exams,
        )
        if processes.first:
            _conclude(run, inputs, out, predictor, results, notes, found.exams)
            _tell(results, out, as_json)
    return 1 if any(result.error is not None for result in results) else 0


def _begin(predictor: Predictor, found: Collected, processes: int, as_json: bool) -> list[str]:
    """Say what predicts; return what is to be said of the inputs in the end."""
    from spine_ignite.inference.inputs import series_read

    notes = [*found.notes, *series_read([source for source, _ in found.jobs])]
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
    exams: Exams,
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
    seen = seen_cases(run, [result.source for result in done], exams)
    for note in (*notes, *left_out(inputs), *([seen] if seen else [])):
        say(f"Note: {note}", err=True)


def _named(values: tuple[str, ...]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for value in values:
        name, _, file = value.partition("=")
        if not name or not file:
            raise click.BadParameter(f"'{value}' is not NAME=FILE, as in t2=scan.nii.gz", param_hint="--contrast")
        if name in files:
            raise click.BadParameter(f"'{name}' is given twice", param_hint="--contrast")
        files[name] = Path(file)
    return files


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
