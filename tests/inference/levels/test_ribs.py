"""Ribs beside vertebrae, and what they say of the levels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from spine_ignite.inference.levels.column import Column, name_column
from spine_ignite.inference.levels.exponents import Weights
from spine_ignite.inference.levels.reasons import reasons
from spine_ignite.inference.levels.ribs import rib_odds, ribs_beside, shows_lowest_rib
from spine_ignite.labels import load_scheme

SCHEME = load_scheme("spine")
RIB = SCHEME.names.index("rib")
ONE = 2 * 12 * 10 * 4.0 * 1.5 * 1.5 / 1000  # ml of a rib
LUMBAR = ["L5", "L4", "L3", "L2", "L1"]
Boxes = Callable[..., tuple[NDArray[np.uint8], NDArray[np.float64]]]
Named = Callable[..., Column]


@pytest.fixture
def named(boxes: Boxes) -> Named:
    """What names a column of boxes."""
    return lambda *args, **kwargs: name_column(*boxes(*args, **kwargs), SCHEME)


def test_a_rib_is_found_on_its_side_of_its_vertebra(named: Named) -> None:
    found = named([*LUMBAR, "T12", "T11"], {5: "L", 6: "LR"})
    assert found.evidence is not None
    assert found.evidence.ribs == pytest.approx(np.array([[0, 0]] * 5 + [[ONE, 0], [ONE, ONE]]))


def test_nothing_is_said_where_labels_have_no_ribs(named: Named) -> None:
    without = named([*LUMBAR, "T12", "T11"])
    assert without.evidence is not None
    assert np.isnan(without.evidence.ribs).all(), "masks that leave ribs out do not say that there are none"


def test_where_slices_end_early_a_trace_says_nothing_and_a_plain_rib_is_one(boxes: Boxes) -> None:
    labels, affine = boxes([*LUMBAR, "T12"], slices=11)
    for rows, expected in ((1, np.nan), (12, 12 * 10 * 4.0 * 1.5 * 1.5 / 1000)):
        labels[0, 146 : 146 + rows, 8:18] = RIB
        evidence = name_column(labels, affine, SCHEME).evidence
        assert evidence is not None
        assert evidence.ribs[5] == pytest.approx([expected, np.nan], nan_ok=True)
        assert np.isnan(evidence.ribs[:5]).all()


def test_sides_and_volumes_do_not_depend_on_how_the_volume_is_stored(boxes: Boxes) -> None:
    labels, affine = boxes([*LUMBAR, "T12", "T11"], {5: "L", 6: "R"})
    flip = np.diag([-1.0, 1, 1, 1])
    flip[0, 3] = labels.shape[0] - 1
    for array, matrix in ((labels[::-1], affine @ flip), (labels.transpose(1, 0, 2), affine[:, [1, 0, 2, 3]])):
        other = name_column(np.ascontiguousarray(array), matrix, SCHEME).evidence
        same = name_column(labels, affine, SCHEME).evidence
        assert other is not None
        assert same is not None
        assert other.ribs == pytest.approx(same.ribs)


def levels(lumbar: int, count: int) -> list[str]:
    """So many levels from the sacrum up."""
    return [*(f"L{n}" for n in range(lumbar, 0, -1)), *(f"T{n}" for n in range(12, 0, -1))][:count]


@pytest.mark.parametrize("lumbar", [4, 5, 6])
def test_the_lowest_rib_tells_how_many_lumbar_vertebrae_there_are(named: Named, lumbar: int) -> None:
    """Of a network that counts to five in half of the slices, and otherwise in the others."""
    ribs = dict.fromkeys(range(lumbar, 9), "LR")
    found = named(levels(5, 9), ribs, others=levels(4 if lumbar == 5 else lumbar, 9))
    assert found.posterior is not None
    assert [names[0] for names in found.posterior.best] == levels(lumbar, 9)


def test_the_lowest_rib_tells_the_levels_where_there_is_no_sacrum(named: Named) -> None:
    called, truth = ["L4", "L3", "L2", "L1", "T12", "T11"], ["L3", "L2", "L1", "T12", "T11", "T10"]
    found = named(called, dict.fromkeys((3, 4, 5), "LR"), sacrum=False, others=truth)
    assert found.posterior is not None
    assert found.evidence is not None
    assert [names[0] for names in found.posterior.best] == truth
    odds = rib_odds(found.evidence.ribs, Weights())
    assert shows_lowest_rib(odds, found.posterior.best)
    assert not shows_lowest_rib(odds, tuple((name,) for name in called))
    assert not shows_lowest_rib(np.array([-3.0, 3.0]), (("L1",), ("T11",))), "T12 was missed"
    assert not shows_lowest_rib(np.zeros(6), found.posterior.best), "nothing is seen"
    told = {reason.text: reason.asks for reason in reasons(found)}
    assert told["no sacrum was found: the levels are counted from the lowest rib"] is False


def test_more_of_a_rib_speaks_for_it_and_what_is_not_looked_at_says_nothing() -> None:
    weights = Weights(ribs=1.5, rib_even=0.2, rib_most=3.0)
    seen = np.array([[np.nan, np.nan], [0.2, np.nan], [0.4, np.nan], [0.4, 0.4], [0.0, 0.0], [9.0, 9.0], [9.0, 0.0]])
    assert rib_odds(seen, weights) == pytest.approx([0, 0, 1.5 * np.log(2), 3 * np.log(2), -6, 6, 0])


def test_one_stray_rib_does_not_overrule_sacrum_and_names(named: Named) -> None:
    found = named([*LUMBAR, "T12", "T11"], {2: "L", 5: "LR", 6: "LR"})
    assert found.posterior is not None
    assert [names[0] for names in found.posterior.best] == [*LUMBAR, "T12", "T11"]


def test_a_volume_without_a_column_has_no_ribs(boxes: Boxes) -> None:
    labels, affine = boxes(["L5"], {0: "LR"})
    found = name_column(labels, affine, SCHEME).found
    assert np.isfinite(ribs_beside(found, labels, affine, SCHEME)).any()
    labels[labels != RIB] = 0
    assert name_column(labels, affine, SCHEME).evidence is None
