"""What is taken for granted of a column is said."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from spine_ignite.inference.levels.assumptions import assumptions
from spine_ignite.inference.levels.column import name_column
from spine_ignite.inference.levels.hypotheses import NOTHING, Given
from spine_ignite.labels import load_scheme

SCHEME = load_scheme("spine")
LUMBAR = ["L5", "L4", "L3", "L2", "L1"]
FIVE = "five lumbar vertebrae: sacrum and lowest rib were not seen together"
TWELVE = "twelve thoracic vertebrae: T1 was not seen"


Said = Callable[..., list[str]]


@pytest.fixture
def said(boxes: Callable[..., tuple[NDArray[np.uint8], NDArray[np.float64]]]) -> Said:
    """What is said of a column of boxes."""

    def say(names: list[str], ribs: dict[int, str] | None = None, given: Given = NOTHING) -> list[str]:
        return assumptions(name_column(*boxes(names, ribs), SCHEME, knowing=lambda found: given))

    return say


def test_the_usual_numbers_are_told_where_they_are_not_counted(said: Said) -> None:
    assert said([*LUMBAR, "T12", "T11"]) == [FIVE, TWELVE]
    assert said(LUMBAR) == [FIVE]


def test_sacrum_and_lowest_rib_count_the_lumbar_vertebrae_and_t1_the_thoracic_ones(said: Said) -> None:
    assert said([*LUMBAR, "T12", "T11"], {5: "LR", 6: "LR"}) == [TWELVE]
    assert said([*LUMBAR, *(f"T{n}" for n in range(12, 0, -1))]) == [FIVE]


def test_another_number_that_is_seen_is_the_one_that_is_told(said: Said) -> None:
    four = ["L4", "L3", "L2", "L1", "T12", "T11", "T10"]
    assert said(four, dict.fromkeys((4, 5, 6), "LR")) == [TWELVE]


def test_of_what_a_person_said_nothing_is_assumed(said: Said) -> None:
    assert said([*LUMBAR, "T12"], given=Given({2: "L3"})) == [TWELVE], "a lumbar level tells nothing of it"
    assert said([*LUMBAR, "T12"], given=Given({5: "T12"})) == []
    assert said(LUMBAR, given=Given({}, "L5")) == []


def test_nothing_is_assumed_of_no_column() -> None:
    empty = np.zeros((9, 40, 40), np.uint8)
    assert assumptions(name_column(empty, np.eye(4), SCHEME)) == []
