"""Train for hours in the smallest setting and watch the process: memory, file handles and threads must stay flat.

Phantoms, a small UNet, a loader worker, validation, TensorBoard and a checkpoint in every epoch. The first quarter is
warm-up (caches, allocator); after it the script fits a line to the resident memory of the process and its workers.

    python benchmarks/soak.py --minutes 120 --out benchmarks/results/soak.json
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from processes import family, write_json

from spine_ignite.phantom import write_phantoms

SETTINGS = (
    "data.spacing=[4,4]",
    "data.workers=1",
    "data.batch_size=4",
    "data.validation=0.3",
    "model.width=4",
    "model.depth=4",
    "train.ema=0.9",
    "train.accumulate=2",
    "train.steps_per_epoch=20",
    "threads=1",
)


def sample(root: int) -> tuple[float, int, int]:
    """Resident memory in MB, file handles and threads of a process and its children."""
    memory, handles, threads = 0.0, 0, 0
    for process in family(root):
        try:
            status = Path(f"/proc/{process}/status").read_text()
            handles += len(os.listdir(f"/proc/{process}/fd"))
        except OSError:  # it has just ended
            continue
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        memory += int(fields["RssAnon"].split()[0]) / 1024
        threads += int(fields["Threads"])
    return memory, handles, threads


def main() -> None:
    """Train, watch, print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--every", type=float, default=10, help="seconds between two looks")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_phantoms(folder / "data", 5, 0, num_slices=5)
        settings = (*SETTINGS, f"train.minutes={options.minutes}")
        sets = [word for setting in settings for word in ("--set", setting)]
        words = [sys.executable, "-m", "spine_ignite", "train", "--model", "unet", "--data", str(folder / "data")]
        process = subprocess.Popen([*words, "--out", str(folder / "run"), *sets], stdout=subprocess.DEVNULL)
        start, samples = time.monotonic(), []
        while process.poll() is None:
            samples.append((time.monotonic() - start, *sample(process.pid)))
            time.sleep(options.every)
        if process.returncode:
            sys.exit(f"the training ended with {process.returncode}")
        epochs = len((folder / "run" / "metrics.jsonl").read_text().splitlines())
    report(np.array(samples), epochs, options.minutes, options.out)


def report(samples: np.ndarray, epochs: int, minutes: float, out: Path | None) -> None:
    """Print how much each figure grew after the first quarter."""
    seconds = 60 * minutes  # what comes after is clearing up, which takes its time on a busy machine
    steady = samples[(samples[:, 0] > seconds / 4) & (samples[:, 0] < seconds - 30)]
    hours = steady[:, 0] / 3600
    rows = []
    print(f"{epochs} epochs in {samples[-1, 0] / 60:.0f} minutes; after the first quarter:\n")
    print("| figure | median of the first tenth | of the last tenth | growth per hour (line fitted) |")
    print("| --- | --- | --- | --- |")
    tenth = max(len(steady) // 10, 1)
    for column, title in ((1, "own memory, MB"), (2, "file handles"), (3, "threads")):
        values = steady[:, column]
        first, last = float(np.median(values[:tenth])), float(np.median(values[-tenth:]))
        slope = float(np.polyfit(hours, values, 1)[0])
        rows.append({"figure": title, "first": first, "last": last, "per_hour": slope})
        print(f"| {title} | {first:.1f} | {last:.1f} | {slope:+.2f} |")
    write_json(out, {"epochs": epochs, "rows": rows, "samples": samples.tolist()})


if __name__ == "__main__":
    main()
