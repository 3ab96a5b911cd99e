"""``predict`` and ``evaluate`` by one process with a thread for each core, and by one process a core with one thread.

Volumes are phantoms, the network is a UNet with 20 classes and random weights. Commands are run as a user runs them, in
turn; the start of each, which is imports for the most part, is what the same command takes that finds all volumes done,
or has a single pair to judge. A ratio is the median over rounds, so that what else the machine does meanwhile meets
both. Of the label volumes the share of voxels that differ is given: the last bits of a sum depend on the threads.

    python benchmarks/shared_volumes.py --out benchmarks/results/shared_volumes.json
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
from prediction_memory import write_run
from processes import measure, ours, write_json

from spine_ignite.machine.workers import usable_cores
from spine_ignite.phantom import make_phantom

Seconds = dict[str, list[float]]


def write_cases(folder: Path, count: int, slices: int) -> None:
    """Phantoms, their masks, and as predictions these masks moved by a voxel."""
    for number in range(count):
        phantom = make_phantom(0, 0, number, slices)
        moved = np.roll(phantom.label, 1, axis=int(np.argmax(phantom.label.shape)))
        for kind, array in (("scans", phantom.image), ("masks", phantom.label), ("found", moved)):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            nib.save(nib.Nifti1Image(array, phantom.affine), folder / kind / f"case{number}.nii.gz")


def seconds(command: Sequence[object], cores: int, processes: int) -> float:
    """Run a command in one process with all cores, or in several with one each."""
    words = ours(*command, *(["--nproc", processes] if processes > 1 else []))
    return measure(words, {"OMP_NUM_THREADS": str(cores // processes)}, memory=False).wall


def commands(folder: Path, run: Path, out: Path) -> dict[str, list[object]]:
    """What is measured, in this order."""
    predict = ["predict", run, folder / "all" / "scans", "-o", out, "--device", "cpu", "--precision", "fp32"]
    judge, judge_one = (
        ["evaluate", "--predictions", folder / name / "found", "--labels", folder / name / "masks"]
        for name in ("all", "one")
    )
    return {
        "predict": predict,
        "predict, start": [*predict, "--skip-existing"],
        "evaluate": judge,
        "evaluate, start": judge_one,
    }


def compare(folder: Path, options: argparse.Namespace) -> tuple[Seconds, float]:
    """Return the seconds of each command, a figure a round, and the share of voxels that were labelled otherwise."""
    run = write_run(folder / "run", options.width)
    write_cases(folder / "all", options.volumes, options.slices)
    write_cases(folder / "one", 1, options.slices)
    found: Seconds = {}
    for number in range(options.rounds):
        kinds = [1, options.processes]
        for processes in kinds if number % 2 else kinds[::-1]:
            out = folder / f"labels{processes}"
            shutil.rmtree(out, ignore_errors=True)
            for name, command in commands(folder, run, out).items():
                found.setdefault(f"{name}/{processes}", []).append(seconds(command, options.cores, processes))
                print(f"round {number + 1}: {name}, {processes}: {found[f'{name}/{processes}'][-1]:.1f} s", flush=True)
    shares = []
    for path in (folder / "labels1").glob("*.nii.gz"):
        other = folder / f"labels{options.processes}" / path.name
        shares.append(np.mean(np.asarray(nib.load(path).dataobj) != np.asarray(nib.load(other).dataobj)))
    return found, float(np.mean(shares))


def row(name: str, one: Sequence[float], several: Sequence[float]) -> str:
    """A row of the table; the ratio is that of neighbours."""
    ratios = [a / b for a, b in zip(one, several, strict=True)]
    spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    return f"| {name} | {statistics.median(one):.1f} s | {statistics.median(several):.1f} s | {spread} |"


def main() -> None:
    """Measure in turn, compare, print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--volumes", type=int, default=16)
    parser.add_argument("--slices", type=int, default=15)
    parser.add_argument("--width", type=int, default=16, help="of the UNet")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cores", type=int, default=usable_cores())
    parser.add_argument("--processes", type=int, default=usable_cores())
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found, differing = compare(Path(folder), options)
    write_json(options.out, {**vars(options), "out": None, "seconds": found, "differing": differing})
    print(f"\n| command | 1 process, {options.cores} threads | {options.processes} processes | times as fast |")
    print("| --- | --- | --- | --- |")
    for name in ("predict", "evaluate"):
        whole = [found[f"{name}/{processes}"] for processes in (1, options.processes)]
        starts = [found[f"{name}, start/{processes}"] for processes in (1, options.processes)]
        less = [[a - b for a, b in zip(*both, strict=True)] for both in zip(whole, starts, strict=True)]
        print(row(name, *whole))
        print(row(f"{name}, less its start", *less))
    print(f"\nvoxels labelled otherwise: {differing:.1e}")


if __name__ == "__main__":
    main()
