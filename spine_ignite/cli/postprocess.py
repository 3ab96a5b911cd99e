"""``spine-ignite postprocess``."""

from __future__ import annotations

from pathlib import Path

import click

from spine_ignite.cli.options import echo_json, json_option, print_table, progress_bar, say

EPILOG = """\b
Examples:
  spine-ignite postprocess runs/unet
  spine-ignite evaluate runs/unet                       # with what was found
  spine-ignite evaluate runs/unet --postprocess none    # without
"""


@click.command(epilog=EPILOG)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--checkpoint", type=click.Choice(["best", "last"]), default="best", show_default=True)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps.")
@json_option
def command(run: Path, checkpoint: str, device: str, as_json: bool) -> None:
    """Find the anatomical clean-up that helps RUN on its validation cases.

    Each step is tried in turn and kept only if the mean 3D Dice rises. What is kept goes into RUN/postprocess.json, and
    evaluate and predict do it from then on; delete the file to return to the run's configuration.
    """
    from dataclasses import asdict

    from spine_ignite.config.postprocess import parse_step
    from spine_ignite.evaluation.postprocess_search import learn_postprocess

    trials = learn_postprocess(
        run, checkpoint=checkpoint, device=device, progress=lambda items: progress_bar(items, "Trying")
    )
    if as_json:
        echo_json([asdict(trial) for trial in trials])
        return
    rows = []
    for trial in trials:
        meaning = parse_step(trial.step).component.summary
        kept = "kept" if trial.kept else "-"
        rows.append([trial.step, meaning, f"{trial.before:.4f}", f"{trial.after:.4f}", kept])
    print_table("Clean-up on the validation cases", ["step", "what it does", "Dice before", "after", ""], rows)
    steps = [trial.step for trial in trials if trial.kept]
    say(f"{run / 'postprocess.json'}: {', '.join(steps) if steps else 'no step helps, so none is taken'}")
