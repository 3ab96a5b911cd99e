from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spine_ignite.errors import UsageError
from spine_ignite.labels import load_scheme
from spine_ignite.labels.dataset_json import read_dataset_json, structure


def write(folder: Path, **content: Any) -> Path:
    path = folder / "dataset.json"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("L5", "l5", "vertebra_L5", "vertebrae L5", "L5 vertebral body"), ("vertebra", "L5")),
        (("S", "S1", "Sacrum", "sacral"), ("sacrum", "S")),
        (("L5/S", "L5-S1", "L5S1", "disc_L5_S1", "IVD L5-S"), ("disc", "L5/S")),
        (("T12/L1", "T12-L1", "disk L1/T12"), ("disc", "T12/L1")),
        (("L4/L5", "L4_5", "intervertebral disc L4-L5"), ("disc", "L4/L5")),
        (("canal", "spinal canal", "SpinalCanal"), ("canal", "canal")),
        (("cord", "spinal_cord", "Spinal Cord"), ("cord", "cord")),
        (("rib", "Ribs"), ("rib", "rib")),
        (("rib_left_12", "Rib left 12"), ("rib", "ribleft12")),
        (("background", "Background"), ("background", "background")),
        (("Vertebra 3", "vertebra_3"), ("other", "vertebra3")),
        (("disc 3",), ("other", "disc3")),
    ],
)
def test_a_structure_is_known_in_the_spellings_that_datasets_have(names: tuple[str, ...], expected: Any) -> None:
    assert {structure(name) for name in names} == {expected}


@pytest.mark.parametrize("name", ["mrspineseg", "spider", "spine", "lumbar-vertebrae", "totalspineseg", "spineps"])
def test_the_schemes_own_names_are_known(name: str) -> None:
    for entry in load_scheme(name).classes:
        kind, known = structure(entry.name)
        assert (kind, known) == (entry.kind, entry.name) or entry.name in ("C0", "C0/C1")


@pytest.mark.parametrize("version", [1, 2])
def test_a_scheme_is_made_of_the_names_with_vertebrae_from_the_sacrum_up(tmp_path: Path, version: int) -> None:
    labels = {"background": 0, "L1": 3, "L5": 1, "sacrum": 7, "T12": 9, "disc L5-S1": 5, "tumour": 2, "disc L1/L2": 4}
    if version == 1:
        path = write(tmp_path, labels={str(v): n for n, v in labels.items()}, modality={"0": "MRI"}, name="Spine")
    else:
        path = write(tmp_path, labels=labels, channel_names={"0": "T2"})
    scheme = load_scheme(path)
    assert scheme.name == ("Spine" if version == 1 else "nnU-Net")
    assert [(c.value, c.name, c.kind) for c in scheme.classes] == [
        (0, "background", "background"),
        (7, "sacrum", "sacrum"),
        (1, "L5", "vertebra"),
        (3, "L1", "vertebra"),
        (9, "T12", "vertebra"),
        (5, "disc L5-S1", "disc"),
        (4, "disc L1/L2", "disc"),
        (2, "tumour", "other"),
    ]


def test_channels_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    labels = {"background": 0, "L5": 1}
    for said in ({"10": "K", "2": "C", "1": "B", "0": "A", **{str(n): str(n) for n in range(3, 10)}}, list("AB")):
        channels = read_dataset_json(write(tmp_path, labels=labels, channel_names=said)).channels
        assert channels == ("A", "B", "C", *"3456789", "K")[: len(said)]
    path = write(tmp_path, labels=labels, channel_names={"0": "T2", "2": "T1"})
    with pytest.raises(UsageError, match=r"its channels are numbered 0, 2; number them from 0 on without a gap"):
        read_dataset_json(path)


def test_nnunets_ignore_label_is_no_class(tmp_path: Path) -> None:
    scheme = load_scheme(write(tmp_path, labels={"background": 0, "L5": 1, "ignore": 2}))
    assert (scheme.names, scheme.ignore) == (("background", "L5"), (2,))


@pytest.mark.parametrize("count", [2, 60, 255])
def test_colours_differ(tmp_path: Path, count: int) -> None:
    scheme = load_scheme(write(tmp_path, labels={f"x{n}": n for n in range(count)}))
    assert len({c.color for c in scheme.classes}) == count


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "is not a dataset.json of nnU-Net: 'labels' is missing"),
        ({"labels": []}, "'labels' names none"),
        ({"labels": {"a": -1}}, "the value of 'a' is -1"),
        ({"labels": {"a": "x"}}, "the value of 'a' is 'x'"),
        ({"labels": {"background": 0, "spine": [1, 2]}}, "makes 'spine' a region of several values"),
        ({"labels": {"background": 0, "L5": 3, "ignore": 3}}, "value 3 is used by two classes"),
        ({"labels": {"L5": 1, "L4": 2}}, "the first of kind 'background'"),
        ({"labels": {"background": 0, "L4": 2, "L5": 2}}, "value 2 is used by two classes"),
    ],
)
def test_what_cannot_be_a_scheme_is_refused(tmp_path: Path, content: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        load_scheme(write(tmp_path, **content))
    assert "dataset.json" in str(caught.value)


@given(text=st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_whatever_is_in_the_file_is_told_in_a_sentence(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=r"any.json (is not a dataset.json|cannot be read)"):
        read_dataset_json(path)


@pytest.mark.parametrize("text", ["[]", "3", '"labels"'])
def test_a_file_without_an_object_is_told_without_words_of_python(tmp_path: Path, text: str) -> None:
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(UsageError, match="is not a dataset.json of nnU-Net: it holds no object with 'labels'"):
        read_dataset_json(tmp_path / "dataset.json")


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none.json cannot be read: No such file"):
        load_scheme(tmp_path / "none.json")
