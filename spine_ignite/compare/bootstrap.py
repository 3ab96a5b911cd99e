"""Confidence intervals of means over cases, by resampling the cases."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from spine_ignite.compare.scores import Array, divide, mean_defined

CONFIDENCE = 0.95


def intervals(arrays: Sequence[Array], resamples: int = 10_000, seed: int = 0) -> list[Array]:
    """Return 95 % confidence intervals of the mean over classes of each class's mean over cases.

    Cases are what a study draws from its population, so whole cases are resampled with replacement, all runs and
    measures with the same draws. The interval is the bias-corrected and accelerated one (BCa; Efron, Better bootstrap
    confidence intervals, JASA 82, 1987) of :func:`scipy.stats.bootstrap`: unlike the percentile interval it allows for
    the skewness of Dice near its upper bound and of distances near zero, and its coverage error shrinks with 1/n
    in place of 1/sqrt(n). Where BCa is not defined, since all resamples lie on one side of the estimate (all cases
    alike, for one), the percentile interval of the same resamples stands in its place. With few cases (below about
    10) every bootstrap interval is too narrow.

    Args:
        arrays: each ``(rows, cases, classes)``, NaN where undefined; the number of cases is the same in all.
        resamples: how often to draw.
        seed: of the draws; the same seed gives the same intervals.

    Returns:
        For each array the lower and upper limits ``(rows, 2)``; NaN with fewer than two cases, or where some resample
        has no defined value at all.
    """
    cases = arrays[0].shape[1]
    rows = [len(array) for array in arrays]
    if cases < 2:
        return [np.full((count, 2), np.nan) for count in rows]

    def statistic(drawn: NDArray[np.float64], axis: int = -1) -> Array:
        weights = _counts(drawn, cases)
        return np.concatenate([_weighted_means(array, weights) for array in arrays]).reshape(-1, *drawn.shape[:-1])

    with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        found = stats.bootstrap(
            (np.arange(cases, dtype=np.float64),),
            statistic,
            vectorized=True,
            axis=-1,
            n_resamples=resamples,
            batch=1000,
            confidence_level=CONFIDENCE,
            method="BCa",
            rng=np.random.default_rng(seed),
        )
    limits = np.stack([found.confidence_interval.low, found.confidence_interval.high], axis=-1)
    tail = (1 - CONFIDENCE) / 2
    percentile = np.quantile(found.bootstrap_distribution, [tail, 1 - tail], axis=-1).T
    limits = np.where(np.isnan(limits), percentile, limits)
    return np.split(limits, np.cumsum(rows)[:-1])


def _counts(drawn: NDArray[np.float64], cases: int) -> Array:
    """How often each case was drawn: from ``(…, draws)`` case indices to ``(resamples, cases)``."""
    flat = drawn.reshape(-1, drawn.shape[-1]).astype(np.int64)
    cells = flat + cases * np.arange(len(flat))[:, None]
    counts: Array = np.bincount(cells.ravel(), minlength=cases * len(flat)).reshape(-1, cases).astype(np.float64)
    return counts


def _weighted_means(values: Array, weights: Array) -> Array:
    """The statistic under weights ``(resamples, cases)``: ``(rows, resamples)``. Sums are matrix products."""
    rows, cases, classes = values.shape
    flat = values.transpose(1, 0, 2).reshape(cases, rows * classes)
    defined = ~np.isnan(flat)
    per_class = divide(weights @ np.where(defined, flat, 0.0), weights @ defined)
    means: Array = mean_defined(per_class.reshape(-1, rows, classes), axis=2).T
    return means
