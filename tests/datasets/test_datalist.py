from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from spine_ignite.datasets.datalist import folds_in
from spine_ignite.datasets.find_cases import find_cases
from spine_ignite.errors import DataError


def listed(root: Path, name: str = "datalist.json", **parts: Any) -> Path:
    for folder in ("scans", "drawn"):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for letter in "abcd":
            (root / folder / f"{letter}.nii.gz").touch()
    (root / name).write_text(json.dumps(parts))
    return root


def entry(letter: str, **more: Any) -> dict[str, Any]:
    return {"image": f"scans/{letter}.nii.gz", "label": f"./drawn/{letter}.nii.gz", **more}


def test_parts_masks_and_folds(tmp_path: Path) -> None:
    root = listed(tmp_path, training=[entry("a"), entry("b")], validation=[entry("c")], test=["scans/d.nii.gz"])
    dataset, problems = find_cases(root)
    assert (dataset.layout, problems) == ("monai", [])
    assert [(c.name, c.split, c.label and c.label.parent.name) for c in dataset.cases] == [
        ("a", "train", "drawn"),
        ("b", "train", "drawn"),
        ("c", "train", "drawn"),
        ("d", "test", None),
    ]
    names = {case.image: case.name for case in dataset.cases}
    assert folds_in(root / "datalist.json", names) == [{"train": ["a", "b"], "val": ["c"]}]
    listed(root, training=[entry(letter, fold=number) for letter, number in zip("abc", (1, 0, 1), strict=True)])
    assert folds_in(root / "datalist.json", names) == [
        {"train": ["a", "c"], "val": ["b"]},
        {"train": ["b"], "val": ["a", "c"]},
    ]
    listed(root, training=[entry("a", fold=0), entry("b")])
    assert folds_in(root / "datalist.json", names) == [], "not all have one"


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ([entry("a"), entry("z")], r"names .*scans/z.nii.gz, which is no volume that is there; correct the list"),
        ([entry("a"), {"image": "scans/b.nii.gz", "label": "datalist.json"}], "which is no volume that is there"),
        ([entry("a"), entry("a")], "names two images of case 'a'"),
        ([{"label": "drawn/a.nii.gz"}], "has an entry without an image"),
        ([{"image": ["scans/a.nii.gz", "scans/b.nii.gz"]}], "networks here see one image of each case"),
        ([7], "has 7 in 'training', expected an object with image and label"),
    ],
)
def test_a_list_that_lies_is_told(tmp_path: Path, training: list[Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        find_cases(listed(tmp_path, training=training))


def test_another_layout_than_is_said_or_a_damaged_list(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not in the layout 'bids': BIDS"):
        find_cases(listed(tmp_path, training=[entry("a")]), "bids")
    (tmp_path / "datalist.json").write_text("{")
    with pytest.raises(DataError, match="datalist.json cannot be read: Expecting property name"):
        find_cases(tmp_path)
