"""Judge a network on volumes that it was not made for: outlines whatever the names, names, and both.

For each case, by the reference's structures of kind vertebra (whatever else the network labels counts neither way):

- bodies as one: 3D Dice of all vertebrae taken as one structure;
- the same in inner slices: those where the reference has at least half of what its fullest slice has; in others masks
  are often fragments;
- mean over levels: mean of the 3D Dice over the reference's levels;
- named right: in each of the reference's levels, the vertebra that most of its predicted voxels belong to has its name.

Cases whose image was there before are left out. The reference's level at the border of what is labelled counts as any
other.

    python benchmarks/transfer.py RUN T1=folder T2=folder --postprocess levels --out benchmarks/results/transfer.json

A folder is in one of the layouts that ``data.root`` takes; all its cases are judged, or those named by ``--cases``.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from processes import write_json

from spine_ignite.inference.options import InferenceOptions
from spine_ignite.inference.predictor import load_predictor
from spine_ignite.labels import LabelScheme, load_scheme
from spine_ignite.volumes.volume import read_image

Labels = NDArray[np.integer[Any]]


def main() -> None:
    """Predict, judge, print a row for each folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run")
    parser.add_argument("folders", nargs="+", metavar="NAME=FOLDER", help="folders with train/ and test/")
    parser.add_argument("--scheme", default="lumbar-vertebrae", help="of the references")
    parser.add_argument("--postprocess", default=None, help="none, or steps with commas; default: the run's")
    parser.add_argument("--part", choices=("train", "test", "both"), default="both")
    parser.add_argument("--worst", type=int, default=0, help="name so many cases with the lowest mean over levels")
    parser.add_argument("--every", type=int, default=1, help="judge every n-th case")
    parser.add_argument("--checkpoint", default="best")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    print("| cases of | number | bodies as one | in inner slices | mean over levels | columns named right | s a case |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for word in options.folders:
        name, _, folder = word.partition("=")
        cases = list(judge(options, Path(folder)))
        rows.append({"folder": name, "cases": cases})
        keys = ("as_one", "inner", "levels", "seconds")
        one, inner, levels, seconds = (statistics.mean(c[key] for c in cases) for key in keys)
        right = sum(c["right"] for c in cases)
        means = f"{one:.3f} | {inner:.3f} | {levels:.3f}"
        print(f"| {name} | {len(cases)} | {means} | {right}/{len(cases)} | {seconds:.2f} |", flush=True)
        for case in sorted(cases, key=lambda c: c["levels"])[: options.worst]:
            print(f"  {case['case']}: {case['as_one']:.3f} {case['levels']:.3f} {case['names']}")
        write_json(options.out, rows)


def judge(options: argparse.Namespace, root: Path) -> Iterator[dict[str, Any]]:
    """Yield the figures of each case."""
    reference_scheme = load_scheme(options.scheme)
    steps = options.postprocess and tuple(s for s in options.postprocess.split(",") if s != "none")
    how = InferenceOptions(checkpoints=(options.checkpoint,), postprocess=steps, device="cpu")
    predictor = load_predictor(options.run, how)
    seen: set[str] = set()
    for image, mask in list(pairs(root, options.part))[:: options.every]:
        if (voxels := digest(image)) in seen:
            continue
        seen.add(voxels)
        started = time.monotonic()
        predicted = predictor.segment(read_image(image)).values
        seconds = time.monotonic() - started
        figures = compare(predicted, predictor.scheme, np.asarray(nib.load(mask).dataobj), reference_scheme)
        yield {"case": f"{image.parent.parent.name}/{image.name.split('.')[0]}", "seconds": seconds, **figures}


def digest(image: Path) -> str:
    """Return the SHA-256 of an image's voxels."""
    return hashlib.sha256(np.ascontiguousarray(nib.load(image).dataobj).tobytes()).hexdigest()


def pairs(root: Path, part: str) -> Iterator[tuple[Path, Path]]:
    """Yield image and mask of each case of a dataset in the layout of MRSpineSeg."""
    for split in ("train", "test") if part == "both" else (part,):
        numbers = (int(p.name.removeprefix("Case").split(".")[0]) for p in (root / split / "source").glob("Case*"))
        for number in sorted(numbers):
            image = root / split / "source" / f"Case{number}.nii.gz"
            yield image, root / split / "label" / f"mask_case{number}.nii.gz"


def compare(predicted: Labels, scheme: LabelScheme, reference: Labels, of: LabelScheme) -> dict[str, Any]:
    """Return the figures of one case; structures are matched by name."""
    ours = {c.name: c.value for c in scheme.classes if c.kind == "vertebra"}
    theirs = {c.name: c.value for c in of.classes if c.kind == "vertebra"}
    bodies = np.isin(reference, list(theirs.values()))
    found = np.isin(predicted, list(ours.values()))
    # Vertebrae beyond what is labelled are there in the image, but not in the reference.
    above = [name for name in ours if name not in theirs or not (reference == theirs[name]).any()]
    counted = found & ~(np.isin(predicted, [ours[name] for name in above]) & ~bodies)
    per_level, names, right = [], {}, True
    for name, value in theirs.items():
        mine = reference == value
        if not mine.any():
            continue
        here = predicted[mine & found]
        called = int(np.bincount(here).argmax()) if here.size else 0
        names[name] = next((n for n, v in ours.items() if v == called), "-")
        right &= names[name] == name
        per_level.append(dice(mine, predicted == ours.get(name, -1)))
    across = int(np.argmin(reference.shape))
    area = bodies.sum(axis=tuple(axis for axis in range(3) if axis != across))
    inner = np.flatnonzero(area >= area.max() / 2)
    return {
        "as_one": dice(bodies, counted),
        "inner": dice(bodies.take(inner, across), counted.take(inner, across)),
        "levels": statistics.mean(per_level),
        "right": right,
        "names": names,
    }


def dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Return the Dice coefficient of two masks of which one is not empty."""
    return 2 * int((a & b).sum()) / int(a.sum() + b.sum())


if __name__ == "__main__":
    main()
