from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, binom

from spine_ignite.inference.levels.bounds import (
    THRESHOLDS,
    cases_needed,
    find_threshold,
    percent,
    supported_risk,
    upper_bound,
)


@given(st.integers(1, 2000), st.data())
def test_the_bound_is_that_of_the_beta_distribution_and_of_the_binomial_tail(cases: int, data: st.DataObject) -> None:
    errors = data.draw(st.integers(0, cases - 1))
    bound = upper_bound(errors, cases)
    assert bound == pytest.approx(beta.ppf(0.95, errors + 1, cases - errors), rel=1e-6)
    assert binom.cdf(errors, cases, bound) == pytest.approx(0.05, rel=1e-4)


def test_nothing_or_errors_alone_bound_nothing() -> None:
    assert upper_bound(0, 0) == 1
    assert upper_bound(3, 3) == 1
    assert upper_bound(0, 10) == pytest.approx(1 - 0.05 ** (1 / 10))
    with pytest.raises(ValueError, match="3 errors among 2 cases"):
        upper_bound(3, 2)


def test_two_per_cent_need_149_cases_without_an_error() -> None:
    assert cases_needed(0.02) == 149
    assert cases_needed(0.05) == 59
    for errors in (0, 1, 5):
        needed = cases_needed(0.02, errors)
        assert upper_bound(errors, needed) <= 0.02 < upper_bound(errors, needed - 1)


def test_the_lowest_threshold_in_sequence_is_taken_and_the_first_failure_ends_it() -> None:
    sure, doubtful = [(0.9999, True)] * 149, [(0.91, True)] * 30
    assert find_threshold(sure[1:], 0.02) is None
    found = find_threshold([*sure, *doubtful], 0.02)
    assert found is not None
    assert (found.posterior, found.cases, found.errors) == (0.5, 179, 0)
    found = find_threshold([*sure, (0.93, False), *[(0.55, True)] * 1000], 0.02)
    assert found is not None
    assert found.posterior == 0.94, "what comes after a failure is not tested, though it would pass"
    assert found.bound == upper_bound(0, 149)
    assert all(a > b for a, b in itertools.pairwise(THRESHOLDS))


def test_too_few_cases_support_a_larger_risk() -> None:
    columns = [(0.99, True)] * 40
    risk = supported_risk(columns)
    assert risk == 0.073
    assert upper_bound(0, 40) == pytest.approx(0.0721, abs=1e-4)
    assert find_threshold(columns, risk) is not None
    assert find_threshold(columns, 0.072) is None
    assert supported_risk([(0.99, False)] * 40) is None
    assert supported_risk([]) is None
    assert (percent(0.02), percent(0.0721), percent(0.5)) == ("2 %", "7.3 %", "50 %")


@pytest.mark.parametrize("shape", ["calibrated", "overconfident", "step"])
def test_the_risk_is_kept_with_the_confidence_that_is_stated(shape: str) -> None:
    """Of many calibrations at most one in twenty may give a threshold whose true risk is larger."""
    rng = np.random.default_rng(0)
    risk, trials, broken, given_out = 0.1, 2000, 0, 0

    def wrong(posterior: np.ndarray) -> np.ndarray:
        if shape == "step":
            return np.where(posterior > 0.9, 0.05, 0.3)
        return (1 - posterior) * (1 if shape == "calibrated" else 2)

    many = rng.beta(3, 0.4, 200_000)
    true = {t: float(wrong(many[many >= t]).mean()) for t in THRESHOLDS if (many >= t).any()}
    for _ in range(trials):
        posterior = rng.beta(3, 0.4, 60)
        right = rng.random(60) >= wrong(posterior)
        found = find_threshold(list(zip(posterior.tolist(), right.tolist(), strict=True)), risk)
        given_out += found is not None
        broken += found is not None and true[found.posterior] > risk
    assert given_out > trials / 20, "otherwise nothing was tested"
    assert broken <= binom.ppf(0.999, trials, 0.05)
