"""Which run is better, and whether that can be told from chance: tests on the runs' figures per case."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from spine_ignite.compare.scores import Array

ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Pair:
    """Two runs compared case by case.

    Args:
        first: index of a run.
        second: index of another.
        cases: cases in which both are defined.
        difference: mean over these of first minus second.
        wins: cases in which the first is better.
        losses: cases in which the second is.
        statistic: the smaller sum of signed ranks.
        p: of the two-sided Wilcoxon signed-rank test; NaN without cases.
        p_holm: after Holm's correction for all pairs.
    """

    first: int
    second: int
    cases: int
    difference: float
    wins: int
    losses: int
    statistic: float
    p: float
    p_holm: float

    @property
    def significant(self) -> bool:
        """Whether the two differ at a family-wise level of 5 %."""
        return self.p_holm < ALPHA


@dataclass(frozen=True, slots=True)
class Friedman:
    """Friedman's test that not all runs are alike: chi-square with ``freedom`` degrees, over complete ``cases``."""

    statistic: float
    freedom: int
    p: float
    cases: int


@dataclass(frozen=True, slots=True)
class Ranking:
    """Runs in order of merit.

    Args:
        mean_ranks: per run, 1 is best; NaN if no case is defined for all.
        order: indices of the runs, best mean rank first.
        pairs: all pairs of runs.
        friedman: None for two runs.
        cliques: largest sets of runs without a significant difference inside, each in the order of merit; a run
            that differs from all others is in none.
    """

    mean_ranks: Array
    order: tuple[int, ...]
    pairs: tuple[Pair, ...]
    friedman: Friedman | None
    cliques: tuple[tuple[int, ...], ...]


def rank(per_case: Array, higher_is_better: bool) -> Ranking:
    """Rank runs and test all pairs.

    Wilcoxon's signed-rank test for pairs, Friedman's for all, as Demšar (Statistical comparisons of classifiers over
    multiple data sets, JMLR 7, 2006) recommends; between pairs Wilcoxon with Holm's correction in place of mean ranks,
    as Benavoli, Corani and Mangili (Should we really use post-hoc tests based on mean-ranks?, JMLR 17, 2016) do, since
    whether two runs differ must not depend on the third.

    Args:
        per_case: a figure for each run and case, ``(runs, cases)``; NaN where undefined.
        higher_is_better: False for distances and error rates.
    """
    merit = per_case if higher_is_better else -per_case
    count = len(per_case)
    tested = [(i, j, *_test(per_case[i], per_case[j])) for i, j in itertools.combinations(range(count), 2)]
    corrected = holm([p for *_, p in tested])
    pairs = []
    for (i, j, cases, difference, statistic, p), p_holm in zip(tested, corrected, strict=True):
        wins, losses = int((merit[i] > merit[j]).sum()), int((merit[i] < merit[j]).sum())
        pairs.append(Pair(i, j, cases, difference, wins, losses, statistic, p, p_holm))
    ranks = mean_ranks(merit)
    order = tuple(int(i) for i in np.argsort(ranks, kind="stable"))
    different = {(pair.first, pair.second) for pair in pairs if pair.significant}
    return Ranking(ranks, order, tuple(pairs), friedman(merit) if count > 2 else None, cliques(order, different))


def _test(first: Array, second: Array) -> tuple[int, float, float, float]:
    difference = (first - second)[~np.isnan(first - second)]
    mean = float(difference.mean()) if len(difference) else float("nan")
    return len(difference), mean, *wilcoxon(difference)


def wilcoxon(differences: Array) -> tuple[float, float]:
    """Wilcoxon's signed-rank test of paired differences (Biometrics Bulletin 1, 1945), two-sided.

    Differences of zero are left out, as Wilcoxon did: they favour neither side. p is exact for up to 50 differences
    without ties and for up to 13 with ties, beyond that from the normal approximation (:func:`scipy.stats.wilcoxon`).

    Args:
        differences: ``(cases,)``, without NaN.

    Returns:
        The smaller of the two rank sums, and p: 1 if all differences are zero, NaN if there are none.
    """
    if not len(differences):
        return float("nan"), float("nan")
    unequal = differences[differences != 0]
    if not len(unequal):
        return 0.0, 1.0
    found = stats.wilcoxon(unequal)
    return float(found.statistic), float(found.pvalue)


def smallest_p(cases: int) -> float:
    """The smallest two-sided p that the signed-rank test can give: all of ``cases`` differences have one sign."""
    return min(1.0, 2.0 ** (1 - cases))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for their number, to keep the family-wise error (Holm, Scandinavian J. of Statistics 6, 1979).

    The i-th smallest of m is multiplied by m - i + 1; none may fall below its predecessor or exceed 1. NaN stays NaN
    and does not count.
    """
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p, kind="stable")[: int((~np.isnan(p)).sum())]
    adjusted = np.full(p.shape, np.nan)
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * factors)) if len(order) else []
    return [float(value) for value in adjusted]


def mean_ranks(merit: Array) -> Array:
    """Mean over cases of each run's rank, the highest first; equal runs share the mean of their ranks.

    Args:
        merit: ``(runs, cases)``; cases that are NaN for a run are left out.
    """
    complete = merit[:, ~np.isnan(merit).any(axis=0)]
    if not complete.shape[1]:
        return np.full(len(merit), np.nan)
    ranks: Array = stats.rankdata(-complete, axis=0).mean(axis=1)
    return ranks


def friedman(merit: Array) -> Friedman:
    """Friedman's test (JASA 32, 1937) with the correction for ties, over the cases that are defined for all runs.

    Args:
        merit: ``(runs, cases)``, at least three runs.
    """
    complete = merit[:, ~np.isnan(merit).any(axis=0)]
    cases = complete.shape[1]
    if not cases or (complete == complete[0]).all():
        return Friedman(0.0, len(merit) - 1, 1.0 if cases else float("nan"), cases)
    found = stats.friedmanchisquare(*complete)
    return Friedman(float(found.statistic), len(merit) - 1, float(found.pvalue), cases)


def cliques(order: Sequence[int], different: Collection[tuple[int, int]]) -> tuple[tuple[int, ...], ...]:
    """Return the largest sets of runs of which no two are different (Bron and Kerbosch, CACM 16, 1973).

    Args:
        order: the runs; members and sets come in this order.
        different: pairs that differ, in either order.

    Returns:
        Sets of two runs or more.
    """
    apart = {frozenset(pair) for pair in different}
    alike = {i: {j for j in order if j != i and frozenset((i, j)) not in apart} for i in order}
    found: list[set[int]] = []

    def extend(members: set[int], candidates: set[int], excluded: set[int]) -> None:
        if not candidates and not excluded:
            found.append(members)
            return
        pivot = max(candidates | excluded, key=lambda i: len(alike[i] & candidates))
        for i in sorted(candidates - alike[pivot]):
            extend(members | {i}, candidates & alike[i], excluded & alike[i])
            candidates = candidates - {i}
            excluded = excluded | {i}

    extend(set(), set(order), set())
    place = {run: position for position, run in enumerate(order)}
    sets = [tuple(sorted(members, key=place.__getitem__)) for members in found if len(members) > 1]
    return tuple(sorted(sets, key=lambda members: [place[run] for run in members]))
