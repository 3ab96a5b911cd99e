from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from spine_ignite.errors import DataError, UsageError
from spine_ignite.labels import IGNORE, LabelScheme, load_scheme


def test_mrspineseg_has_the_20_published_classes() -> None:
    scheme = load_scheme("mrspineseg")
    assert scheme.num_classes == 20
    assert scheme.values == tuple(range(20))
    assert scheme.names[:4] == ("background", "S", "L5", "L4")
    assert scheme.names[10:12] == ("T9", "L5/S")
    kinds = [c.kind for c in scheme.classes]
    assert (kinds.count("vertebra"), kinds.count("disc"), kinds.count("sacrum")) == (9, 9, 1)
    assert len({c.color for c in scheme.classes}) == 20, "every class can be told apart in a picture"


_known = lru_cache(load_scheme)


@pytest.mark.parametrize("name", ["mrspineseg", "spider", "spine", "lumbar-vertebrae", "totalspineseg", "spineps"])
@given(data=st.data())
def test_indices_and_values_are_inverse(name: str, data: st.DataObject) -> None:
    scheme = _known(name)
    values = np.array(data.draw(st.lists(st.sampled_from(scheme.values), min_size=1, max_size=50)))
    indices = scheme.to_indices(values)
    assert indices.dtype == np.uint8
    assert [scheme.classes[i].value for i in indices] == values.tolist()
    np.testing.assert_array_equal(scheme.to_values(indices), values)


def test_spine_names_every_level_from_the_sacrum_up_with_the_discs_below_them() -> None:
    scheme = load_scheme("spine")
    bodies = [c.name for c in scheme.classes if c.kind == "vertebra"]
    assert bodies == ["L6", *(f"L{n}" for n in range(5, 0, -1)), "T13", *(f"T{n}" for n in range(12, 0, -1))]
    assert scheme.values == tuple(range(45))
    assert set(load_scheme("mrspineseg").names) < set(scheme.names)
    discs = [c.name.split("/") for c in scheme.classes if c.kind == "disc"]
    assert all({upper, lower} <= {*bodies, "S"} for upper, lower in discs)
    assert {upper for upper, _ in discs} == set(bodies), "each has a disc below it"
    assert len({c.color for c in scheme.classes}) == 45, "every class can be told apart in a picture"


def test_spider_has_all_documented_values() -> None:
    """1 to 25 vertebrae from L5 up, 100 the canal, 101 to 125 vertebrae that are partly visible, 201 to 225 discs."""
    scheme = load_scheme("spider")
    documented = np.array([0, *range(1, 26), 100, *range(101, 126), *range(201, 226)])
    names = np.array(scheme.names)[scheme.to_indices(documented)]
    assert names[[1, 6, 18, 24]].tolist() == ["L5", "T12", "C7", "C1"]
    np.testing.assert_array_equal(names[1:26], names[27:52])
    assert names[[26, 52, 57]].tolist() == ["canal", "L5/S", "T12/L1"]
    written = scheme.to_values(scheme.to_indices(documented))
    assert written[27:52].tolist() == list(range(1, 26)), "what is merged is written with the first value"
    assert len({c.color for c in scheme.classes}) == scheme.num_classes
    assert LabelScheme.from_dict(scheme.to_dict()) == scheme
    with pytest.raises(
        DataError, match=r"26 \(1 voxels\) are not in the scheme 'spider', which has 0-25, 100-125, 201-2"
    ):
        scheme.to_indices(np.array([26]))


def test_unknown_values_are_named_with_their_count() -> None:
    values = np.array([[0, 2, 77], [77, -1, 3]])
    with pytest.raises(DataError, match=r"-1 \(1 voxels\), 77 \(2 voxels\) are not in the scheme 'lumbar-vertebrae'"):
        load_scheme("lumbar-vertebrae").to_indices(values)


def test_a_scheme_file_of_ones_own(tmp_path: Path) -> None:
    data = {
        "name": "mine",
        "classes": [
            {"value": 0, "name": "background", "kind": "background", "color": [0, 0, 0]},
            {"value": 300, "name": "L5", "kind": "vertebra", "color": [255, 0, 0]},
        ],
    }
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(data))
    scheme = load_scheme(path)
    assert scheme.to_values(np.array([1, 0], np.uint8)).tolist() == [300, 0]
    assert LabelScheme.from_dict(scheme.to_dict()) == scheme


