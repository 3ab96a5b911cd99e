"""How many labelled cases are enough: fine-tuning from a starting network against training from scratch.

For each number of cases and each seed, so many of the training cases are drawn (the same for both starts), a network is
trained on them for a number of updates, and the test cases are judged as :mod:`transfer` does (mean over levels), with
the clean-up of the configuration; a test case whose image is a training case too is left out. No case is held out for
validation: the last network is taken.

    python benchmarks/few_labels.py LUMBAR --cases 3 5 --seeds 0 1 2 --starts ready none

What is in the output file already is not run again, so that it can be stopped and started. ``--cases 0`` takes all.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
from pathlib import Path
from typing import Any

import transfer
from processes import measure as watch
from processes import ours, settings, write_json


def main() -> None:
    """Train and judge what is missing, print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lumbar", type=Path, help="folder with train/ and test/")
    parser.add_argument("--config", type=Path, default=Path("configs/few.yaml"))
    parser.add_argument("--cases", type=int, nargs="+", default=[3, 5])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--starts", nargs="+", default=["ready", "none"], help="values of train.start_from, or none")
    parser.add_argument("--updates", type=int, default=500)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--set", dest="settings", action="append", default=[], help="further settings a.b=c")
    parser.add_argument("--runs", type=Path, default=Path("runs/few"), help="folder for the runs, removed when judged")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/few_labels.json"))
    options = parser.parse_args()
    rows: list[dict[str, Any]] = json.loads(options.out.read_text()) if options.out.exists() else []
    for seed in options.seeds:
        for cases in options.cases:
            for start in options.starts:
                trial = {"data": options.lumbar.name, "cases": cases, "seed": seed, "start": start}
                trial |= {"updates": options.updates, "settings": options.settings, "config": options.config.name}
                if not any(trial.items() <= row.items() for row in rows):
                    rows.append(trial | train(options, cases, seed, start))
                    write_json(options.out, rows)
    show(rows)


def train(options: argparse.Namespace, cases: int, seed: int, start: str) -> dict[str, Any]:
    """Train one network and judge it."""
    names = sorted(image.name.split(".")[0] for image, _ in transfer.pairs(options.lumbar, "train"))
    chosen = sorted(random.Random(seed).sample(names, cases)) if cases else names
    run = options.runs / f"{options.lumbar.name}_{cases}_{seed}_{start.replace('/', '_')}"
    run.parent.mkdir(parents=True, exist_ok=True)
    split = run.with_suffix(".json")
    split.write_text(json.dumps({"training": chosen, "validation": []}))
    epochs = 10
    values: dict[str, Any] = {
        "seed": seed,
        "threads": options.threads,
        "data.split": str(split),
        "train.start_from": None if start == "none" else start,
        "train.minutes": None,
        "train.epochs": epochs,
        "train.steps_per_epoch": options.updates // epochs,
        "train.checkpoint_every": epochs,
    }
    words = ["train", "--config", options.config, "--data", options.lumbar, "--out", run, "--force"]
    extra = [word for setting in options.settings for word in ("--set", setting)]
    watched = watch(ours(*words, *settings(values), *extra), memory=False)
    judged = argparse.Namespace(run=run, checkpoint="best", postprocess=None, scheme="lumbar-vertebrae", every=1)
    judged.part = "test"
    trainable = {transfer.digest(image) for image, _ in transfer.pairs(options.lumbar, "train")}
    again = {image.name for image, _ in transfer.pairs(options.lumbar, "test") if transfer.digest(image) in trainable}
    figures = [
        c for c in transfer.judge(judged, options.lumbar) if f"{c['case'].rpartition('/')[2]}.nii.gz" not in again
    ]
    shutil.rmtree(run)
    return {"seconds": watched.cpu, "training": chosen, "judged": figures}


def show(rows: list[dict[str, Any]]) -> None:
    """Print the mean over test cases, for each seed and over all."""
    print("| data | cases | start | updates | mean over levels, by seed | mean | bodies as one | columns named right |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    keys = ("data", "cases", "start", "updates")
    for key in dict.fromkeys(tuple(row[k] for k in keys) for row in rows):
        mine = [row["judged"] for row in rows if tuple(row[k] for k in keys) == key]
        levels = [statistics.mean(case["levels"] for case in cases) for cases in mine]
        flat = [case for cases in mine for case in cases]
        one, right = statistics.mean(c["as_one"] for c in flat), sum(c["right"] for c in flat)
        by_seed = ", ".join(f"{value:.3f}" for value in levels)
        print(
            f"| {' | '.join(map(str, key))} | {by_seed} | {statistics.mean(levels):.3f} | {one:.3f} "
            f"| {right}/{len(flat)} |"
        )


if __name__ == "__main__":
    main()
