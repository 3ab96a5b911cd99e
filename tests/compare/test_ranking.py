from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from spine_ignite.compare.ranking import (
    cliques,
    friedman,
    holm,
    mean_ranks,
    rank,
    smallest_p,
    wilcoxon,
)

# Demšar (2006), table 6: AUC of four variants of C4.5 on 14 data sets. The paper ranks the last but one row 4, 1, 2, 3,
# so its third value was larger than its fourth before both were rounded to 0.975.
DEMSAR = np.array(
    [
        [0.763, 0.768, 0.771, 0.798],
        [0.599, 0.591, 0.590, 0.569],
        [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657],
        [0.882, 0.888, 0.886, 0.898],
        [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685],
        [0.583, 0.583, 0.563, 0.625],
        [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000],
        [0.940, 0.962, 0.965, 0.962],
        [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.97501, 0.975],
        [0.957, 0.978, 0.946, 0.970],
    ]
).T


def test_mean_ranks_and_friedman_of_demsar_s_example() -> None:
    ranks = mean_ranks(DEMSAR)
    np.testing.assert_allclose(ranks, [3.143, 2.000, 2.893, 1.964], atol=5e-4)
    plain = 12 * 14 / (4 * 5) * (np.sum(ranks**2) - 4 * 5**2 / 4)
    assert plain == pytest.approx(9.28, abs=5e-3), "the paper's chi-square, which does not allow for ties"
    found = friedman(DEMSAR)
    tied = [stats.rankdata(row) for row in DEMSAR.T]
    repeats = [count for row in tied for count in np.unique(row, return_counts=True)[1]]
    correction = 1 - sum(t**3 - t for t in repeats) / (14 * (4**3 - 4))
    assert found.statistic == pytest.approx(plain / correction)
    assert (found.freedom, found.cases) == (3, 14)
    assert found.p == pytest.approx(stats.chi2.sf(plain / correction, 3))


def test_holm_of_garcia_and_herrera_s_example() -> None:
    """JMLR 9 (2008): five classifiers on 30 data sets, all ten pairs; p as the R package scmamp prints them for it."""
    p = [4.848763e-3, 8.064959e-1, 4.486991e-8, 1.276301e-2, 1.011233e-2]
    p += [7.963489e-3, 7.439715e-1, 1.736118e-7, 2.474467e-2, 2.880485e-3]
    factors = [7, None, 10, 4, 5, 6, None, 9, 3, 8]  # ten less the number of smaller ones
    adjusted = [1.0 if factor is None else factor * value for factor, value in zip(factors, p, strict=True)]
    assert holm(p) == pytest.approx(adjusted)


def test_holm_keeps_the_order_and_leaves_out_what_is_undefined() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([math.nan, 0.02, 0.03]) == pytest.approx([math.nan, 0.04, 0.04], nan_ok=True)
    assert holm([]) == []


def exact_p(differences: np.ndarray) -> float:
    """Wilcoxon's p from its definition: all ways to give the ranks signs are equally likely."""
    ranks = stats.rankdata(np.abs(differences))
    observed = min(ranks[differences > 0].sum(), ranks[differences < 0].sum())
    sums = [float(np.dot(ranks, signs)) for signs in itertools.product((0, 1), repeat=len(ranks))]
    return min(1.0, 2 * float(np.mean([s <= observed + 1e-9 for s in sums])))


@pytest.mark.parametrize("tied", [False, True])
def test_wilcoxon_is_exact_also_with_ties_and_zeros(tied: bool) -> None:
    rng = np.random.default_rng(1)
    for _ in range(5):
        differences = rng.normal(0.4, 1, 9)
        if tied:
            differences = np.array([1, 1, -1, 2, 2, 3, -3, 4, 5.0]) * rng.choice([-1, 1])
        statistic, p = wilcoxon(np.concatenate([differences, np.zeros(3)]))
        ranks = stats.rankdata(np.abs(differences))
        assert statistic == min(ranks[differences > 0].sum(), ranks[differences < 0].sum())
        assert p == pytest.approx(exact_p(differences))


