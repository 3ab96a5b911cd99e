"""Train the same small run again and again: same seed, same machine, same weights, whatever the number of workers.

Augmentation, a TorchIO transform, dropout, averaged weights and accumulated gradients are on; whole slices and patches.
Every tensor and number of ``last.pt`` and ``best.pt`` (weights, averages, optimizer) is compared, bit for bit, with
those of the first run. Two threads may add in another order than one; what that changes is told, but is no failure.

    python benchmarks/determinism.py --out benchmarks/results/determinism.json
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from kills import differing, leaves

from spine_ignite.config import RunConfig, load_config
from spine_ignite.phantom import write_phantoms
from spine_ignite.training.run import train

SETTINGS = (
    "data.spacing=[4,4]",
    "data.batch_size=4",
    "data.validation=0.3",
    "data.context_slices=1",
    "model.name=unet",
    "model.width=4",
    "model.depth=3",
    "model.dropout=0.3",
    "augment.affine.p=1",
    "augment.torchio=[{RandomBlur: {}}, {RandomNoise: {}}]",
    "train.epochs=2",
    "train.steps_per_epoch=4",
    "train.accumulate=2",
    "train.ema=0.9",
    "precision=fp32",
    "log.tensorboard=false",
)
SAMPLING = {
    "slices": ("data.sampling=slices",),
    "patches": ("data.sampling=patches", "data.patch.size=[32,32]", "data.patch.samples_per_volume=4"),
}


def main() -> None:
    """Train, compare, print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2, 4])
    parser.add_argument("--times", type=int, default=2, help="that each number of workers is trained with")
    parser.add_argument("--threads", type=int, default=2, help="compared with one; 1: no comparison")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    print("| sampling | workers | threads | runs | tensors and numbers | different | largest difference of a weight |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_phantoms(folder / "data", 4, 0, num_slices=5)
        for sampling in SAMPLING:
            first = run(folder, sampling, options.workers[0], 1, "first")
            for workers in options.workers:
                others = range(1 if workers == options.workers[0] else 0, options.times)
                runs = [run(folder, sampling, workers, 1, f"{workers}-{number}") for number in others]
                rows.append(compare(first, runs, sampling, workers, 1))
            if options.threads > 1:
                runs = [
                    run(folder, sampling, 0, options.threads, f"threads-{number}") for number in range(options.times)
                ]
                rows.append(compare(first, runs, sampling, 0, options.threads))
                among = compare(runs[0], runs[1:], sampling, 0, options.threads, " (among themselves)")
                rows.append(among)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(rows, indent=2) + "\n")
    sys.exit(1 if any(row["different"] for row in rows if row["threads"] == 1) else 0)


def run(folder: Path, sampling: str, workers: int, threads: int, name: str) -> Path:
    """Train once and return the run directory."""
    out = folder / f"{sampling}-{name}"
    train(config(folder, sampling, workers, threads), out, echo=lambda _: None)
    return out


def config(folder: Path, sampling: str, workers: int, threads: int) -> RunConfig:
    """The configuration of a run."""
    here = (f"data.root={folder / 'data'}", f"data.cache={folder / 'cache'}")
    return load_config(None, [*SETTINGS, *SAMPLING[sampling], *here, f"data.workers={workers}", f"threads={threads}"])


def compare(
    first: Path, runs: list[Path], sampling: str, workers: int, threads: int, remark: str = ""
) -> dict[str, Any]:
    """Compare runs with the first, print a row and return it."""
    different = sum(len(differing(first, other)) for other in runs)
    checkpoints = ("last.pt", "best.pt")
    total = sum(len(dict(leaves(load(first, name)))) for name in checkpoints) * len(runs)
    largest = max((distance(first, other) for other in runs), default=0.0)
    print(
        f"| {sampling} | {workers} | {threads}{remark} | {len(runs)} | {total} | {different} | {largest:.2g} |",
        flush=True,
    )
    return {
        "sampling": sampling,
        "workers": workers,
        "threads": threads,
        "runs": len(runs),
        "compared": total,
        "different": different,
        "largest": largest,
    }


def distance(one: Path, two: Path) -> float:
    """Largest absolute difference of a weight in two runs' last checkpoints."""
    first, second = load(one, "last.pt")["model"], load(two, "last.pt")["model"]
    return max(float((first[name].double() - second[name].double()).abs().max()) for name in first)


def load(run_directory: Path, name: str) -> dict[str, Any]:
    """Read a checkpoint."""
    checkpoint: dict[str, Any] = torch.load(run_directory / "checkpoints" / name, weights_only=True)
    return checkpoint


if __name__ == "__main__":
    main()
