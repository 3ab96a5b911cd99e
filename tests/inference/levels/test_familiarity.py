from __future__ import annotations

import json

import numpy as np
import pytest

from spine_ignite.inference.levels.familiarity import Familiarity
from spine_ignite.inference.levels.traits import TRAITS

NAMES = list(TRAITS)


def cases(rng: np.random.Generator, count: int) -> list[dict[str, float]]:
    """Traits of every shape: even, with heavy tails, skewed, constant, and dependent on each other."""
    scale = np.array([TRAITS[name].least for name in NAMES])
    table = rng.normal(0, 3, (count, len(NAMES)))
    table[:, ::4] = rng.standard_t(2, table[:, ::4].shape)
    table[:, 1::4] = rng.exponential(3, table[:, 1::4].shape)
    table[:, 2::4] = 0
    table[:, 3::4] = table[:, :1]
    return [dict(zip(NAMES, row * scale, strict=True)) for row in table]


@pytest.mark.parametrize(("count", "share"), [(19, 0.05), (60, 0.05), (60, 0.2), (8, 0.05)])
def test_of_new_cases_like_the_known_ones_at_most_the_share_is_flagged(count: int, share: float) -> None:
    """Over draws of known and new cases, by three standard deviations of the binomial count."""
    rng = np.random.default_rng(count)
    trials, flagged = 300, 0
    for _ in range(trials):
        *known, new = cases(rng, count + 1)
        flagged += bool(Familiarity.fit(known, share).reasons(new))
    most = max(share, 1 / (count + 1))
    assert flagged <= trials * most + 3 * (trials * most * (1 - most)) ** 0.5
    assert flagged > 0.4 * trials * most  # and it is no empty promise


def test_a_case_that_differs_in_one_thing_is_told_apart_by_that() -> None:
    known = cases(np.random.default_rng(1), 60)
    new = dict(known[0]) | {"noise": 60 * TRAITS["noise"].least}
    assert Familiarity.fit(known).reasons(known[0]) == []
    assert Familiarity.fit(known).reasons(new) == ["there is more or less noise than in the known cases"]


def test_a_difference_that_does_not_matter_is_none() -> None:
    """Cases of one scanner have one pixel size: another that is as good as the same is not told."""
    known = [{"pixel_mm": 1.0, "noise": 0.02 + 0.001 * (n % 7)} for n in range(40)]
    assert Familiarity.fit(known).reasons({"pixel_mm": 1.001, "noise": 0.022}) == []
    other = Familiarity.fit(known).reasons({"pixel_mm": 3.0, "noise": 0.022})
    assert other == ["the pixels are larger or smaller than those of the known cases"]


def test_fewer_cases_than_the_share_needs_flag_what_is_stranger_than_all() -> None:
    known = [{"noise": 0.03 * n} for n in range(9)]
    few = Familiarity.fit(known)
    assert few.supported == pytest.approx(0.1)
    assert few.reasons({"noise": 0.03 * 12})
    assert not few.reasons({"noise": 0.03 * 8})  # as strange as one of them
    assert Familiarity.fit([{"noise": 0.0}] * 19).supported == 0.05
    assert Familiarity.fit([]).reasons({"noise": 9.0}) == []


def test_traits_that_some_cases_lack_are_judged_by_the_others() -> None:
    known = cases(np.random.default_rng(2), 50)
    for row in known[:20]:
        del row["canal_mm2"]
    found = Familiarity.fit([*known, {"unknown": 3.0}, {"noise": float("nan")}])
    assert len(found.rows) == 50
    assert found.reasons(dict(known[30]) | {"canal_mm2": 1e5}) == [TRAITS["canal_mm2"].unlike]
    without = {name: value for name, value in known[30].items() if name != "canal_mm2"}
    assert found.reasons(without) == []


def test_what_is_written_says_the_same() -> None:
    known = cases(np.random.default_rng(3), 30)
    found = Familiarity.fit(known, 0.1)
    again = Familiarity.from_dict(json.loads(json.dumps(found.to_dict())))
    for new in cases(np.random.default_rng(5), 30):
        assert again.reasons(new) == found.reasons(new)
