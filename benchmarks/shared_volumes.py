"""``predict`` by one process with a thread for each core, by one with one thread, and by one process a core.

Volumes are phantoms, the network is a UNet with 20 classes and random weights. The command is run as a user runs it, in
turn; its start, which is imports for the most part, is what it takes when it finds all volumes done. A ratio is the
median over rounds, so that what else the machine does meanwhile meets all. Of the label volumes the share of voxels
that differ is given: the last bits of a sum depend on the threads.

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


def write_scans(folder: Path, count: int, slices: int) -> Path:
    """Phantoms, each another one."""
    folder.mkdir()
    for number in range(count):
        phantom = make_phantom(0, 0, number, slices)
        nib.save(nib.Nifti1Image(phantom.image, phantom.affine), folder / f"scan{number}.nii.gz")
    return folder


def seconds(command: Sequence[object], processes: int, threads: int) -> float:
    """Run a command in so many processes with so many threads each."""
    words = ours(*command, *(["--nproc", processes] if processes > 1 else []))
    return measure(words, {"OMP_NUM_THREADS": str(threads)}, memory=False).wall


def compare(folder: Path, options: argparse.Namespace) -> tuple[dict[str, Seconds], float]:
    """Return the seconds of each kind, a figure a round, and the share of voxels that were labelled otherwise."""
    run, scans = (
        write_run(folder / "run", options.width),
        write_scans(folder / "scans", options.volumes, options.slices),
    )
    kinds = {"threads": (1, options.cores), "alone": (1, 1), "processes": (options.cores, 1)}
    found: dict[str, Seconds] = {kind: {"whole": [], "start": []} for kind in kinds}
    for number in range(options.rounds):
        for kind in list(kinds)[:: 1 if number % 2 else -1]:
            out = folder / kind
            shutil.rmtree(out, ignore_errors=True)
            command = ["predict", run, scans, "-o", out, "--device", "cpu", "--precision", "fp32"]
            for part, words in (("whole", command), ("start", [*command, "--skip-existing"])):
                found[kind][part].append(seconds(words, *kinds[kind]))
                print(f"round {number + 1}, {kind}, {part}: {found[kind][part][-1]:.1f} s", flush=True)
    shares = []
    for path in (folder / "threads").glob("*.nii.gz"):
        other = folder / "processes" / path.name
        shares.append(np.mean(np.asarray(nib.load(path).dataobj) != np.asarray(nib.load(other).dataobj)))
    return found, float(np.mean(shares))


def row(name: str, times: Sequence[float], baseline: Sequence[float]) -> str:
    """A row of the table; the ratio is that of each round."""
    ratios = [a / b for a, b in zip(baseline, times, strict=True)]
    spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    return f"| {name} | {statistics.median(times):.1f} s | {spread} |"


def main() -> None:
    """Measure in turn, compare, print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--volumes", type=int, default=16)
    parser.add_argument("--slices", type=int, default=15)
    parser.add_argument("--width", type=int, default=16, help="of the UNet")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cores", type=int, default=usable_cores(), help="threads of one process, and processes")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found, differing = compare(Path(folder), options)
    write_json(options.out, {**vars(options), "out": None, "seconds": found, "differing": differing})
    names = {
        "threads": f"1 process, {options.cores} threads",
        "alone": "1 process, 1 thread",
        "processes": f"{options.cores} processes, 1 thread each",
    }
    print("\n| predict | seconds | times as fast |\n| --- | --- | --- |")
    for kind, name in names.items():
        print(row(name, found[kind]["whole"], found["threads"]["whole"]))
    work = {
        kind: [whole - start for whole, start in zip(parts["whole"], parts["start"], strict=True)]
        for kind, parts in found.items()
    }
    for kind, name in names.items():
        print(row(f"{name}, less the start", work[kind], work["threads"]))
    print(f"\nvoxels labelled otherwise: {differing:.1e}")


if __name__ == "__main__":
    main()
