"""What phantoms that are drawn while training goes on cost: steps per second with and without them.

    python benchmarks/phantom_rows.py DATA --phantoms 4 8 16

On one thread and in one process, in seconds of processor time, which a busy machine does not change much. Epochs of
each setting take turns; the ratio to training without phantoms is the median of the rounds' ratios. Nothing is
validated or saved.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from spine_ignite.config import load_config
from spine_ignite.training.prepare import prepare
from spine_ignite.training.setup import Run, build


def build_run(arguments: argparse.Namespace, phantoms: int) -> Run:
    settings = {"data.root": arguments.data, "data.phantoms": phantoms, "data.workers": 0, "threads": 1}
    overrides = [f"{key}={value}" for key, value in settings.items()] + arguments.set
    return build(prepare(load_config(arguments.config, overrides)))


def epoch_seconds(run: Run, number: int) -> float:
    """Train one epoch, the first being number 0; return processor time."""
    steps = run.data.training.steps_per_epoch
    run.data.training.start_at(number * steps)
    started = time.process_time()
    run.trainer.run(run.data.training.loader, max_epochs=number + 1, epoch_length=steps)
    return time.process_time() - started


def measure(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    runs = {count: build_run(arguments, count) for count in sorted({0, *arguments.phantoms})}
    for run in runs.values():
        epoch_seconds(run, 0)
    times: dict[int, list[float]] = {count: [] for count in runs}
    for number in range(1, arguments.rounds + 1):
        for count, run in runs.items():
            times[count].append(epoch_seconds(run, number))
    rows = []
    for count, run in runs.items():
        steps, drawn = run.data.training.steps_per_epoch, run.data.phantoms
        ratios = [own / plain for own, plain in zip(times[count], times[0], strict=True)]
        share = count * drawn.slices / (steps * drawn.batch_size) if drawn is not None else 0.0
        each = statistics.median(times[count]) / steps
        rows.append({"phantoms": count, "share": share, "step_seconds": each, "ratio": statistics.median(ratios)})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="dataset folder")
    parser.add_argument("--config", type=Path, default=Path("configs/demo.yaml"), help="the recipe")
    parser.add_argument("--set", action="append", default=[], help="KEY=VALUE, changes to it")
    parser.add_argument("--phantoms", type=int, nargs="+", default=[4, 8, 16], help="of an epoch")
    parser.add_argument("--rounds", type=int, default=3, help="epochs of each that count")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    rows = measure(arguments)
    table = Table(title=f"Training with phantoms, {torch.get_num_threads()} thread")
    for column in ("phantoms an epoch", "share of slices", "steps/s", "time"):
        table.add_column(column, justify="right")
    for row in rows:
        steps = f"{1 / row['step_seconds']:.2f}"
        table.add_row(str(row["phantoms"]), f"{row['share']:.0%}", steps, f"x {row['ratio']:.2f}")
    Console().print(table)
    if arguments.out:
        arguments.out.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
