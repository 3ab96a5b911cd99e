from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spine_ignite.report.curves import training_charts
from spine_ignite.report.series import Series
from spine_ignite.runs.directory import read_rows, truncate_metrics
from spine_ignite.training.doctor.diagnoses import essential

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300)


@given(VALUES, st.integers(2, 40))
def test_a_long_curve_keeps_its_ends_and_its_extremes_and_no_more_points_than_asked(
    values: list[float], most: int
) -> None:
    series = Series(most)
    for x, y in enumerate(values):
        series.add(x, y)
    kept = list(series)
    assert len(kept) <= max(4, most) + 2
    assert kept == sorted(set(kept))
    assert all(values[int(x)] == y for x, y in kept)
    assert [x for x, _ in kept][:: max(1, len(kept) - 1)] == ([0, len(values) - 1] if len(values) > 1 else [0])
    assert {min(values), max(values)} <= {y for _, y in kept}
    if len(values) <= most // 2:
        assert [y for _, y in kept] == values


def test_what_is_not_finite_is_no_point() -> None:
    series = Series()
    for x, y in ((1.0, float("nan")), (2.0, 5.0), (float("inf"), 1.0)):
        series.add(x, y)
    assert list(series) == [(2.0, 5.0)]


@pytest.fixture(scope="module")
def long_record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A record of 5,000 epochs with 40 figures each, 5 MB."""
    path = tmp_path_factory.mktemp("long") / "metrics.jsonl"
    figures = {f"validation/dice/class {n}": 0.12346789 + n for n in range(35)}
    with path.open("w") as file:
        for epoch in range(1, 5_001):
            dice = 0.99 if epoch == 1_234 else 0.5 + 0.4 * epoch / 5_000
            row = {"epoch": epoch, "iteration": 9 * epoch, "train/loss": 1 / epoch, "lr": 1e-3, "validation/dice": dice}
            file.write(json.dumps(row | figures) + "\n")
    return path


def test_a_long_run_takes_no_more_memory_than_a_short_one(long_record: Path) -> None:
    """All rows together would take 20 MB."""
    tracemalloc.start()
    try:
        charts = training_charts(read_rows(long_record))
        history = essential(read_rows(long_record))
        truncate_metrics(long_record, 4_999)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6e6
    assert [chart.title for chart in charts] == ["Loss", "Validation", "Learning rate"]
    assert all(line.path.count("L") <= 2002 for chart in charts for line in chart.lines)
    assert charts[1].mark is not None
    assert charts[1].mark.text == "best Dice 0.990, epoch 1234"
    assert "from 1 in epoch 1 to 0.0002 in epoch 5000" in charts[0].summary
    assert len(history) <= 20
    assert history[-1]["epoch"] == 5_000
    assert max(row["epoch"] for row in read_rows(long_record)) == 4_999


@pytest.mark.parametrize("epoch", ["1" * 400, "-1", "1.5", "true false", '"1"', "[" * 5000, "9" * 5000])
def test_rows_that_are_none_are_passed_over(tmp_path: Path, epoch: str) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(f'{{"epoch": {epoch}, "train/loss": 1.0}}\n{{"epoch": 2, "train/loss": {"8" * 400}}}\nx\n[]\n')
    assert [row["epoch"] for row in read_rows(path)] == [2]
    assert training_charts(read_rows(path)) == []
