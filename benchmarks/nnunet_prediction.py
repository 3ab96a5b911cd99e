"""Prediction of whole cases by whole programs, side by side with nnU-Net: the same network, the same weights.

The network that nnU-Net plans for the volumes is trained for some minutes by this program, so that it finds vertebrae
and not noise; nnU-Net gets the same weights in a checkpoint of its own. ``nnUNetv2_predict -device cpu`` and
``spine-ignite predict`` then segment the same test volumes. Both see whole slices, since a slice is as large as
nnU-Net's patch. Test-time augmentation is the same four mirrors in both: this program shows those that training had.
Post-processing is off. Dice is that of the two programs' labels, to show that they have done the same work.

    python benchmarks/nnunet_prediction.py DATASET --out benchmarks/results/nnunet_prediction.json
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nnunet_data import Workspace
from peers import HERE, peer
from processes import measure, median, ours, settings, write_json

NNUNET, OURS = "nnU-Net", "spine-ignite"
GOAL_RATIO, GOAL_MB = 3.0, 1200.0


def prepare(work: Workspace, steps: int) -> Path:
    """Train for a few steps, give both programs the weights; return the run."""
    work.plan()
    run = work.folder / "run"
    sets = {
        **work.settings(),
        "optimizer.name": "adamw",
        "optimizer.lr": 1e-3,
        "augment.affine.p": 0,  # a turn is a view of test-time augmentation here, and none of nnU-Net's
        "augment.low_resolution.p": 0,
        "train.steps_per_epoch": steps,
    }
    measure(ours("train", "--out", run, *settings(sets)), work.plugin, memory=False)
    script = HERE / "nnunet_trainer" / "make_model.py"
    measure([peer(), script, work.preprocessed, run / "checkpoints" / "last.pt"], work.nnunet, memory=False)
    return run


def commands(work: Workspace, run: Path, tta: bool) -> dict[str, list[object]]:
    """Return the two programs' command lines; each writes into a folder of its name."""
    nnunet = [peer("nnUNetv2_predict"), "-i", work.test, "-o", work.folder / NNUNET, "-d", 1, "-c", "2d", "-f", 0]
    own = ours("predict", run, work.test, "-o", work.folder / OURS, "--checkpoint", "last", "--postprocess", "none")
    return {
        NNUNET: [*nnunet, "-device", "cpu", *([] if tta else ["--disable_tta"])],
        OURS: [*own, *(["--tta"] if tta else [])],
    }


def agreement(work: Workspace) -> float:
    """Return the mean Dice of the structures between the two programs' labels."""
    found = []
    for path in sorted((work.folder / NNUNET).glob("*.nii.gz")):
        other = work.folder / OURS / path.name.replace(".nii.gz", "_0000.nii.gz")
        one, two = (np.asarray(nib.load(volume).dataobj) for volume in (path, other))
        for value in np.union1d(one, two)[1:]:
            found.append(2 * ((one == value) & (two == value)).sum() / ((one == value).sum() + (two == value).sum()))
    return float(np.mean(found)) if found else float("nan")


def report(title: str, runs: dict[str, list[dict[str, Any]]], dice: float) -> float:
    """Print two rows of a Markdown table; return how many times as fast this program is."""
    ratio = median(a["wall"] / b["wall"] for a, b in zip(runs[NNUNET], runs[OURS], strict=True))
    for name, found in runs.items():
        each, pss = median(run["per_case"] for run in found), median(run["pss"] for run in found)
        last = f"{ratio:.1f} | {GOAL_RATIO:g} times, under {GOAL_MB:.0f} MB | {dice:.3f}" if name == OURS else " | | "
        print(f"| {title} | {name} | {each:.2f} | {pss:.0f} | {last} |", flush=True)
    return ratio


def main() -> None:
    """Measure, print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help="folder with train/ and test/")
    parser.add_argument("--rounds", type=int, default=2, help="without test-time augmentation")
    parser.add_argument("--tta-rounds", type=int, default=1, help="with it, which takes nnU-Net minutes")
    parser.add_argument("--steps", type=int, default=250, help="of the training before")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    figures: dict[str, Any] = {"goals": {"ratio": GOAL_RATIO, "megabytes": GOAL_MB}}
    with tempfile.TemporaryDirectory() as name:
        work = Workspace(Path(name), options.dataset)
        run = prepare(work, options.steps)
        cases = len(list(work.test.iterdir()))
        print(f"| prediction of {cases} cases | program | s per case | peak MB (shared counted once) |", end="")
        print(" times as fast | goal | Dice between the two |\n| --- | --- | --- | --- | --- | --- | --- |")
        for tta, rounds in ((False, options.rounds), (True, options.tta_rounds)):
            runs: dict[str, list[dict[str, Any]]] = {NNUNET: [], OURS: []}
            for _ in range(rounds):
                for program, words in commands(work, run, tta).items():
                    measured = measure(words, {**work.nnunet, **work.plugin} if program == OURS else work.nnunet)
                    runs[program].append({**asdict(measured), "per_case": measured.wall / cases})
            if rounds:
                title = "four mirrors" if tta else "as it is"
                dice = agreement(work)
                figures[title] = {"ratio": report(title, runs, dice), "dice": dice, "runs": runs, "cases": cases}
    write_json(options.out, figures)


if __name__ == "__main__":
    main()
