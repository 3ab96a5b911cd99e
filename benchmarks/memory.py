"""Peak memory of training and of preprocessing as cases get more: a whole process of the program and its workers.

Training takes the same number of steps on stores of 10, 100 and 1,000 cases and validates on a fifth of them. The cases
are simulated (``simulated_cases.py``: hard links to five phantoms). The arrays are those of the full resolution, of
which a step sees the middle 64 x 64 pixels, so that there are enough steps to read most cases; the network is small.
What is asked is what the cases add, not what a network takes. Preprocessing runs on phantoms that are all rendered.

Memory is that of the process and its loader workers, added up and looked at ten times a second. ``Resident`` is what
each of them has in memory, which counts once for each what they share. ``Own`` counts what is shared once, and leaves
out what is mapped from files (the store, libraries), which the system takes back when it needs memory. Growth is the
slope of a line through the figures. Linux only.

    OMP_NUM_THREADS=1 python benchmarks/memory.py --out benchmarks/results/memory.json
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from processes import family, write_json
from simulated_cases import simulate

from spine_ignite.config import dump_config
from spine_ignite.phantom import write_phantoms

SETTINGS = (
    "data.size=[64,64]",
    "data.batch_size=8",
    "model.width=4",
    "model.depth=4",
    "train.epochs=1",
    "log.pictures_every=0",
    "device=cpu",
    "precision=fp32",
    "threads=1",
)
KINDS = ("resident", "own")


def look(root: int) -> dict[str, float]:
    """Memory in MiB of a process and its children, now."""
    found = dict.fromkeys(KINDS, 0.0)
    for process in family(root):
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]
        except OSError:  # it has just ended
            continue
        fields = {name: rest for name, _, rest in (line.partition(":") for line in lines)}
        for kind, names in (("resident", ("Rss",)), ("own", ("Pss_Anon", "Pss_Shmem"))):
            found[kind] += sum(int(fields.get(name, "0 kB").split()[0]) for name in names) / 1024
    return found


def peak(words: Sequence[str]) -> dict[str, float]:
    """Run the program with these words and return its peaks, in MiB, and the seconds."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "spine_ignite", *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    most = dict.fromkeys(KINDS, 0.0)
    while process.poll() is None:
        now = look(process.pid)
        most = {kind: max(most[kind], now[kind]) for kind in KINDS}
        time.sleep(0.1)
    if process.returncode:
        assert process.stderr is not None
        sys.exit(f"{words[0]} ended with {process.returncode}: {process.stderr.read().strip()}")
    return {**most, "seconds": time.perf_counter() - start}


def train(folder: Path, cases: int, num_slices: int, workers: int, steps: int) -> dict[str, float]:
    config = simulate(
        folder, cases, num_slices, overrides=(*SETTINGS, f"data.workers={workers}", f"train.steps_per_epoch={steps}")
    )
    (folder / "config.yaml").write_text(dump_config(config))
    return peak(["train", "--config", str(folder / "config.yaml"), "--out", str(folder / "run")])


def preprocess(folder: Path, cases: int, num_slices: int) -> dict[str, float]:
    write_phantoms(folder / "data", cases, 0, num_slices=num_slices)
    return peak(["preprocess", str(folder / "data")])


def growth(rows: list[dict[str, Any]], kind: str) -> float:
    """MiB that a further case takes."""
    cases = np.array([row["cases"] for row in rows], float)
    return float(np.polyfit(cases, [row[kind] for row in rows], 1)[0]) if len(rows) > 1 else float("nan")


def report(title: str, rows: list[dict[str, Any]]) -> None:
    """Print a Markdown table."""
    if not rows:
        return
    print(f"\n| {title}, cases | resident MiB | own MiB | seconds |\n| --- | --- | --- | --- |")
    for row in rows:
        print(f"| {row['cases']:,} | {row['resident']:.0f} | {row['own']:.0f} | {row['seconds']:.0f} |")
    slopes = [growth(rows, kind) for kind in KINDS]
    print(f"| growth per case | {slopes[0]:+.3f} | {slopes[1]:+.3f} | |", flush=True)


def main() -> None:
    """Measure, print Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, nargs="*", default=[10, 100, 1000], help="of training")
    parser.add_argument("--slices", type=int, default=6, help="of a case")
    parser.add_argument("--workers", type=int, default=1, help="loader workers of training")
    parser.add_argument("--steps", type=int, default=300, help="training steps")
    parser.add_argument("--preprocess", type=int, nargs="*", default=[10, 40], help="cases of preprocessing")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    found: dict[str, list[dict[str, Any]]] = {"training": [], "preprocessing": []}
    for cases in options.cases:
        with tempfile.TemporaryDirectory() as folder:
            row = train(Path(folder), cases, options.slices, options.workers, options.steps)
        found["training"].append({"cases": cases, **row})
    report("training", found["training"])
    for cases in options.preprocess:
        with tempfile.TemporaryDirectory() as folder:
            row = preprocess(Path(folder), cases, num_slices=3)
        found["preprocessing"].append({"cases": cases, **row})
    report("preprocessing", found["preprocessing"])
    summary = {t: {"rows": rows, "growth": {k: growth(rows, k) for k in KINDS}} for t, rows in found.items()}
    write_json(options.out, {**summary, "workers": options.workers, "steps": options.steps})


if __name__ == "__main__":
    main()
