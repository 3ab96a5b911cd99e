"""``spine-ignite predict``."""

from __future__ import annotations

from pathlib import Path

import click

from spine_ignite.cli.options import echo_json, json_option, postprocess_option, postprocessing, progress_bar

EPILOG = """\b
Examples:
  spine-ignite predict runs/unet scan.nii.gz -o labels
  spine-ignite predict runs/unet dataset -o labels --skip-existing
"""


@click.command(epilog=EPILOG)
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="Folder for the label volumes.")
@click.option("--checkpoint", type=click.Choice(["best", "last"]), default="best", show_default=True)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps.")
@click.option("--precision", type=click.Choice(["auto", "fp32", "bf16", "fp16"]), default="auto", show_default=True)
@click.option("--batch-size", type=click.IntRange(1), default=8, show_default=True, help="Slices in a batch.")
@click.option("--skip-existing", is_flag=True, help="Leave label volumes that are already there.")
@postprocess_option
@json_option
def command(
    run: Path,
    inputs: tuple[Path, ...],
    out: Path,
    checkpoint: str,
    device: str,
    precision: str,
    batch_size: int,
    skip_existing: bool,
    postprocess: tuple[str, ...],
    as_json: bool,
) -> int:
    """Segment INPUTS (files, folders, datasets) with the network of RUN.

    Each label volume has the shape, affine and units of its input. An input that cannot be used does not stop the
    others; the exit code is then 1.
    """
    from spine_ignite.engines.run_directory import open_run_directory
    from spine_ignite.inference.inputs import collect_jobs
    from spine_ignite.inference.postprocess.learned import steps_of_run
    from spine_ignite.inference.predictor import predict

    directory = open_run_directory(run)
    steps = postprocessing(postprocess)
    results = predict(
        directory.best if checkpoint == "best" else directory.last,
        collect_jobs(inputs, out),
        device=device,
        precision=precision,
        batch_size=batch_size,
        skip_existing=skip_existing,
        postprocess=steps_of_run(directory) if steps is None else steps,
        progress=lambda jobs: progress_bar(jobs, "Predicting"),
    )
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
        click.echo(
            f"{len(results) - len(failed) - skipped} label volumes written to {out}"
            + (f", {skipped} were there already" if skipped else "")
        )
        for result in results:
            if result.note is not None:
                click.echo(f"{result.output.name}: {result.note}")
    for result in failed:
        click.echo(f"Error: {result.error}", err=True)
    return 1 if failed else 0
