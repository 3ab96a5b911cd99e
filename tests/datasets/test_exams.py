"""Images of one exam become one case: by their names, by nnU-Net's channels, by a table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spine_ignite.datasets.cases import Dataset
from spine_ignite.datasets.contrast_names import ContrastNames
from spine_ignite.datasets.exams import TABLE
from spine_ignite.datasets.find_cases import find_cases
from spine_ignite.datasets.patients import patient_of
from spine_ignite.datasets.unused import unused_files
from spine_ignite.errors import DataError

T1_T2 = ("t1", "t2")


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return root


def shown(dataset: Dataset) -> list[tuple[str, str | None, dict[str, str]]]:
    return [
        (case.name, case.label.name if case.label else None, {k: v.name for k, v in case.contrasts})
        for case in dataset.cases
    ]


@pytest.mark.parametrize(
    ("stem", "told"),
    [
        ("12_t1", ("t1", "12")),
        ("12_T2", ("t2", "12")),
        ("12_t2_SPACE", None),
        ("sub-07_ses-1_T2w", ("t2", "sub-07_ses-1")),
        ("exam-t1", ("t1", "exam")),
        ("t1", None),
        ("exam_0001", None),
    ],
)
def test_names_tell_contrasts(stem: str, told: tuple[str, str] | None) -> None:
    assert ContrastNames(T1_T2).tell(stem) == told


def test_the_longest_contrast_that_fits_is_meant() -> None:
    names = ContrastNames(("t2", "t2_space"))
    assert names.tell("12_t2_SPACE") == ("t2_space", "12")
    assert names.tell("12_t2") == ("t2", "12")


def test_spider_gives_one_case_a_patient_and_says_what_is_not_used(tmp_path: Path) -> None:
    files = ("1_t1", "1_t2", "2_t2", "3_t1", "3_t2", "3_t2_SPACE")
    root = touch(tmp_path, *(f"{folder}/{name}.mha" for folder in ("images", "masks") for name in files))
    dataset, problems = find_cases(root, contrasts=T1_T2)
    assert problems == []
    assert shown(dataset) == [
        ("1", "1_t1.mha", {"t1": "1_t1.mha", "t2": "1_t2.mha"}),
        ("2", "2_t2.mha", {"t2": "2_t2.mha"}),
        ("3", "3_t1.mha", {"t1": "3_t1.mha", "t2": "3_t2.mha"}),
    ]
    assert [case.image.name for case in dataset.cases] == ["1_t1.mha", "2_t2.mha", "3_t1.mha"]
    assert [patient_of(case.name) for case in dataset.cases] == ["1", "2", "3"]
    assert dataset.notes == (
        f"1 of 3 cases in {root} lacks the contrast t1, which is 0 there: 2",
        f"1 image in {root} is of none of the contrasts t1, t2, and not used: 3_t2_SPACE",
    )
    groups = {group.folder.name: (group.names, group.why) for group in unused_files(root, dataset)}
    why = "images of none of data.contrasts, and masks of another image than the first of its case that has one"
    assert groups == {"images": (("3_t2_SPACE.mha",), why), "masks": (("1_t2.mha", "3_t2.mha", "3_t2_SPACE.mha"), why)}
    (first,) = (case for case in find_cases(root, contrasts=("t2", "t1"))[0].cases if case.name == "1")
    assert (first.image.name, first.label and first.label.name) == ("1_t2.mha", "1_t2.mha")


def test_without_contrasts_all_is_as_it_was(tmp_path: Path) -> None:
    root = touch(tmp_path, *(f"{folder}/1_{name}.mha" for folder in ("images", "masks") for name in T1_T2))
    (root / TABLE).write_text("case,contrast,image\n")
    dataset, problems = find_cases(root)
    assert (problems, dataset.notes, dataset.layout) == ([], (), "spider")
    assert [(case.name, case.contrasts) for case in dataset.cases] == [("1_t1", ()), ("1_t2", ())]


def test_channels_of_nnunet_are_called_as_its_file_says_else_counted(tmp_path: Path) -> None:
    images = ("a_0000", "a_0001", "b_0001", "c_0000", "c_0001", "c_0002")
    root = touch(tmp_path, *(f"imagesTr/{n}.nii.gz" for n in images), *(f"labelsTr/{n}.nii.gz" for n in "abc"))
    dataset, problems = find_cases(root, contrasts=T1_T2)
    assert problems == []
    assert shown(dataset)[:2] == [
        ("a", "a.nii.gz", {"t1": "a_0000.nii.gz", "t2": "a_0001.nii.gz"}),
        ("b", "b.nii.gz", {"t2": "b_0001.nii.gz"}),
    ]
    assert dataset.notes[-1].endswith("not used: c_0002")
    described = {"labels": {"background": 0}, "channel_names": {"0": "T2", "1": "T1w", "2": "STIR"}}
    (root / "dataset.json").write_text(json.dumps(described))
    dataset, problems = find_cases(root, contrasts=T1_T2)
    assert shown(dataset)[0] == ("a", "a.nii.gz", {"t1": "a_0001.nii.gz", "t2": "a_0000.nii.gz"})
    (root / "dataset.json").write_text("{")
    with pytest.raises(DataError, match=r"dataset\.json .*does not tell which channel is which contrast; correct it"):
        find_cases(root, contrasts=T1_T2)
    (root / "dataset.json").write_text(json.dumps(described))
    with pytest.raises(DataError, match=r"names the channels T2, T1w, STIR, and none is called pd; name the contrasts"):
        find_cases(root, contrasts=("pd",))


def test_bids_brings_a_session_together_on_the_image_that_has_a_mask(tmp_path: Path) -> None:
    root = touch(
        tmp_path,
        *(f"sub-0{n}/anat/sub-0{n}_{suffix}.nii.gz" for n in (1, 2) for suffix in ("T1w", "T2w")),
        "derivatives/labels/sub-01/anat/sub-01_T2w_dseg.nii.gz",
    )
    dataset, problems = find_cases(root, contrasts=T1_T2)
    assert problems == []
    first, second = dataset.cases
    assert (first.name, first.split, first.image.name) == ("sub-01", "train", "sub-01_T2w.nii.gz")
    assert list(first.images) == ["t1", "t2"]
    assert (second.name, second.split, second.image.name) == ("sub-02", "test", "sub-02_T1w.nii.gz")


def test_a_table_names_the_files_wherever_they_lie(tmp_path: Path) -> None:
    root = touch(tmp_path, "one/a.nii.gz", "two/b.nii.gz", "masks/m.nii.gz", "new/c.nii.gz")
    table = root / TABLE
    rows = ["Case;Contrast;Image;Mask", "x;T1;one/a.nii.gz;masks/m.nii.gz", "x;t2;two/b.nii.gz;", "y;t2;new/c.nii.gz;"]
    table.write_text("\n".join([*rows, "y;pd;nowhere.nii.gz;"]))
    dataset, problems = find_cases(root, contrasts=T1_T2)
    assert problems == []
    assert [(case.name, case.split, list(case.images)) for case in dataset.cases] == [
        ("x", "train", ["t1", "t2"]),
        ("y", "test", ["t2"]),
    ]
    assert unused_files(root, dataset) == []
    table.write_text("\n".join([*rows, "y;t1;nowhere.nii.gz;"]))
    with pytest.raises(DataError, match=r"names .*nowhere.nii.gz, which is no volume that is there"):
        find_cases(root, contrasts=T1_T2)
    table.write_text("\n".join([*rows, "y;t2;one/a.nii.gz;"]))
    with pytest.raises(DataError, match=r"names two images of y as t2; keep one"):
        find_cases(root, contrasts=T1_T2)


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (["../x,t1,a.nii,"], r"calls a case '\.\./x', which no file can be called"),
        (["/x,t1,a.nii,"], r"calls a case '/x'"),
        (["x,t1,a.nii,", "y,t2,b.nii,", "y,t1,a.nii,"], r"names .*a\.nii as t1 of x and as t1 of y"),
        (["x,t1,a.nii,", "x,t2,same.nii,"], r"names .*same\.nii as t1 of x and as t2 of x"),
        (["Case1,t1,a.nii,train", "case01,t2,b.nii,test"], r"puts case01 into 'test'"),
    ],
)
def test_a_table_that_mixes_cases_up_is_refused(tmp_path: Path, rows: list[str], why: str) -> None:
    root = touch(tmp_path, "a.nii", "b.nii")
    (root / "same.nii").symlink_to(root / "a.nii")
    (root / TABLE).write_text("\n".join(["case,contrast,image,split", *rows]))
    with pytest.raises(DataError, match=why):
        find_cases(root, contrasts=T1_T2)


def test_a_test_case_stays_one_whatever_the_capitals_of_its_rows(tmp_path: Path) -> None:
    root = touch(tmp_path, "a.nii", "b.nii", "m.nii")
    rows = ["case,contrast,image,mask,split", "Case1,t1,a.nii,m.nii,", "case01,t2,b.nii,,test"]
    (root / TABLE).write_text("\n".join(rows))
    (case,) = find_cases(root, contrasts=T1_T2)[0].cases
    assert (case.id, case.split, list(case.images)) == ("1", "test", ["t1", "t2"])


def test_what_cannot_be_told_is_refused(tmp_path: Path) -> None:
    root = touch(tmp_path, "images/1.mha", "masks/1.mha")
    with pytest.raises(DataError) as error:
        find_cases(root, contrasts=T1_T2)
    assert str(error.value) == (
        f"dataset folder {root} has no image of the contrasts t1, t2: their names end in _t1 and so on, or in "
        "nnU-Net's channels, or a table contrasts.csv names them (docs/formats.md)"
    )
    touch(root, "images/2_t1.mha", "images/2-t1.nii", "masks/2.mha", "images/4_t1.mha", "masks/5.mha")
    found = {problem.case: problem.message for problem in find_cases(root, contrasts=T1_T2)[1]}
    assert found == {
        "2": "is t1 of case '2', as 2-t1.nii; rename or remove one",
        "4": f"has no mask in {root / 'masks'}",
        "5": f"is a mask without an image in {root / 'images'}",
    }