def _lumbar(**more: object) -> dict[str, object]:
    classes = [
        {"value": 0, "name": "background", "kind": "background", "color": [0, 0, 0]},
        {"value": 4, "name": "L5", "kind": "vertebra", "color": [255, 0, 0]},
    ]
    return {"name": "mine", "classes": classes, **more}


def test_what_is_to_be_ignored_is_no_class() -> None:
    scheme = LabelScheme.from_dict(_lumbar(ignore=[7, 300], vertebrae="whole"))
    assert (scheme.num_classes, scheme.vertebrae) == (2, "whole")
    indices = scheme.to_indices(np.array([0, 4, 7, 300]))
    assert indices.tolist() == [0, 1, IGNORE, IGNORE]
    assert scheme.to_values(indices).tolist() == [0, 4, 7, 7]
    assert LabelScheme.from_dict(scheme.to_dict()) == scheme
    without = LabelScheme.from_dict(_lumbar())
    assert without.to_values(indices).tolist() == [0, 4, 5, 5], "nnU-Net's ignore label is the highest"
    assert without.to_dict().keys() == {"name", "classes"}, "as older versions wrote it"
    with pytest.raises(DataError, match=r"7 \(1 voxels\)"):
        without.to_indices(np.array([7]))


@pytest.mark.parametrize("name", ["spider", "totalspineseg", "spineps"])
def test_whole_vertebrae_are_said_to_be_so(name: str) -> None:
    scheme = load_scheme(name)
    assert scheme.vertebrae == "whole"
    assert LabelScheme.from_dict(scheme.to_dict()) == scheme
    assert load_scheme("spine").vertebrae == "body"


def test_end_plates_of_spineps_count_nowhere() -> None:
    documented = np.array([*range(1, 27), 28, *range(101, 126), 128, *range(201, 226)])
    indices = load_scheme("spineps").to_indices(documented)
    assert (indices == IGNORE).tolist() == [value > 200 for value in documented.tolist()]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_lumbar(vertebrae="half"), "vertebrae must be body or whole, got 'half'"),
        (_lumbar(ignore="x"), "ignore must be an integer"),
        (_lumbar(ignore=4), "value 4 is used by two classes"),
        (_lumbar(renamed=["L6"]), "an entry of 'renamed' is a vertebra, a disc"),
        (_lumbar(renamed=[["L6", "L5", "x"]]), "'renamed' speaks of 'L6', which is none of its classes"),
        ({"classes": []}, "2 to 255 classes"),
        ({"name": None, "classes": "x"}, "not a label scheme"),
        ({"classes": [{"value": 0, "name": "a", "kind": "background", "color": [0, 0, 0]}] * 2}, "used by two classes"),
        ({"classes": [{"value": -1, "name": "a", "kind": "disc", "color": [0, 0, 0]}]}, "value must be an integer"),
        ({"classes": [{"value": 1, "name": "a", "kind": "bone", "color": [0, 0, 0]}]}, "kind must be one of"),
        ({"classes": [{"value": 1, "name": "a", "kind": "disc", "color": [0, 0, 999]}]}, "color must be three"),
        ({"classes": [{"value": 1}]}, "key 'kind' is missing"),
        (
            {
                "classes": [
                    {"value": 0, "name": "a", "kind": "background", "color": [0, 0, 0]},
                    {"values": [1, 0], "name": "b", "kind": "disc", "color": [0, 0, 0]},
                ]
            },
            "value 0 is used by two classes",
        ),
        ({"classes": [{"values": [], "name": "a", "kind": "disc", "color": [0, 0, 0]}]}, "a list of 1 to 256 values"),
        ({"classes": [{"values": "12", "name": "a", "kind": "disc", "color": [0, 0, 0]}]}, "a list of 1 to 256 values"),
        ({"classes": [{"values": [True], "name": "a", "kind": "disc", "color": [0, 0, 0]}]}, "must be an integer"),
    ],
)
def test_what_is_not_a_scheme_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        LabelScheme.from_dict({"name": "x", **change})


def test_unknown_scheme_is_answered_with_the_closest() -> None:
    with pytest.raises(UsageError, match="mrspineseg"):
        load_scheme("mrspinseg")
