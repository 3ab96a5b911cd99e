from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spine_ignite import labels
from spine_ignite.labels import IGNORE, LabelScheme
from spine_ignite.labels.mapping import map_scheme

SHIPPED = ("mrspineseg", "spider", "spine", "lumbar-vertebrae", "totalspineseg", "spineps")

load_scheme = lru_cache(labels.load_scheme)


def values(source: str, target: str, *mask: int) -> list[int]:
    """Read file values of one scheme, write them in another."""
    known, wanted = load_scheme(source), load_scheme(target)
    return wanted.to_values(map_scheme(known, wanted).indices(known.to_indices(np.array(mask)))).tolist()


def test_the_map_from_totalspineseg_to_mrspineseg_is_the_one_that_totalspineseg_had() -> None:
    """Its ``labels_maps/mrspineseg.json``, renumbered as the list of classes is today: S, L5 to T9, L5/S to T9/T10."""
    bodies, discs = [50, 45, 44, 43, 42, 41, 32, 31, 30, 29], [100, 95, 94, 93, 92, 91, 82, 81, 80]
    assert values("totalspineseg", "mrspineseg", *bodies, *discs) == list(range(1, 20))
    assert values("mrspineseg", "totalspineseg", *range(1, 20)) == bodies + discs


@pytest.mark.parametrize(
    ("source", "mask", "expected"),
    [
        ("spider", [1, 101, 5, 6, 17, 100, 201, 206], ["L5", "L5", "L1", "T12", "T1", "canal", "L5/S", "T12/L1"]),
        ("spider", [18, 218], ["background"] * 2),
        ("mrspineseg", [1, 2, 10, 11, 19], ["S", "L5", "T9", "L5/S", "T9/T10"]),
        ("lumbar-vertebrae", [2, 8], ["L5", "T11"]),
        ("totalspineseg", [1, 2, 50, 45, 21, 100], ["cord", "canal", "S", "L5", "T1", "L5/S"]),
        ("spineps", [26, 24, 8, 124, 119, 120], ["S", "L5", "T1", "L5/S", "T12/L1", "L1/L2"]),
    ],
)
def test_published_values_are_read_in_spine(source: str, mask: list[int], expected: list[str]) -> None:
    names = load_scheme("spine").names
    assert [names[value] for value in values(source, "spine", *mask)] == expected


def test_discs_of_a_column_with_a_vertebra_more_are_named_by_both_neighbours() -> None:
    """SPINEPS numbers a disc by the vertebra above it, TotalSpineSeg the last disc always 100."""
    names = np.array(load_scheme("spine").names)
    assert names[values("spineps", "spine", 25, 24, 124, 125)].tolist() == ["L6", "L5", "L5/L6", "L6/S"]
    assert names[values("spineps", "spine", 28, 119, 128)].tolist() == ["T13", "T12/T13", "T13/L1"]
    assert names[values("totalspineseg", "spine", 46, 96, 100)].tolist() == ["L6", "L5/L6", "L6/S"]
    at = load_scheme("spine").names.index
    assert values("spine", "spineps", at("L5/L6"), at("L6/S"), at("T12/T13"), at("L5/S")) == [124, 125, 119, 124]
    assert values("spine", "totalspineseg", at("L6/S"), at("L5/S")) == [100, 100]


@pytest.mark.parametrize("source", SHIPPED)
@pytest.mark.parametrize("target", SHIPPED)
@given(data=st.data())
def test_a_structure_keeps_its_name_or_becomes_background(source: str, target: str, data: st.DataObject) -> None:
    known, wanted = load_scheme(source), load_scheme(target)
    # One class at a time: no other level is in the mask that could rename it.
    index = data.draw(st.sampled_from([*range(known.num_classes), IGNORE]))
    found = map_scheme(known, wanted)
    (mapped,) = found.indices(np.array([index], np.uint8))
    if index == IGNORE:
        assert mapped == IGNORE
        return
    entry = known.classes[index]
    aliases = {then: disc for _, disc, then in wanted.renamed}
    name = entry.name if entry.name in wanted.names else aliases.get(entry.name, "background")
    assert wanted.names[mapped] == name
    assert (entry.name in found.without) == (name == "background" != entry.name)
    assert found.reached[mapped]


def test_what_no_mask_of_the_source_can_hold_is_told() -> None:
    found = map_scheme(load_scheme("spider"), load_scheme("spine"))
    lacking = [name for name, there in zip(found.target.names, found.reached, strict=True) if not there]
    assert lacking == ["S", "L6", "T13", "L6/S", "L5/L6", "T13/L1", "T12/T13", "cord", "rib"]
    assert found.without[:3] == ("C7", "C6", "C5")
    assert found.notes == (
        ("vertebra", "vertebrae of spider are whole, with arch and processes, those of spine bodies alone"),
        ("canal", "the canal of spider may hold the cord, which is a class of its own in spine"),
    )
    assert map_scheme(load_scheme("mrspineseg"), load_scheme("spine")).notes == ()


def test_names_in_other_spellings_correspond() -> None:
    black = [0, 0, 0]
    classes = [
        {"value": 0, "name": "nothing", "kind": "background", "color": black},
        {"value": 1, "name": "vertebrae L5", "kind": "vertebra", "color": black},
        {"value": 2, "name": "disc_L5_S", "kind": "disc", "color": black},
        {"value": 3, "name": "Spinal cord", "kind": "cord", "color": black},
        {"value": 4, "name": "L4", "kind": "other", "color": black},
    ]
    mine = LabelScheme.from_dict({"name": "mine", "classes": classes})
    found = map_scheme(mine, load_scheme("spine"))
    assert [found.target.names[index] for index in found.table] == ["background", "L5", "L5/S", "cord", "background"]
    assert found.without == ("L4",), "another kind is another structure"
