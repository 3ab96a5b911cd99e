"""What is told of a column, and for what it is asked about."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from spine_ignite.inference.levels.column import name_column
from spine_ignite.inference.levels.reasons import reasons
from spine_ignite.labels import load_scheme

SCHEME = load_scheme("spine")
UPWARDS = [*(f"L{n}" for n in range(5, 0, -1)), *(f"T{n}" for n in range(12, 0, -1))]
UPPER = "the names of the upper thoracic vertebrae are those of two namings"
LUMBAR = "the names of the lumbar vertebrae are those of two namings"
Told = Callable[..., dict[str, bool]]


@pytest.fixture
def told(boxes: Callable[..., tuple[NDArray[np.uint8], NDArray[np.float64]]]) -> Told:
    """What gives the reasons of a column of boxes, and whether it is asked about for each."""
    return lambda *args, **kwargs: {r.text: r.asks for r in reasons(name_column(*boxes(*args, **kwargs), SCHEME))}


def test_a_rib_beside_a_lumbar_vertebra_is_asked_about_and_a_missing_one_is_told(told: Told) -> None:
    assert told(UPWARDS[:7], {4: "LR", 5: "LR", 6: "LR"})["a rib is seen beside L1"]
    missing = told(UPWARDS[:7], {6: "LR"})
    assert missing["no rib is seen beside T12"] is False, "it may be short"


def test_two_namings_of_lumbar_vertebrae_are_asked_about_whatever_ribs_say(told: Told) -> None:
    others = [*UPWARDS[1:5], *UPWARDS[5:10]]  # L4 on the sacrum, and one less
    ribs = dict.fromkeys((5, 6, 7, 8), "LR")
    assert told(UPWARDS[:9], others=others)[LUMBAR]
    assert told(UPWARDS[:9], ribs, others=others)[LUMBAR]


@pytest.mark.parametrize(("torn", "asked"), [(2, False), (3, True), (5, True)])
def test_three_torn_vertebrae_above_t10_are_asked_about(told: Told, torn: int, asked: bool) -> None:
    names = UPWARDS[:14]
    others = [*names[: 14 - torn], *UPWARDS[15 - torn : 15]]
    assert (UPPER in told(names, others=others)) == asked
    assert UPPER not in told(UPWARDS[:9], others=[*UPWARDS[:6], *UPWARDS[7:10]]), "one of these lies above T10"