def test_wilcoxon_of_equal_runs_and_of_none() -> None:
    assert wilcoxon(np.zeros(10)) == (0.0, 1.0)
    assert all(math.isnan(value) for value in wilcoxon(np.array([])))


@pytest.mark.parametrize("cases", [1, 2, 5, 6, 12])
def test_the_smallest_p_is_that_of_a_run_that_always_wins(cases: int) -> None:
    assert smallest_p(cases) == pytest.approx(wilcoxon(np.arange(1.0, cases + 1))[1])
    assert (smallest_p(cases) < 0.05) == (cases >= 6)


def test_cliques_are_the_largest_sets_without_a_difference() -> None:
    assert cliques([0, 1, 2], {(0, 2)}) == ((0, 1), (1, 2))
    assert cliques([0, 1, 2], {(1, 0), (1, 2)}) == ((0, 2),), "a set need not be consecutive in rank"
    assert cliques([2, 0, 1], set()) == ((2, 0, 1),)
    assert cliques([0, 1], {(0, 1)}) == ()
    rng = np.random.default_rng(0)
    for _ in range(20):
        pairs = list(itertools.combinations(range(7), 2))
        different = {pair for pair in pairs if rng.random() < 0.5}
        alike = [
            set(members)
            for size in range(2, 8)
            for members in itertools.combinations(range(7), size)
            if not different & set(itertools.combinations(members, 2))
        ]
        largest = {tuple(sorted(one)) for one in alike if not any(one < other for other in alike)}
        assert {tuple(sorted(members)) for members in cliques(range(7), different)} == largest


def test_a_ranking_by_distance_puts_the_smallest_first_and_leaves_out_the_undefined() -> None:
    rng = np.random.default_rng(0)
    distances = rng.uniform(3, 6, 20) + np.array([[2.0], [0.0], [1.0]]) + rng.normal(0, 0.1, (3, 20))
    distances[0, 3] = np.nan
    found = rank(distances, higher_is_better=False)
    assert found.order == (1, 2, 0)
    np.testing.assert_allclose(found.mean_ranks, [3, 1, 2])
    pairs = {(pair.first, pair.second): pair for pair in found.pairs}
    assert (pairs[0, 1].cases, pairs[0, 1].wins, pairs[0, 1].losses) == (19, 0, 19)
    assert (pairs[1, 2].cases, pairs[1, 2].wins, pairs[1, 2].losses) == (20, 20, 0)
    assert pairs[1, 2].difference == pytest.approx(np.mean(distances[1] - distances[2]))
    assert pairs[1, 2].p == pytest.approx(2.0**-19)
    assert pairs[1, 2].p_holm == pytest.approx(3 * 2.0**-19)
    assert found.cliques == ()
    assert found.friedman is not None
    assert found.friedman.cases == 19


def test_runs_that_are_all_alike_share_the_middle_rank() -> None:
    found = rank(np.tile(np.linspace(0.5, 0.9, 8), (4, 1)), higher_is_better=True)
    np.testing.assert_allclose(found.mean_ranks, 2.5)
    assert found.cliques == ((0, 1, 2, 3),)
    assert {pair.p_holm for pair in found.pairs} == {1.0}
    assert found.friedman is not None
    assert found.friedman.p == 1.0


def test_a_pair_without_a_common_case_has_no_p() -> None:
    values = np.array([[0.5, np.nan], [np.nan, 0.5], [0.4, 0.4]])
    found = rank(values, higher_is_better=True)
    assert np.isnan(found.mean_ranks).all()
    assert math.isnan(found.pairs[0].p)
    assert found.friedman is not None
    assert math.isnan(found.friedman.p)
    assert (0, 1, 2) in found.cliques
