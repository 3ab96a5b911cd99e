"""How sure a study's figures are: intervals over seeds and folds, and how many cases a difference needs to be seen."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]
CONFIDENCE = 0.95
ALPHA = 0.05  # two-sided
POWER = 0.8
DIFFERENCE = 0.01  # that is to be seen, in Dice


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its spread and 95 % interval.

    Args:
        mean: of the values.
        deviation: standard deviation of a sample; NaN with one value.
        low: lower limit; NaN with one value.
        high: upper limit.
        p: of the two-sided test that the mean is 0.
    """

    mean: float
    deviation: float
    low: float
    high: float
    p: float


def interval(values: Array, overlap: float = 0.0) -> Interval:
    """Return the mean of figures of several trainings with its interval by Student's t.

    Trainings on folds share most of their cases, so that their figures are less apart than those of independent studies
    would be, and the plain interval is too narrow. The variance of the mean is therefore taken as (1/n + overlap) s² in
    place of s²/n, where ``overlap`` is the number of validation over that of training cases (Nadeau and Bengio,
    Inference for the generalization error, Machine Learning 52, 2003; for repeated cross-validation: Bouckaert and
    Frank, Evaluating the replicability of significance tests, PAKDD 2004).

    Args:
        values: ``(n,)``; NaN is left out.
        overlap: as said; 0 for trainings that differ in nothing but their seed.
    """
    known = values[~np.isnan(values)]
    count = len(known)
    if not count:
        return Interval(math.nan, math.nan, math.nan, math.nan, math.nan)
    mean = float(known.mean())
    if count == 1:
        return Interval(mean, math.nan, math.nan, math.nan, math.nan)
    deviation = float(known.std(ddof=1))
    error = deviation * math.sqrt(1 / count + overlap)
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 1)) * error
    p = float(2 * stats.t.sf(abs(mean) / error, count - 1)) if error > 0 else (1.0 if mean == 0 else 0.0)
    return Interval(mean, deviation, mean - half, mean + half, p)


def needed_cases(deviation: float, difference: float = DIFFERENCE, power: float = POWER, alpha: float = ALPHA) -> float:
    """Return how many cases a paired t-test needs to see a true mean difference.

    n = (z(1 - alpha / 2) + z(power))² s² / d² + z(1 - alpha / 2)² / 2, rounded up: the normal approximation and its
    correction for an estimated deviation (Guenther, Sample size formulas for normal theory t tests, The American
    Statistician 35, 1981). Wilcoxon's signed-rank test needs 5 % more where differences are normal, and never more than
    16 % more (Hodges and Lehmann, Annals of Mathematical Statistics 27, 1956).

    Args:
        deviation: standard deviation s of the differences per case between two methods.
        difference: d, which is to be seen, in the same unit.
        power: how surely, as a probability.
        alpha: of the two-sided test.

    Returns:
        A whole number, at least 2; NaN where the deviation is not known.
    """
    if math.isnan(deviation):
        return math.nan
    both, one = stats.norm.ppf(1 - alpha / 2) + stats.norm.ppf(power), stats.norm.ppf(1 - alpha / 2)
    return float(max(2, math.ceil((both * deviation / difference) ** 2 + one**2 / 2)))


def visible_difference(deviation: float, cases: int, power: float = POWER, alpha: float = ALPHA) -> float:
    """Return the smallest true mean difference that so many cases let a paired t-test see; see :func:`needed_cases`.

    NaN where there are so few that the formula has no answer.
    """
    both, one = stats.norm.ppf(1 - alpha / 2) + stats.norm.ppf(power), stats.norm.ppf(1 - alpha / 2)
    left = cases - one**2 / 2
    return float(both * deviation / math.sqrt(left)) if left > 0 else math.nan
