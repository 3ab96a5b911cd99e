from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from spine_ignite.evaluation.level_rate import column_shift, identification_rate

VERTEBRAE = (2, 3, 4, 5, 6)  # of 8 classes: 0 background, 1 sacrum, 7 a disc


def confusion(named: dict[int, int], voxels: int = 100) -> NDArray[np.int64]:
    """Every vertebra of the reference predicted as another class; some voxels as background and as a disc."""
    counts = np.zeros((8, 8), np.int64)
    for reference, prediction in named.items():
        counts[reference, prediction] += voxels
        counts[reference, 0] += 3 * voxels
        counts[reference, 7] += 2 * voxels
    return counts


@pytest.mark.parametrize(
    ("named", "rate", "shift"),
    [
        ({2: 2, 3: 3, 4: 4, 5: 5, 6: 6}, 1.0, 0),
        ({2: 3, 3: 4, 4: 5, 5: 6, 6: 0}, 0.0, 1),  # all one level too high, the last has no name left
        ({3: 2, 4: 3, 5: 4, 6: 5}, 0.0, -1),
        ({2: 4, 3: 5, 4: 6}, 0.0, 2),
        ({2: 2, 3: 3, 4: 5, 5: 6, 6: 6}, 3 / 5, 0),  # two of five shifted: not the whole column
        ({2: 3, 3: 4, 4: 5, 5: 5, 6: 6}, 2 / 5, 1),  # three of five
        ({2: 2, 3: 0, 4: 4, 5: 0, 6: 6}, 3 / 5, 0),  # missed, not shifted
        ({2: 3}, 0.0, 0),  # one vertebra is no column
        ({2: 3, 3: 2}, 0.0, 0),  # exchanged
    ],
)
def test_levels(named: dict[int, int], rate: float, shift: int) -> None:
    counts = confusion(named)
    assert identification_rate(counts, VERTEBRAE) == pytest.approx(rate)
    assert column_shift(counts, VERTEBRAE) == shift


def test_the_most_frequent_level_decides_and_a_tie_is_for_the_reference() -> None:
    counts = confusion({2: 2, 3: 3})
    counts[2, 3] = 101
    counts[3, 2] = 100
    assert identification_rate(counts, VERTEBRAE) == 0.5


def test_without_vertebrae_there_is_no_rate() -> None:
    assert math.isnan(identification_rate(np.zeros((8, 8), np.int64), VERTEBRAE))
    assert math.isnan(identification_rate(confusion({2: 2}), ()))
    assert column_shift(np.zeros((8, 8), np.int64), VERTEBRAE) == 0


def test_invented_vertebrae_do_not_count() -> None:
    counts = confusion({2: 2, 3: 3})
    counts[0, 4] = 1000
    assert identification_rate(counts, VERTEBRAE) == 1.0
