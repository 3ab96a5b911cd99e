"""Intervals over trainings, and the number of cases that a difference needs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from spine_ignite.studies.spread import interval, needed_cases, visible_difference


def power_of(cases: int, deviation: float, difference: float) -> float:
    """Exact power of the two-sided paired t-test at 5 %, by the noncentral t distribution."""
    limit, shift = stats.t.ppf(0.975, cases - 1), difference / deviation * math.sqrt(cases)
    return float(stats.nct.sf(limit, cases - 1, shift) + stats.nct.cdf(-limit, cases - 1, shift))


@settings(max_examples=50)
@given(st.floats(0.01, 0.15))
def test_so_many_cases_see_the_difference_and_fewer_do_not(deviation: float) -> None:
    cases = int(needed_cases(deviation))
    assert power_of(cases, deviation, 0.01) >= 0.795
    assert power_of(max(2, math.floor(0.9 * cases) - 2), deviation, 0.01) < 0.8


@settings(max_examples=50)
@given(st.floats(0.001, 1), st.integers(4, 500))
def test_what_can_be_seen_is_what_needs_so_many_cases(deviation: float, cases: int) -> None:
    assert abs(needed_cases(deviation, visible_difference(deviation, cases)) - cases) <= 1


def test_a_textbook_number() -> None:
    """A difference of half a deviation, 5 % two-sided, 80 %: 34 pairs (Cohen, A power primer, 1992, by his tables)."""
    assert needed_cases(1.0, 0.5) == 34
    assert math.isnan(needed_cases(math.nan))
    assert math.isnan(visible_difference(0.1, 1))


def test_an_interval_is_student_s_and_wider_with_what_folds_share() -> None:
    values = np.array([0.80, 0.83, 0.85, 0.79, 0.81])
    plain = interval(values)
    low, high = stats.t.interval(0.95, 4, values.mean(), stats.sem(values))
    assert (plain.low, plain.high) == pytest.approx((low, high))
    assert plain.p == pytest.approx(stats.ttest_1samp(values, 0).pvalue)
    wide = interval(values, overlap=1 / 4)
    assert (wide.high - wide.low) / (plain.high - plain.low) == pytest.approx(math.sqrt((1 / 5 + 1 / 4) / (1 / 5)))
    assert wide.mean == pytest.approx(0.816)


def test_one_value_and_none_have_no_interval() -> None:
    assert interval(np.array([0.5, math.nan])).mean == 0.5
    assert math.isnan(interval(np.array([0.5])).low)
    assert math.isnan(interval(np.array([math.nan])).mean)
    assert interval(np.zeros(3)).p == 1.0
    assert interval(np.full(3, 0.5)).p == 0.0
