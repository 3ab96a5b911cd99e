from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from spine_ignite.evaluation.column_right import judge_column

BACKGROUND, SACRUM, L5, L4, L3 = range(5)
VERTEBRAE = (L5, L4, L3)


def confusion(*cells: tuple[int, int, int]) -> NDArray[np.int64]:
    """Of cells (in the reference, in the prediction, voxels)."""
    table = np.zeros((5, 5), np.int64)
    table[BACKGROUND, BACKGROUND] = 10_000
    for reference, prediction, voxels in cells:
        table[reference, prediction] += voxels
    return table


RIGHT = ((SACRUM, SACRUM, 900), (L5, L5, 900), (L5, BACKGROUND, 100), (L4, L4, 1000), (L3, L3, 800), (L3, L4, 200))


def test_a_column_is_right_if_most_voxels_of_each_vertebra_have_its_name() -> None:
    judged = judge_column(confusion(*RIGHT), VERTEBRAE)
    assert judged is not None
    assert judged.is_right
    assert judged.missed == ()


@pytest.mark.parametrize(
    ("cells", "wrong", "missed"),
    [
        (((L5, L4, 900), (L4, L3, 900), (L3, BACKGROUND, 900)), (L5, L4), (L3,)),  # shifted
        (((L5, L5, 900), (L4, BACKGROUND, 1000), (L3, L3, 900)), (), (L4,)),  # not found: it has no wrong name
        (((L5, L5, 900), (L4, L4, 900), (SACRUM, L3, 700)), (L3,), ()),  # a name for the sacrum
        (((L5, L5, 900), (L4, L4, 900), (BACKGROUND, L3, 700)), (), ()),  # above what the reference labels
        (((L5, L5, 900), (L4, BACKGROUND, 900), (BACKGROUND, L4, 700)), (L4,), (L4,)),  # the name is elsewhere
        (((L5, L5, 900), (L4, L4, 900), (L3, L4, 50)), (), ()),  # what is left of one at the edge
    ],
)
def test_what_is_wrong_and_what_is_missed(
    cells: tuple[tuple[int, int, int], ...], wrong: tuple[int, ...], missed: tuple[int, ...]
) -> None:
    judged = judge_column(confusion(*cells), VERTEBRAE)
    assert judged is not None
    assert (judged.wrong, judged.missed) == (wrong, missed)
    assert judged.is_right == (not wrong)


def test_names_that_lie_on_no_vertebra_at_all_are_wrong() -> None:
    judged = judge_column(confusion((L5, BACKGROUND, 900), (BACKGROUND, L4, 30), (SACRUM, L3, 5)), VERTEBRAE)
    assert judged is not None
    assert judged.wrong == (L4, L3)


def test_nothing_to_judge() -> None:
    assert judge_column(confusion((SACRUM, SACRUM, 900)), VERTEBRAE) is None
    assert judge_column(confusion((L5, BACKGROUND, 900)), VERTEBRAE) is None
