from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np

from spine_ignite.evaluation.judge import evaluate_folders
from spine_ignite.labels import load_scheme

Writer = Callable[..., Path]
SCHEME = load_scheme("lumbar-vertebrae")


def test_a_prediction_is_judged_alike_in_every_order_of_voxels(tmp_path: Path, write_volume: Writer) -> None:
    """All 48 orders of axes and directions, as programs store one space; figures do not change by a bit."""
    rng = np.random.default_rng(0)
    reference = np.kron(rng.choice([0, 2, 3, 4], (3, 4, 2)), np.ones((2, 2, 2))).astype(np.uint8)
    found = np.where(rng.random(reference.shape) < 0.2, np.roll(reference, 2), reference)
    first = nib.load(write_volume(tmp_path / "first.nii.gz", found, spacing=(0.7, 0.9, 4)))
    (tmp_path / "predictions").mkdir()
    for number, (axes, signs) in enumerate(
        itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3))
    ):
        image = first.as_reoriented(np.array(list(zip(axes, signs, strict=True))))
        nib.save(image, tmp_path / "predictions" / f"{number}.nii.gz")
        write_volume(tmp_path / "labels" / f"{number}.nii.gz", reference, spacing=(0.7, 0.9, 4))
    summary = evaluate_folders(tmp_path / "predictions", tmp_path / "labels", SCHEME)
    assert len(summary.cases) == 48
    assert 0.3 < summary.cases[0].dice < 0.9
    assert len({repr((case.accuracy, [replace(c, case="") for c in case.classes])) for case in summary.cases}) == 1
