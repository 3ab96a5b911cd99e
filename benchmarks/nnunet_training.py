"""Seconds per training step of whole programs, side by side with nnU-Net: the same network, volumes, batch and patch.

The network is the one that nnU-Net plans for the volumes (PlainConvUNet with deep supervision), trained by
``nnUNetv2_train -device cpu`` and by ``spine-ignite train`` through a plugin, with nnU-Net's transforms and rates of
augmentation, Dice and cross-entropy, SGD with momentum 0.99. Both programs run with their own defaults: nnU-Net in fp32
with its processes for augmentation, this one in the precision that it chooses and once more in fp32. A clock in each
writes the end of every iteration; the first ones are warm-up. The programs take turns.

After its steps this program trains on, in the same process, on batches in memory and with nothing around: no reading,
augmentation, records. ``of a bare loop`` is the share of the bare loop's rate that the whole program has, and ``without
augmentation`` the same for a program that was run with ``augment.enabled=false``.

    python benchmarks/nnunet_training.py DATASET --out benchmarks/results/nnunet_training.json
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

from nnunet_data import BATCH, PATCH, Workspace
from peers import peer
from processes import measure, median, ours, settings, write_json

WARM_UP = 3  # iterations
NNUNET, AUTO, FP32, PLAIN = "nnU-Net", "spine-ignite", "spine-ignite, fp32", "spine-ignite, without augmentation"
GOALS = {AUTO: 3.0, FP32: 1.15}
GOAL_OF_BARE = 0.98


def train(work: Workspace, title: str, steps: int) -> dict[str, Any]:
    """Run a program; return its seconds per step, of the bare loop after it, and its memory."""
    stamps = work.folder / "stamps.jsonl"
    stamps.unlink(missing_ok=True)
    environment = {"BENCHMARK_STAMPS": str(stamps), "BENCHMARK_STEPS": str(steps)}
    if title == NNUNET:
        words = [peer("nnUNetv2_train"), 1, "2d", 0, "-device", "cpu", "-tr", "TimedTrainer", "--disable_checkpointing"]
        measured = measure(words, {**work.nnunet, **environment})
    else:
        sets = {**work.settings(), "train.steps_per_epoch": steps, "precision": "fp32" if title == FP32 else "auto"}
        if title == PLAIN:
            sets["augment.enabled"] = False
        words = ours("train", "--out", work.folder / "run", "--force", *settings(sets))
        measured = measure(words, {**work.plugin, **environment, "BENCHMARK_BARE": "" if title == FP32 else "1"})
    marks: dict[str, list[float]] = {"step": [], "bare": []}
    for line in stamps.read_text().splitlines():
        mark = json.loads(line)
        marks.setdefault(mark["kind"], []).append(mark["at"])
    seconds = {kind: [b - a for a, b in pairwise(times)] for kind, times in marks.items()}
    return {
        **asdict(measured),
        "first_step": marks["step"][0] - measured.started,
        "step": seconds["step"][WARM_UP - 1 :],
        "bare": seconds["bare"],
    }


def report(runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Print a Markdown table; return the ratios."""
    nnunet = [median(run["step"]) for run in runs[NNUNET]]
    ratios: dict[str, Any] = {}
    print(
        f"| training, batch {BATCH} at {PATCH[0]} x {PATCH[1]} | s per step | steps per nnU-Net's step | goal |", end=""
    )
    print(" of a bare loop | goal | first step after s | peak MB (shared counted once) |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for title, found in runs.items():
        each = [median(run["step"]) for run in found]
        ratio = median(a / b for a, b in zip(nnunet, each, strict=True))
        bare = median(median(run["bare"]) / median(run["step"]) for run in found if run["bare"])
        ratios[title] = {"of_nnunet": ratio, "of_bare_loop": bare}
        goal = f"{GOALS[title]:g}" if title in GOALS else ""
        of_bare = f"{bare:.3f} | {GOAL_OF_BARE:g}" if bare == bare else " | "
        first, pss = (median(run[key] for run in found) for key in ("first_step", "pss"))
        print(f"| {title} | {median(each):.2f} | {ratio:.2f} | {goal} | {of_bare} | {first:.1f} | {pss:.0f} |")
    return ratios


def main() -> None:
    """Measure, print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help="folder with train/ and test/")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument(
        "--steps", type=int, default=12, help=f"of each program in a round; the first {WARM_UP} are left out"
    )
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    runs: dict[str, list[dict[str, Any]]] = {title: [] for title in (NNUNET, AUTO, FP32, PLAIN)}
    with tempfile.TemporaryDirectory() as name:
        work = Workspace(Path(name), options.dataset)
        work.plan()
        measure(ours("preprocess", work.raw, *settings(work.store_settings())))
        for _ in range(options.rounds):
            for title, found in runs.items():
                found.append(train(work, title, options.steps))
    ratios = report(runs)
    write_json(
        options.out, {"steps": options.steps, "warm_up": WARM_UP, "ratios": ratios, "goals": GOALS, "runs": runs}
    )


if __name__ == "__main__":
    main()
