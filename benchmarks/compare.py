"""The whole process of ``spine-ignite compare`` on 12 runs of 40 cases and 19 structures, on one core.

The evaluations are synthetic, in the files that ``spine-ignite evaluate`` writes. ``--no-cost`` leaves FLOPs and
latency out; with costs they come from what an earlier comparison measured, which is made first and not counted. The
goal is 20 seconds.

    python benchmarks/compare.py --out benchmarks/results/compare.json
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spine_ignite.config import dump_config, load_config
from spine_ignite.evaluation.case_results import CaseResult, ClassResult
from spine_ignite.evaluation.table_files import write_tables
from spine_ignite.evaluation.tables import Summary
from spine_ignite.labels import load_scheme

GOAL = 20.0  # seconds


def class_result(case: str, label: str, dice: float) -> ClassResult:
    """A structure of 5000 voxels in a million, as many wrongly found as missed; Dice 0 is a missed one."""
    missed = dice == 0
    hit = 5000 * dice
    wrong = 0.0 if missed else 5000 - hit
    return ClassResult(
        case=case,
        label=label,
        dice=dice,
        iou=dice / (2 - dice),
        precision=math.nan if missed else dice,
        recall=dice,
        fnr=1 - dice,
        fpr=wrong / 995_000,
        hd95=math.nan if missed else 30 * (1 - dice),
        assd=math.nan if missed else 6 * (1 - dice),
        nsd=dice,
        volume_reference=5.0,
        volume_prediction=0.0 if missed else 5.0,
        volume_error=-1.0 if missed else 0.0,
    )


def evaluation(dice: NDArray[np.float64]) -> Summary:
    """An evaluation with this Dice in each case and structure; NaN is an absent structure."""
    scheme = load_scheme("mrspineseg")
    cases = []
    for number, row in enumerate(dice, 1):
        name = f"Case{number}"
        results = [
            class_result(name, label, float(value))
            for label, value in zip(scheme.names[1:], row, strict=True)
            if not math.isnan(value)
        ]
        confusion = np.diag(np.arange(1, scheme.num_classes + 1))
        accuracy = 1 - sum(result.fpr for result in results)
        cases.append(CaseResult(name, accuracy, tuple(results), 1.0, 0, f"mask{number}", confusion))
    return Summary(tuple(cases), scheme.names, settings={"scheme": scheme.name, "checkpoint": "best.pt"})


def build(folder: Path, runs: int, cases: int) -> list[Path]:
    """Write run directories, each with another U-Net and a test evaluation."""
    rng = np.random.default_rng(0)
    structures = load_scheme("mrspineseg").num_classes - 1
    hard = rng.beta(2, 20, (cases, 1))
    absent = rng.random((cases, structures)) < 0.1
    paths = []
    for number in range(runs):
        dice = (0.97 - 0.004 * number - hard + rng.normal(0, 0.02, (cases, structures))).clip(0.01, 0.999)
        dice[rng.random(dice.shape) < 0.01] = 0
        dice[absent] = math.nan
        path = folder / f"unet_width{4 + number}"
        write_tables(evaluation(dice), path / "evaluation" / "test")
        config = load_config(None, [f"model.width={4 + number}", "model.depth=4", "data.size=[128,128]"])
        (path / "config.yaml").write_text(dump_config(config))
        paths.append(path)
    return paths


def on_one_core() -> None:
    """Confine the process to one of the cores that this one may use, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def measure(paths: list[Path], out: Path, *options: str) -> tuple[float, float]:
    """Wall and CPU seconds of a comparison, from the start of the interpreter to its end."""
    command = [sys.executable, "-m", "spine_ignite", "compare", *map(str, paths), "-o", str(out), *options]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment, preexec_fn=on_one_core)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Run and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    parser.add_argument("--runs", type=int, default=12)
    parser.add_argument("--cases", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    rows = []
    print(f"| {options.runs} runs, {options.cases} cases | wall s (median, most) | CPU s | goal s |")
    print("| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        paths = build(Path(folder), options.runs, options.cases)
        for title, *flags in (("without costs", "--no-cost"), ("with costs from before",)):
            if not flags:
                measure(paths, Path(folder) / "out")
            times = [measure(paths, Path(folder) / "out", *flags) for _ in range(options.repeats)]
            wall, cpu = [first for first, _ in times], [second for _, second in times]
            rows.append({"what": title, "wall_s": wall, "cpu_s": cpu})
            figures = f"{statistics.median(wall):.1f}, {max(wall):.1f} | {statistics.median(cpu):.1f}"
            print(f"| {title} | {figures} | {GOAL:g} |", flush=True)
    if options.out:
        record = {"runs": options.runs, "cases": options.cases, "goal_s": GOAL, "measured": rows}
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
