from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from spine_ignite.compare.runs import open_runs
from spine_ignite.compare.scores import stack
from spine_ignite.evaluation.table_files import read_tables
from spine_ignite.evaluation.tables import MEASURES


def test_the_means_are_those_of_each_run_s_own_summary(
    write_evaluation: Callable[..., Path], dice: NDArray[np.float64], tmp_path: Path
) -> None:
    folders = [write_evaluation(tmp_path / str(i), values) for i, values in enumerate(dice)]
    scores = stack(open_runs(folders))
    assert scores.labels == ("L5", "L4", "L3")
    assert scores.values["dice"].shape == (3, 12, 3)
    for i, folder in enumerate(folders):
        summary = read_tables(folder)
        for name in (*MEASURES, "accuracy"):
            assert scores.means(name)[i] == pytest.approx(summary.means[name]), name
        for column, label in enumerate(summary.classes):
            for name in MEASURES:
                assert scores.per_class(name)[i, column] == pytest.approx(label.means[name], nan_ok=True)
        np.testing.assert_allclose(scores.per_case("dice")[i], [case.dice for case in summary.cases])
    assert np.isnan(scores.values["dice"][:, 4, 2]).all(), "absent from reference and prediction"
    assert scores.values["dice"][1, 7, 0] == 0, "missed"
    assert np.isnan(scores.values["hd95"][1, 7, 0]), "no surface, no distance"


def test_a_class_that_one_run_alone_has_counts_for_that_run_alone(
    write_evaluation: Callable[..., Path], tmp_path: Path
) -> None:
    known = np.array([[0.9, 0.8, np.nan], [0.8, 0.7, np.nan]])
    invented = np.array([[0.9, 0.8, 0.1], [0.8, 0.7, np.nan]])
    scores = stack(open_runs([write_evaluation(tmp_path / "a", known), write_evaluation(tmp_path / "b", invented)]))
    np.testing.assert_allclose(scores.means("dice"), [0.8, (0.85 + 0.75 + 0.1) / 3])
