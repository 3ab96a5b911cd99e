"""What counts of errors say of their probability: the exact bound of Clopper and Pearson, and thresholds under it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95
# From the highest downward. They are fixed here, before any case is seen: that is what the test in fixed sequence asks.
THRESHOLDS = (
    *(0.9999, 0.9995, 0.999, 0.998, 0.997, 0.996, 0.995, 0.994, 0.993, 0.992, 0.991, 0.99, 0.985, 0.98, 0.97, 0.96),
    *(0.95, 0.94, 0.92, 0.9, 0.875, 0.85, 0.8, 0.75, 0.7, 0.6, 0.5),
)


@dataclass(frozen=True, slots=True)
class Threshold:
    """A posterior from which columns are accepted, and what it rests on.

    Args:
        posterior: from it on.
        cases: patients above it.
        errors: those with a wrong column among them.
        bound: what the probability of an error is at most, at 95 % confidence.
    """

    posterior: float
    cases: int
    errors: int
    bound: float


def upper_bound(errors: int, cases: int, confidence: float = CONFIDENCE) -> float:
    """Return the exact one-sided upper bound of a probability: Clopper and Pearson, Biometrika 26:404, 1934.

    The largest probability at which ``errors`` or fewer among ``cases`` are not rarer than ``1 - confidence``; 1 where
    nothing or only errors were seen.

    Args:
        errors: how many were seen.
        cases: among how many, each independent of the others.
        confidence: with which the probability is at most this.
    """
    if not 0 <= errors <= cases:
        raise ValueError(f"{errors} errors among {cases} cases")
    if errors == cases:
        return 1.0
    from scipy.special import betaincinv

    return float(betaincinv(errors + 1, cases - errors, confidence))


def cases_needed(risk: float, errors: int = 0, confidence: float = CONFIDENCE) -> int:
    """Return the smallest number of cases whose bound is at most ``risk`` with so many errors; 149 for 2 % and none."""
    low, high = errors, max(1, errors)
    while upper_bound(errors, high, confidence) > risk:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if upper_bound(errors, middle, confidence) <= risk else (middle, high)
    return high


def find_threshold(columns: Sequence[tuple[float, bool]], risk: float) -> Threshold | None:
    """Return the lowest threshold of the posterior under which the risk is kept with 95 % confidence.

    The thresholds of :data:`THRESHOLDS` are tested one after the other from the highest downward, each at the full
    level, and the first that fails ends the search: testing in fixed sequence, as in Learn then Test (Angelopoulos,
    Bates, Candès, Jordan and Lei, arXiv:2110.01052, 2021), so that trying many costs nothing: a wrong threshold is only
    returned if the first wrong one of the sequence passes its own test. Those with so few patients above them that no
    outcome could pass are left out, by their number alone. The number says nothing of the errors; where it decides
    which of the wrong thresholds is tested first, the level holds as long as surer columns are wrong no more often than
    less sure ones (where this one has fewer than expected above it, more of the others are among those that are
    tested).

    Args:
        columns: posterior of one column of each patient, and whether it is right.
        risk: probability of a wrong column among those accepted, at most.
    """
    least = cases_needed(risk)
    found = None
    for posterior in THRESHOLDS:
        above = [right for score, right in columns if score >= posterior]
        if len(above) < least:
            continue
        errors = above.count(False)
        bound = upper_bound(errors, len(above))
        if bound > risk:
            break
        found = Threshold(posterior, len(above), errors, bound)
    return found


def supported_risk(columns: Sequence[tuple[float, bool]]) -> float | None:
    """Return the smallest risk, in whole tenths of a per cent rounded up, for which there is a threshold.

    None if there is none below a half.
    """
    for thousandths in range(1, 500):
        risk = thousandths / 1000
        if len(columns) >= cases_needed(risk) and find_threshold(columns, risk) is not None:
            return risk
    return None


def percent(share: float) -> str:
    """Return a share in per cent, with as many digits as a small one needs, rounded up."""
    return f"{math.ceil(1000 * share - 1e-9) / 10:g} %"
