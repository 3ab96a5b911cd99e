"""How long the program takes to start: ``--help``, the two lists and the first training step, beside nnU-Net's help.

Each is a whole process. The training is that of the default UNet on phantoms that are preprocessed, 8 slices of 224 x
224; a clock in a plugin says when the first step has been done. The programs take turns. Time and memory are measured
in separate turns, since looking at memory takes time.

    python benchmarks/startup.py --out benchmarks/results/startup.json
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from nnunet_data import plugin
from peers import peer
from processes import measure, median, ours, settings, write_json

from spine_ignite.phantom import write_phantoms

GOALS = {
    "spine-ignite --help": 0.2,
    "spine-ignite list-models": 0.3,
    "spine-ignite list-components": 0.3,
    "spine-ignite train, first step": 8.0,
}
TRAIN = "spine-ignite train, first step"


def programs(folder: Path) -> dict[str, list[object]]:
    """Return the command lines."""
    write_phantoms(folder / "data", 4, 0, num_slices=6)
    sets = {
        "data.root": str(folder / "data"),
        "data.size": [224, 224],
        "data.batch_size": 8,
        "data.validation": 0,
        "train.epochs": 1,
        "train.steps_per_epoch": 1,
    }
    train = ours("train", "--model", "unet", "--out", folder / "run", "--force", *settings(sets))
    measure(ours("preprocess", folder / "data"), memory=False)
    return {
        "nnUNetv2_train -h": [peer("nnUNetv2_train"), "-h"],
        "spine-ignite --help": ours("--help"),
        "spine-ignite list-models": ours("list-models"),
        "spine-ignite list-components": ours("list-components"),
        TRAIN: train,
    }


def start(words: list[object], folder: Path, clock: dict[str, str], memory: bool) -> dict[str, Any]:
    """Run a program; of a training the wall time is that of its first step."""
    stamps = folder / "stamps.jsonl"
    stamps.unlink(missing_ok=True)
    environment = {**clock, "BENCHMARK_STAMPS": str(stamps)} if "train" in words else {}
    measured = measure(words, environment, memory=memory)
    wall = measured.wall
    if stamps.is_file():
        wall = json.loads(stamps.read_text().splitlines()[0])["at"] - measured.started
    return {"wall": wall, "cpu": measured.cpu, "pss": measured.pss}


def main() -> None:
    """Measure, print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    runs: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        words = programs(folder)
        clock = plugin(folder / "plugin")
        for title in words:  # once for the page cache, with a look at memory
            runs[title] = [start(words[title], folder, clock, memory=True)]
        memory = {title: found.pop()["pss"] for title, found in runs.items()}
        for _ in range(options.rounds):
            for title in words:
                runs[title].append(start(words[title], folder, clock, memory=False))
    print("| start-up | wall s | CPU s | peak MB (shared counted once) | goal s |\n| --- | --- | --- | --- | --- |")
    for title, found in runs.items():
        wall, cpu = (median(run[key] for run in found) for key in ("wall", "cpu"))
        cpu_text = "" if title == TRAIN else f"{cpu:.2f}"  # its process does more than the first step
        goal = f"{GOALS[title]:g}" if title in GOALS else ""
        print(f"| {title} | {wall:.2f} | {cpu_text} | {memory[title]:.0f} | {goal} |")
    write_json(options.out, {"rounds": options.rounds, "goals": GOALS, "memory": memory, "runs": runs})


if __name__ == "__main__":
    main()
