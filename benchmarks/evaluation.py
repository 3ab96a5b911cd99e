"""All measures of a case in 20 classes: the evaluator's code against MONAI's metrics called class by class.

The evaluator counts surfaces by area, which is the default, and by voxels, as MONAI does.

Cases are phantoms; a prediction is its reference moved by a pixel, with some of its voxels lost. Both get the arrays in
memory, in turn; what both define is compared as well.

    OMP_NUM_THREADS=1 python benchmarks/evaluation.py --out benchmarks/results/evaluation.json
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from monai.metrics import (
    compute_average_surface_distance,
    compute_dice,
    compute_hausdorff_distance,
    compute_iou,
    compute_surface_dice,
    get_confusion_matrix,
)
from numpy.typing import NDArray

from spine_ignite.evaluation.case_results import CaseResult, evaluate_case
from spine_ignite.labels import LabelScheme, load_scheme
from spine_ignite.phantom import make_phantom

Case = tuple[NDArray[np.uint8], NDArray[np.uint8], tuple[float, ...]]
MEASURES = ("dice", "iou", "recall", "fpr", "hd95", "assd", "nsd")


def make_cases(count: int, scheme: LabelScheme) -> Iterator[Case]:
    for number in range(count):
        phantom = make_phantom(0, 0, number)
        reference = scheme.to_indices(phantom.label)
        prediction = np.roll(reference, 1, axis=int(np.argmax(reference.shape)))
        prediction[np.random.default_rng(number).random(reference.shape) < 0.02] = 0
        yield reference, prediction, tuple(float(n) for n in np.linalg.norm(phantom.affine[:3, :3], axis=0))


def by_monai(case: Case, scheme: LabelScheme) -> dict[str, list[float]]:
    """Every class by itself, as in MONAI's tutorials; a margin keeps the border of the array from being an edge."""
    reference, prediction, spacing = case
    found: dict[str, list[float]] = {name: [] for name in scheme.names}
    for index, name in enumerate(scheme.names[1:], 1):
        if not (reference == index).any() and not (prediction == index).any():
            continue
        y, y_pred = (torch.from_numpy(np.pad(v == index, 1))[None, None].float() for v in (reference, prediction))
        tp, fp, tn, fn = get_confusion_matrix(y_pred, y)[0, 0].tolist()
        space = list(spacing)
        surface = [
            compute_hausdorff_distance(y_pred, y, include_background=True, percentile=95, spacing=space),
            compute_average_surface_distance(y_pred, y, include_background=True, symmetric=True, spacing=space),
            compute_surface_dice(y_pred, y, class_thresholds=[2.0], include_background=True, spacing=space),
        ]
        overlap = [float(compute_dice(y_pred, y)), float(compute_iou(y_pred, y)), tp / (tp + fn), fp / (fp + tn)]
        found[name] = [*overlap, *(float(value) for value in surface)]
    return found


def largest_difference(ours: CaseResult, theirs: dict[str, list[float]]) -> float:
    """Of Dice, IoU, recall and the surface measures; the false-positive rate has another volume in its denominator."""
    worst = 0.0
    for found in ours.classes:
        for name, value in zip(MEASURES, theirs[found.label], strict=True):
            if name != "fpr" and np.isfinite(value):
                worst = max(worst, abs(value - getattr(found, name)))
    return worst


def main() -> None:
    """Measure, compare, print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=40)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    scheme = load_scheme("mrspineseg")
    seconds = {"area": 0.0, "ours": 0.0, "monai": 0.0}
    worst = 0.0
    for case in make_cases(options.cases, scheme):
        start = time.perf_counter()
        evaluate_case("case", *case, scheme)
        seconds["area"] += time.perf_counter() - start
        start = time.perf_counter()
        ours = evaluate_case("case", *case, scheme, surfaces="voxels")
        middle = time.perf_counter()
        theirs = by_monai(case, scheme)
        seconds["ours"] += middle - start
        seconds["monai"] += time.perf_counter() - middle
        worst = max(worst, largest_difference(ours, theirs))
    print("| cases | by area, s | by voxels, s | MONAI per class, s | times as fast | largest difference |")
    print("| --- | --- | --- | --- | --- | --- |")
    ratio = seconds["monai"] / seconds["ours"]
    print(
        f"| {options.cases} | {seconds['area']:.2f} | {seconds['ours']:.2f} | {seconds['monai']:.2f} | {ratio:.1f} "
        f"| {worst:.1e} |"
    )
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        figures = {"cases": options.cases, **seconds, "ratio": ratio, "largest_difference": worst}
        options.out.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
