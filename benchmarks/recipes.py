"""Compare recipes by cross-validation on the training cases: the test cases are never read.

Each trial trains with the base configuration and its own settings on all folds but one, and is judged on the cases of
that fold: mean 3D Dice and HD95, as predicted and with the levels put in order, and the Dice of all structures taken as
one, which says how good the outline is whatever the names. Trials with the same number of updates
are compared by accuracy alone; the column of processor seconds says what they cost, whatever else the machine does.

    python benchmarks/recipes.py LUMBAR --epochs 30 --folds 0 1 --trial "" --trial "data.spacing=[3,3]"
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from processes import measure as watch
from processes import ours, write_json

NUMBER_OF_FOLDS = 4
STEPS = ("none", "levels")


def main() -> None:
    """Train, judge, print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lumbar", type=Path, help="folder with train/ and test/")
    parser.add_argument("--config", type=Path, default=Path("configs/lumbar.yaml"), help="what the trials change")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--folds", type=int, nargs="+", default=[0], choices=range(NUMBER_OF_FOLDS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--trial", action="append", default=[], help="settings a.b=c with blanks between; repeat it")
    parser.add_argument("--out", type=Path, help="write the figures as JSON, after each trial")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    print("| settings | fold | updates | processor s | plain | with levels in order | all as one |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for trial in options.trial or [""]:
            for fold in options.folds:
                row = measure(options, trial, fold, Path(folder))
                rows.append(row)
                shown = " | ".join(f"{row[step]['dice']:.3f}, {row[step]['hd95']:.1f}" for step in STEPS)
                cost = f"{row['updates']} | {row['seconds']:.0f}"
                print(f"| {trial or 'as it is'} | {fold} | {cost} | {shown} | {row['as_one']:.3f} |", flush=True)
                write_json(options.out, rows)
            mine = [row for row in rows if row["trial"] == trial]
            if len(mine) > 1:
                means = " | ".join(
                    f"{statistics.mean(r[step]['dice'] for r in mine):.3f}, "
                    f"{statistics.mean(r[step]['hd95'] for r in mine):.1f}"
                    for step in STEPS
                )
                seconds, as_one = (statistics.mean(r[key] for r in mine) for key in ("seconds", "as_one"))
                print(f"| mean | | | {seconds:.0f} | {means} | {as_one:.3f} |", flush=True)


def measure(options: argparse.Namespace, trial: str, fold: int, folder: Path) -> dict[str, Any]:
    """Train one trial on one fold and judge it."""
    run = folder / "run"
    common = [f"data.folds={NUMBER_OF_FOLDS}", f"data.fold={fold}", f"data.cache={folder / 'cache'}"]
    length = [f"train.epochs={options.epochs}", "train.minutes=null", f"threads={options.threads}"]
    rare = [f"train.{what}_every={options.epochs}" for what in ("validate", "checkpoint")]
    settings = [*common, *length, *rare, *trial.split()]
    sets = [word for setting in settings for word in ("--set", setting)]
    words = ["train", "--config", str(options.config), "--data", str(options.lumbar), "--out", str(run), "--force"]
    trained = watch(ours(*words, *sets), memory=False)
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    row: dict[str, Any] = {
        "trial": trial,
        "fold": fold,
        "updates": last["iteration"],
        "seconds": trained.cpu,
    }
    for step in STEPS:
        judged = folder / f"judged-{step}"
        words = ["evaluate", str(run), "--split", "validation", "--checkpoint", "last", "--postprocess", step]
        watch(ours(*words, "-o", judged), memory=False)
        summary = json.loads((judged / "summary.json").read_text())
        row[step] = {"dice": summary["means"]["dice"], "hd95": summary["means"]["hd95"]}
    row["as_one"] = dice_as_one(folder / f"judged-{STEPS[0]}" / "confusion.csv")
    return row


def dice_as_one(confusion: Path) -> float:
    """Return the mean over cases of the Dice of all structures taken as one."""
    counts: dict[str, list[int]] = {}
    with confusion.open(newline="") as file:
        for line in csv.DictReader(file):
            count = counts.setdefault(line["case"], [0, 0])
            inside = [line[side] != "background" for side in ("reference", "prediction")]
            count[0] += 2 * all(inside) * int(line["voxels"])
            count[1] += sum(inside) * int(line["voxels"])
    return statistics.mean(both / total for both, total in counts.values())


if __name__ == "__main__":
    main()
