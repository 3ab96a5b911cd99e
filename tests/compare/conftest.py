"""Evaluations as `evaluate` would write them, made from Dice values."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from spine_ignite.evaluation.case_results import CaseResult, ClassResult
from spine_ignite.evaluation.table_files import write_tables
from spine_ignite.evaluation.tables import Summary

NAMES = ("background", "L5", "L4", "L3")
WriteEvaluation = Callable[..., Path]


def _class_result(case: str, label: str, dice: float) -> ClassResult:
    """A structure of 1000 voxels in a million, as many wrongly found as missed; Dice 0 is a missed one."""
    missed = dice == 0
    hit = 1000 * dice
    wrong = 0.0 if missed else 1000 - hit
    return ClassResult(
        case=case,
        label=label,
        dice=dice,
        iou=dice / (2 - dice),
        precision=math.nan if missed else dice,
        recall=dice,
        fnr=1 - dice,
        fpr=wrong / 999_000,
        hd95=math.nan if missed else 20 * (1 - dice),
        assd=math.nan if missed else 4 * (1 - dice),
        nsd=dice,
        volume_reference=1.0,
        volume_prediction=0.0 if missed else 1.0,
        volume_error=-1.0 if missed else 0.0,
    )


def _summary(dice: NDArray[np.float64], **changes: Any) -> Summary:
    cases = []
    for number, row in enumerate(dice, 1):
        name = f"Case{number}"
        classes = tuple(
            _class_result(name, label, float(value))
            for label, value in zip(NAMES[1:], row, strict=True)
            if not math.isnan(value)
        )
        accuracy = 1 - float(np.nansum(1 - row)) / 1000
        confusion = np.eye(len(NAMES), dtype=np.int64)
        cases.append(CaseResult(name, accuracy, classes, 1.0, 0, f"mask{number}", confusion))
    settings = {"scheme": "lumbar-vertebrae", "checkpoint": "best.pt", "postprocess": []}
    return Summary(**{"cases": tuple(cases), "names": NAMES, "tolerance": 2.0, "settings": settings, **changes})


@pytest.fixture(scope="session")
def write_evaluation() -> WriteEvaluation:
    """``write_evaluation(folder, dice, …)``: ``dice`` is ``(cases, 3)``, NaN: absent, 0: missed by the prediction."""

    def write(folder: Path, dice: NDArray[np.float64], **changes: Any) -> Path:
        write_tables(_summary(np.asarray(dice, np.float64), **changes), folder)
        return folder

    return write


@pytest.fixture(scope="session")
def dice() -> NDArray[np.float64]:
    """Dice of 3 runs in 12 cases for 3 classes, the first the best; absent and missed structures among them."""
    rng = np.random.default_rng(3)
    hard = rng.beta(2, 12, (1, 12, 1))
    values = (0.95 - hard - 0.03 * np.arange(3)[:, None, None] + rng.normal(0, 0.01, (3, 12, 3))).clip(0.05, 0.99)
    values[:, 4, 2] = np.nan
    values[1, 7, 0] = 0.0
    return values
