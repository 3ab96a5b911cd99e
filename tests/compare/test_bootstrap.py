from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from spine_ignite.compare.bootstrap import intervals


def test_a_plain_mean_has_scipy_s_bca_interval() -> None:
    values = np.random.default_rng(5).beta(9, 1, (2, 25, 1))
    (found,) = intervals([values], resamples=800, seed=4)
    for row, limits in zip(values[..., 0], found, strict=True):
        truth = stats.bootstrap((row,), np.mean, n_resamples=800, method="BCa", rng=np.random.default_rng(4))
        np.testing.assert_allclose(limits, truth.confidence_interval, rtol=1e-10)


def test_the_mean_over_classes_of_means_over_cases_has_it_too() -> None:
    """Against the statistic written with nanmean over drawn cases, one resample at a time."""
    rng = np.random.default_rng(2)
    values = rng.beta(9, 1, (2, 15, 4))
    values[rng.random(values.shape) < 0.2] = np.nan
    other = rng.normal(size=(1, 15, 1))
    found = intervals([values, other], resamples=300, seed=1)
    assert [limits.shape for limits in found] == [(2, 2), (1, 2)]

    for row in range(2):

        def statistic(drawn: np.ndarray, row: int = row) -> float:
            return float(np.nanmean(np.nanmean(values[row][drawn.astype(int)], axis=0)))

        truth = stats.bootstrap(
            (np.arange(15),), statistic, vectorized=False, n_resamples=300, method="BCa", rng=np.random.default_rng(1)
        )
        np.testing.assert_allclose(found[0][row], truth.confidence_interval, rtol=1e-10)


def test_95_of_100_intervals_hold_the_truth() -> None:
    """30 cases from Beta(8, 2), whose mean is 0.8: 300 studies at once, as if they were runs."""
    studies = np.random.default_rng(11).beta(8, 2, (300, 30, 1))
    (found,) = intervals([studies], resamples=1000)
    covered = np.mean((found[:, 0] <= 0.8) & (found[:, 1] >= 0.8))
    assert 0.91 <= covered <= 0.98
    width = np.mean(found[:, 1] - found[:, 0])
    assert width == pytest.approx(2 * 1.96 * stats.beta(8, 2).std() / 30**0.5, rel=0.1)


def test_what_bca_does_not_define_is_the_percentile_interval() -> None:
    constant = np.full((1, 6, 2), 0.7)
    one_sided = np.zeros((1, 6, 1))
    assert intervals([constant])[0][0] == pytest.approx([0.7, 0.7])
    assert intervals([one_sided])[0][0] == pytest.approx([0, 0])


def test_without_cases_there_is_no_interval() -> None:
    assert np.isnan(intervals([np.ones((3, 1, 2))])[0]).all()
    assert np.isnan(intervals([np.full((1, 5, 2), np.nan)])[0]).all()


def test_a_run_without_figures_does_not_disturb_the_others() -> None:
    values = np.random.default_rng(0).random((3, 10, 2))
    values[1] = np.nan
    values[2] = 0.5
    found = intervals([values], 500, 7)[0]
    assert np.isnan(found[1]).all()
    assert found[2] == pytest.approx([0.5, 0.5])
    np.testing.assert_allclose(found[0], intervals([values[:1]], 500, 7)[0][0], rtol=1e-12)


def test_the_same_seed_gives_the_same_interval_whatever_else_is_computed() -> None:
    values = np.random.default_rng(0).random((3, 10, 2))
    alone, together = intervals([values[:1]], 500, 7)[0], intervals([values[1:], values[:1]], 500, 7)[1]
    np.testing.assert_allclose(alone, together, rtol=1e-12)
    assert np.array_equal(intervals([values], 500, 7)[0], intervals([values], 500, 7)[0])
    assert not np.array_equal(intervals([values], 500, 7)[0], intervals([values], 500, 8)[0])
