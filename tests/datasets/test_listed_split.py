from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from spine_ignite.datasets.listed_split import read_listed, resolve
from spine_ignite.datasets.split import Split
from spine_ignite.errors import DataError

CASES = {name: name for name in ("Case1", "Case2", "Case3", "Case4")}
SERIES = {"1_t1": "1", "1_t2": "1", "2_t1": "2", "3_t2": "3", "3_t2_SPACE": "3"}


def parts(path: Path, fold: int | None = None, patients: dict[str, str] = CASES) -> dict[str, list[str]]:
    lists = read_listed(path, fold)
    assert not isinstance(lists, Split)
    return resolve(lists, patients, path)


def test_nnunet_s_list_has_an_entry_for_each_fold(tmp_path: Path) -> None:
    path = tmp_path / "splits_final.json"
    entries = [{"train": ["Case1", "Case2"], "val": ["Case3"]}, {"train": ["Case3"], "val": ["Case2", "Case1"]}]
    path.write_text(json.dumps(entries))
    assert parts(path) == {"training": ["Case1", "Case2"], "validation": ["Case3"], "test": []}
    assert parts(path, 1) == {"training": ["Case3"], "validation": ["Case2", "Case1"], "test": []}
    with pytest.raises(DataError, match=r"holds 2 splits, numbered from 0; there is no data\.fold=2"):
        read_listed(path, 2)


def test_spider_s_official_division(tmp_path: Path) -> None:
    path = tmp_path / "overview.csv"
    rows = ["new_file_name,subset,sex", "1_t1,training,F", "1_t2,training,F", "2_t1,validation,M", "9_t1,training,M"]
    path.write_text("\n".join(rows))
    expected = {"training": ["1_t1", "1_t2"], "validation": ["2_t1"], "test": []}
    assert parts(path, patients=SERIES) == expected, "a series that was not downloaded is passed over"
    path.write_text("new_file_name,subset\n1_t1,hidden\n")
    with pytest.raises(DataError, match="puts 1_t1 into the subset 'hidden'"):
        read_listed(path, None)


@pytest.mark.parametrize("name", ["split.yaml", "split.json"])
def test_plain_lists_name_cases_or_patients(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    text = json.dumps({"training": [1, "2_t1.mha"], "validation": ["3_t2_space"], "test": ["3_t2"]})
    path.write_text(text, encoding="utf-8-sig")  # with a mark in front, as Windows' editor saves it
    assert parts(path, patients=SERIES) == {
        "training": ["1_t1", "1_t2", "2_t1"],
        "validation": ["3_t2_SPACE"],
        "test": ["3_t2"],
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"training": ["1_t1", "7_t1"], "validation": []},
            "lists 7_t1, which the training part of the dataset does not",
        ),
        ({"training": ["1_t1", "2_t1", "1_T1"]}, "lists 1_t1 more than once; keep one"),
        ({"training": ["1_t1", "2_t1"], "validation": ["2_t1"]}, "lists 2_t1 more than once; keep one"),
        (
            {"training": ["1_t1", "2_t1"], "validation": ["1_t2"]},
            "has one patient (or image) both in training and in validation: 1_t1 and 1_t2; move or remove one",
        ),
        ({"training": []}, "lists no training case"),
        ({"training": "1_t1"}, "'training' in"),
        ({"train": ["1_t1"], "fold": 2}, "is no split; expected a run's split.json"),
        ([{"train": ["1_t1"], "val": [["2_t1"]]}], "'val' in"),
        ("text", "is no split"),
        ([], "holds 0 splits"),
    ],
)
def test_a_list_that_cannot_be_taken_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    path = tmp_path / "list.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError) as caught:
        parts(path, patients=SERIES)
    assert message in str(caught.value)


def test_a_file_that_cannot_be_read_or_has_no_folds_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "list.yaml"
    with pytest.raises(DataError, match="does not exist; expected a run's split.json"):
        read_listed(path, None)
    path.write_text("training: [a, b")
    with pytest.raises(DataError, match="cannot be read"):
        read_listed(path, None)
    path.write_text("training: [a, b]")
    with pytest.raises(DataError, match=r"holds one split, so that data\.fold=1 chooses nothing"):
        read_listed(path, 1)
