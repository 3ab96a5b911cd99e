"""Every installed architecture from end to end, through the command line, and what each costs.

Each one, with its default options, is trained on phantoms for two epochs, resumed for a third, and predicts a volume;
then its parameters, FLOPs, latency and peak memory are measured. A failure is a row of the table, not the end of it.

    python benchmarks/every_model.py --out benchmarks/results/every_model.json
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from spine_ignite.errors import SpineIgniteError
from spine_ignite.models import list_models
from spine_ignite.phantom import write_phantoms
from spine_ignite.profiling import profile_model

SETTINGS = [
    "data.spacing=[3.0, 3.0]",
    "data.batch_size=2",
    "data.validation=0.0",
    "train.epochs=2",
    "train.steps_per_epoch=2",
    "log.tensorboard=false",
]


def command(*arguments: object) -> None:
    """Run ``spine-ignite`` and stop with its message where it fails."""
    words = [sys.executable, "-m", "spine_ignite", *map(str, arguments)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SpineIgniteError(f"{arguments[0]}: {(done.stderr or done.stdout).strip().splitlines()[-1]}")


def from_end_to_end(name: str, data: Path, folder: Path) -> str:
    """Train, resume and predict; return what happened."""
    run = folder / name
    try:
        overrides = [word for setting in SETTINGS for word in ("--set", setting)]
        command("train", "--model", name, "--data", data, "--out", run, *overrides)
        command("train", "--resume", run, "--set", "train.epochs=3")
        command("predict", run, data / "test" / "source", "-o", folder / f"{name}_labels", "--checkpoint", "last")
    except SpineIgniteError as error:
        return str(error)
    image = next((data / "test" / "source").glob("*.nii.gz"))
    (labels,) = (nib.load(path) for path in (folder / f"{name}_labels").glob("*.nii.gz"))
    same = labels.shape == nib.load(image).shape and np.array_equal(labels.affine, nib.load(image).affine)
    return "yes" if same else f"predicted {labels.shape}"


def main() -> None:
    """Run and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    parser.add_argument("--size", type=int, default=224, help="rows and columns of the slice that is profiled")
    parser.add_argument("--models", nargs="*", help="these alone")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    print("| model | M parameters | GFLOPs | latency ms | memory MiB | trains, resumes, predicts | s |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        write_phantoms(data, train=2, test=1, num_slices=3)
        for spec in list_models():
            if options.models and spec.name not in options.models:
                continue
            start = time.perf_counter()
            works = from_end_to_end(spec.name, data, Path(folder))
            seconds = time.perf_counter() - start
            cost = profile_model(spec.name, size=(options.size, options.size), repeats=5)
            rows.append({**dataclasses.asdict(cost), "works": works, "seconds": seconds})
            print(
                f"| {spec.name} | {cost.parameters / 1e6:.3f} | {cost.gflops:.1f} | {cost.latency_ms:.0f} "
                f"| {cost.memory_mib:.0f} | {works} | {seconds:.0f} |",
                flush=True,
            )
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps({"size": options.size, "models": rows}, indent=2))


if __name__ == "__main__":
    main()
