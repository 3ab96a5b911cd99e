"""Preprocessing as a whole process, side by side with nnU-Net, on the same raw folder of real volumes.

``nnUNetv2_plan_and_preprocess -c 2d`` runs with its own number of processes and with as many as there are cores; its
better one counts. ``spine-ignite preprocess`` checks every volume and converts it. The programs take turns.

    python benchmarks/nnunet_preprocessing.py DATASET --out benchmarks/results/nnunet_preprocessing.json
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nnunet_data import Workspace
from peers import peer
from processes import measure, median, ours, settings, write_json

GOAL_RATIO, GOAL_MB = 3.0, 1000.0


def main() -> None:
    """Measure, print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help="folder with train/ and test/")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    nnunet = [peer("nnUNetv2_plan_and_preprocess"), "-d", 1, "-c", "2d"]
    cores = len(os.sched_getaffinity(0))
    found: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as name:
        work = Workspace(Path(name), options.dataset)
        programs = {
            "nnUNetv2_plan_and_preprocess": nnunet,
            f"nnUNetv2_plan_and_preprocess -np {cores}": [*nnunet, "-np", cores, "-npfp", cores],
            "spine-ignite preprocess": ours("preprocess", work.raw, *settings(work.store_settings())),
        }
        for _ in range(options.rounds):
            for title, words in programs.items():
                shutil.rmtree(work.preprocessed, ignore_errors=True)
                shutil.rmtree(work.folder / "store", ignore_errors=True)
                found.setdefault(title, []).append(asdict(measure(words, work.nnunet)))
        cases = len(list((work.raw / "imagesTr").iterdir()))
    *theirs, (own_title, own) = found.items()
    best_title, best = min(theirs, key=lambda row: median(run["wall"] for run in row[1]))
    ratio = median(a["wall"] / b["wall"] for a, b in zip(best, own, strict=True))
    print(f"| preprocessing of {cases} cases | wall s | CPU s | peak MB (shared counted once) | times as fast | goal |")
    print("| --- | --- | --- | --- | --- | --- |")
    for title, runs in found.items():
        wall, cpu, pss = (median(run[key] for run in runs) for key in ("wall", "cpu", "pss"))
        last = f"{ratio:.1f} | {GOAL_RATIO:g} times as fast, under {GOAL_MB:.0f} MB" if title == own_title else " | "
        print(f"| {title} | {wall:.1f} | {cpu:.1f} | {pss:.0f} | {last} |")
    print(f"\nThe ratio is that to `{best_title}`: the median of {options.rounds} rounds.")
    goals = {"ratio": GOAL_RATIO, "megabytes": GOAL_MB}
    write_json(options.out, {"cases": cases, "cores": cores, "ratio": ratio, "goals": goals, "runs": found})


if __name__ == "__main__":
    main()
