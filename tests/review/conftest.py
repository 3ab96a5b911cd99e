"""A small cohort: columns of a sacrum, four vertebrae and their discs, with and without certificates."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spine_ignite.inference.levels.record import levels_file
from spine_ignite.inference.records import write_record

# What a record of a prediction has beside hashes.
MADE = {"image": "scan.nii.gz", "image_sha256": "0" * 64, "members": [], "postprocess": ["levels"]}
Writer = Callable[..., Path]


def certificate(verdict: str, posterior: float, **column: Any) -> dict[str, Any]:
    return {
        "format": 1,
        "scheme": "mrspineseg",
        "instances": [{"id": 1, "kind": "vertebra", "level": "L5", "probability": posterior, "flags": ["cut off"]}],
        "column": {
            "posterior": posterior,
            "verdict": verdict,
            "risk": 0.02,
            "calibration": "uncalibrated",
            "reasons": [],
            "alternatives": [{"lowest": "L6", "posterior": 0.05}],
            **column,
        },
    }


@pytest.fixture(scope="session")
def write_cohort(write_volume: Writer) -> Callable[..., tuple[Path, Path]]:
    """``write_cohort(root, {"Case1": certificate or None})`` writes ``labels`` and ``images``; returns both.

    Of 60 x 110 x 6 voxels of 1 x 1 x 4 mm; array axes point to P, S, R. The levels are S, L5 to L2 and L5/S to L2/L3.
    """

    def write(root: Path, cases: dict[str, dict[str, Any] | None]) -> tuple[Path, Path]:
        rng = np.random.default_rng(3)
        label = np.zeros((60, 110, 6), np.uint8)
        for value, low, high in ((1, 4, 18), (2, 22, 36), (3, 42, 56), (4, 62, 76), (5, 82, 96)):
            label[20:45, low:high, 1:5] = value
        for value, low, high in ((11, 18, 22), (12, 36, 42), (13, 56, 62), (14, 76, 82)):
            label[20:45, low:high, 1:5] = value
        for name, certified in cases.items():
            image = 40 * (label > 0) + rng.integers(0, 25, label.shape)
            write_volume(root / "labels" / f"{name}.nii.gz", label)
            write_volume(root / "images" / f"{name}.nii.gz", image.astype(np.int16))
            if certified is not None:
                volume = root / "labels" / f"{name}.nii.gz"
                levels_file(volume).write_text(json.dumps(certified))
                write_record(volume, volume, {"levels": levels_file(volume)}, MADE)
        return root / "labels", root / "images"

    return write
