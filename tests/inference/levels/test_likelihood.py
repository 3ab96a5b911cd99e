from __future__ import annotations

import numpy as np
import pytest

from spine_ignite.inference.levels.evidence import Evidence
from spine_ignite.inference.levels.exponents import Weights
from spine_ignite.inference.levels.hypotheses import weigh
from spine_ignite.inference.levels.likelihood import KnownColumn, fit, likelihood
from spine_ignite.inference.levels.naming import infer
from spine_ignite.inference.levels.sequence import SchemeLevels
from spine_ignite.labels import load_scheme

LEVELS = SchemeLevels(load_scheme("mrspineseg"))
TRUTH = (("L5",), ("L4",), ("L3",), ("L2",))


def column(called: list[str]) -> KnownColumn:
    table = np.full((4, LEVELS.scheme.num_classes), 0.002)
    for place, name in enumerate(called):
        table[place, LEVELS.vertebrae[name]] = 0.9
    ones = np.ones(4)
    ribs = np.full((4, 2), np.nan)
    evidence = Evidence(table, 30 * ones, ones, np.zeros(4, bool), np.arange(4.0), ones, (), None, 0, ribs)
    return KnownColumn(evidence, LEVELS, TRUTH)


def test_names_that_err_in_one_of_four_columns_are_believed_to_about_that_degree() -> None:
    """Without a sacrum names are all there is: the likelihood is best where they are right as often as they claim."""
    cases = [column(["L5", "L4", "L3", "L2"])] * 3 + [column(["L4", "L3", "L2", "L1"])]
    start = Weights(names=8.0)
    found = fit(start, cases, ("names",))
    assert found.names < start.names
    assert likelihood(found, cases) > likelihood(start, cases)
    claimed = infer(weigh(cases[0].evidence, LEVELS, found)).namings[0][1]
    before = infer(weigh(cases[0].evidence, LEVELS, start)).namings[0][1]
    assert before > 0.99
    assert claimed == pytest.approx(0.75, abs=0.2)
