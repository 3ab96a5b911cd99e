from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spine_ignite.inference.levels.evidence import Evidence
from spine_ignite.inference.levels.exponents import Weights
from spine_ignite.inference.levels.hypotheses import STATES, Given, Hypotheses, names_of, weigh
from spine_ignite.inference.levels.naming import infer, score_of
from spine_ignite.inference.levels.sequence import LUMBAR_COUNTS, THORACIC_COUNTS, VARIANTS, SchemeLevels
from spine_ignite.labels import load_scheme

LEVELS = SchemeLevels(load_scheme("mrspineseg"))


def evidence(names: list[str], sacrum: float | None = 0.0, doubt: float = 0.05, **changes: object) -> Evidence:
    """Vertebrae of one size and distance, each called by its name with a certainty of ``1 - doubt``."""
    count = len(names)
    table = np.full((count, LEVELS.scheme.num_classes), doubt / len(LEVELS.vertebrae))
    for place, name in enumerate(names):
        table[place, LEVELS.vertebrae[name]] += 1 - doubt
    known = {
        "names": table,
        "volume": np.full(count, 30.0),
        "weight": np.ones(count),
        "cut": np.zeros(count, bool),
        "height": np.arange(count, dtype=float),
        "length": np.ones(count),
        "discs": (),
        "sacrum": sacrum,
        "visible": 1,
        "ribs": np.full((count, 2), np.nan),
    }
    return Evidence(**{**known, **changes})  # type: ignore[arg-type]


def flat(naming: tuple[tuple[str, ...], ...]) -> list[str]:
    return ["-".join(names) for names in naming]


def test_variants_have_the_prevalence_of_the_source() -> None:
    """Tins and Balain 2016: of 418, 18 have one vertebra more and 14 one less; 8 sacralised L5, 4 lumbarised S1."""
    assert sum(variant.prior for variant in VARIANTS) == pytest.approx(1)
    assert LUMBAR_COUNTS[6] + THORACIC_COUNTS[13] == pytest.approx((18 + 4) / 418, abs=0.002)
    assert LUMBAR_COUNTS[4] + THORACIC_COUNTS[11] == pytest.approx((14 + 8) / 418, abs=0.002)
    six = next(v for v in VARIANTS if (v.lumbar, v.thoracic) == (6, 13))
    assert six.levels[:7] == ("L6", "L5", "L4", "L3", "L2", "L1", "T13")


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), pieces=st.integers(1, 3))
def test_sums_over_all_namings_are_those_of_enumeration(seed: int, pieces: int) -> None:
    """Forward-backward against the plain sum over every naming, on random scores of a few states of two variants."""
    rng = np.random.default_rng(seed)
    states = rng.choice(20, 4, replace=False)
    shape = (pieces, len(VARIANTS), STATES)
    emission = np.full(shape, -1e9)
    for variant in (3, 4):
        emission[:, variant, states] = rng.normal(0, 2, (pieces, 4))
    start = rng.normal(0, 1, shape)
    step = {(i, j): rng.normal(0, 1, (STATES, STATES)) for i in range(pieces) for j in range(i + 1, pieces)}
    scores = Hypotheses(start, emission, step, rng.normal(0, 1, pieces))
    total, of_first = 0.0, dict.fromkeys(range(pieces), 0.0)
    for variant in (3, 4):
        for size in range(1, pieces + 1):
            for chosen in itertools.combinations(range(pieces), size):
                for path in itertools.product(states, repeat=size):
                    score = start[chosen[0], variant, path[0]] + scores.end[chosen[-1]]
                    score += sum(emission[i, variant, s] for i, s in zip(chosen, path, strict=True))
                    pairs = zip(itertools.pairwise(chosen), itertools.pairwise(path), strict=True)
                    score += sum(step[pair][ends] for pair, ends in pairs)
                    total += np.exp(score)
                    for place in chosen:
                        of_first[place] += np.exp(score)
    found = infer(scores)
    for place, marginal in enumerate(found.marginals):
        assert 1 - marginal[()] == pytest.approx(of_first[place] / total, abs=1e-6)
        assert sum(marginal.values()) == pytest.approx(1, abs=1e-4)
    naming, chance = found.namings[0]
    assert chance == pytest.approx(np.exp(score_of(scores, naming)) / total, rel=1e-6)
    assert sum(chance for _, chance in found.namings) <= 1 + 1e-6


def test_a_column_in_order_on_the_sacrum_is_sure() -> None:
    found = infer(weigh(evidence(["L5", "L4", "L3", "L2", "L1"]), LEVELS, Weights()))
    assert flat(found.best) == ["L5", "L4", "L3", "L2", "L1"]
    assert found.namings[0][1] > 0.95


def test_names_one_too_high_on_a_sacrum_are_doubted() -> None:
    """Called L4 to T12, but the lowest stands on the sacrum: either is wrong, and neither is sure."""
    sure = infer(weigh(evidence(["L5", "L4", "L3", "L2", "L1"]), LEVELS, Weights())).namings[0][1]
    found = infer(weigh(evidence(["L4", "L3", "L2", "L1", "T12"], doubt=0.3), LEVELS, Weights()))
    assert found.namings[0][1] < sure
    assert found.marginals[0].get(("L5",), 0) > 0.05


def test_one_wrong_name_follows_the_others_and_a_gap_is_a_missed_vertebra() -> None:
    found = infer(weigh(evidence(["L5", "L4", "L4", "L2", "L1"]), LEVELS, Weights()))
    assert flat(found.best) == ["L5", "L4", "L3", "L2", "L1"]
    gap = evidence(["L5", "L4", "L2", "L1"], height=np.array([0.0, 1.0, 3.0, 4.0]))
    assert flat(infer(weigh(gap, LEVELS, Weights())).best) == ["L5", "L4", "L2", "L1"]


def test_a_piece_twice_as_tall_is_two_vertebrae() -> None:
    merged = evidence(["L5", "L4", "L2"], height=np.array([0.0, 1.5, 3.0]), length=np.array([1.0, 2.3, 1.0]))
    assert flat(infer(weigh(merged, LEVELS, Weights())).best) == ["L5", "L4-L3", "L2"]


def test_without_sacrum_and_names_nothing_is_known() -> None:
    """Equal probabilities of all levels in a field of view that ends at the lowest vertebra: no naming is likely."""
    found = infer(weigh(evidence(["L5", "L4", "L3"], None, doubt=1.0, visible=0), LEVELS, Weights()))
    assert found.namings[0][1] < 0.3


@pytest.mark.parametrize(("place", "level"), [(0, "L4"), (2, "L1"), (3, "T12"), (0, "L6")])
def test_what_is_given_is_kept(place: int, level: str) -> None:
    found = infer(weigh(evidence(["L5", "L4", "L3", "L2"]), LEVELS, Weights(), Given({place: level})))
    assert found.best[place] == (level,)
    assert found.marginals[place][(level,)] == pytest.approx(1)
    order = [names_of(4, state)[0] for state in range(12)]
    assert flat(found.best) == (["L6", "L5", "L4", "L3"] if level == "L6" else order[order.index(level) - place :][:4])


def test_the_lowest_may_be_given() -> None:
    found = infer(weigh(evidence(["L5", "L4", "L3"]), LEVELS, Weights(), Given({}, "L4")))
    assert flat(found.best) == ["L4", "L3", "L2"]
