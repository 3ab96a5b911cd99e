from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from spine_ignite.datasets.case_ids import case_id
from spine_ignite.datasets.cases import Case
from spine_ignite.datasets.find_cases import find_cases
from spine_ignite.errors import DataError, UsageError
from spine_ignite.inference.inputs import collect_jobs
from spine_ignite.volumes.reader import volume_stem

Install = Callable[..., Path]


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return root


def test_pairs_are_matched_by_id_not_by_order(tmp_path: Path) -> None:
    root = touch(
        tmp_path,
        *(f"train/source/Case{n}.nii.gz" for n in (1, 2, 10)),
        *(f"train/label/mask_case{n}.nii.gz" for n in (1, 2, 10)),
        "test/source/Case11.nii.gz",
    )
    dataset, problems = find_cases(root)
    assert problems == []
    assert dataset.layout == "mrspineseg"
    assert [(c.name, c.label.name) for c in dataset.split("train") if c.label] == [
        ("Case1", "mask_case1.nii.gz"),
        ("Case2", "mask_case2.nii.gz"),
        ("Case10", "mask_case10.nii.gz"),
    ]
    assert [(c.id, c.label) for c in dataset.split("test")] == [("11", None)]


def test_nnunet_raw_folders(tmp_path: Path) -> None:
    root = touch(
        tmp_path,
        "imagesTr/spine_001_0000.nii.gz",
        "labelsTr/spine_001.nii.gz",
        "imagesTs/spine_002_0000.nii.gz",
        "dataset.json",
    )
    dataset, problems = find_cases(root)
    assert problems == []
    assert [(c.name, c.split) for c in dataset.cases] == [("spine_001", "train"), ("spine_002", "test")]


def test_nnunet_case_numbers_of_four_digits_are_not_channels(tmp_path: Path) -> None:
    root = touch(
        tmp_path,
        *(f"imagesTr/spine_{n:04}_0000.nii.gz" for n in range(3)),
        *(f"labelsTr/spine_{n:04}.nii.gz" for n in range(3)),
    )
    dataset, problems = find_cases(root)
    assert problems == []
    assert [c.name for c in dataset.cases] == ["spine_0000", "spine_0001", "spine_0002"]


def test_nnunet_folders_without_channels(tmp_path: Path) -> None:
    """The Medical Segmentation Decathlon names image and mask alike, here counting from 0."""
    root = touch(tmp_path, *(f"{folder}/spine_{n:04}.nii.gz" for folder in ("imagesTr", "labelsTr") for n in range(3)))
    dataset, problems = find_cases(root)
    assert problems == []
    assert [c.name for c in dataset.cases] == ["spine_0000", "spine_0001", "spine_0002"]


def test_a_second_channel_is_a_problem_that_names_both_files(tmp_path: Path) -> None:
    root = touch(tmp_path, "imagesTr/a_0000.nii.gz", "imagesTr/a_0001.nii.gz", "labelsTr/a.nii.gz")
    (problem,) = find_cases(root)[1]
    assert (problem.case, problem.file) == ("a", root / "imagesTr/a_0001.nii.gz")
    assert problem.message == (
        "is a second channel of case 'a' besides a_0000.nii.gz; name the channels that the network shall see "
        "(data.contrasts), or keep the files of one in imagesTr"
    )


def test_files_that_are_not_read_are_told_and_are_problems_where_a_case_needs_them(tmp_path: Path) -> None:
    root = touch(
        tmp_path,
        *(f"train/source/Case{n}.nii.gz" for n in (1, 2)),
        *(f"train/label/mask_case{n}.nii.gz" for n in (1,)),
        "train/source/Case2.mnc",  # it is there as NIfTI
        "train/source/Case3.gipl",
        "train/source/Case4.img",  # without its header
        *(f"train/source/{name}" for name in ("Case1.json", "notes.txt", ".DS_Store", "overview.png")),
        "train/label/mask_case2.par",
        "test/source/Case9.nii.gz",
        "test/source/Case10.nrrd.bz2",
    )
    (root / "train/source/folder.mnc").mkdir()
    dataset, problems = find_cases(root)
    found = {(p.split, p.file.name) for p in problems if p.file and "is in a format that is not read" in p.message}
    assert found == {
        ("train", "Case3.gipl"),
        ("train", "mask_case2.par"),
        ("test", "Case10.nrrd.bz2"),
    }
    assert ("Case4.img", "has no header (.hdr) beside it; add that, or move the file out of the folder") in {
        (p.file.name, p.message) for p in problems if p.file
    }
    source, label, test = dataset.notes
    assert source == (
        f"4 files in {root}/train/source are not read (.mnc, .gipl, .img, .png): Case2.mnc, Case3.gipl, Case4.img, …; "
        ".nii, .nii.gz, .mha, .mhd, .nrrd, .nhdr, .mgz, .mgh, .hdr and .hdr.gz are"
    )
    assert label.startswith(f"1 file in {root}/train/label is not read (.par): mask_case2.par;")
    assert test.startswith(f"1 file in {root}/test/source is not read (.nrrd): Case10.nrrd.bz2;")


def test_a_dataset_of_files_that_are_not_read_is_not_called_empty(tmp_path: Path) -> None:
    root = touch(tmp_path, "imagesTr/a_0000.mnc", "labelsTr/a.mnc")
    _, problems = find_cases(root)
    assert [(p.case, p.file.name) for p in problems if p.file] == [("a", "a_0000.mnc"), ("a", "a.mnc")]


def test_spider(tmp_path: Path) -> None:
    root = touch(tmp_path, "images/1_t2.mha", "images/1_t1.mha", "masks/1_t2.mha", "masks/1_t1.mha")
    dataset, problems = find_cases(root)
    assert (dataset.layout, problems) == ("spider", [])
    assert [c.name for c in dataset.split("train")] == ["1_t1", "1_t2"]


def test_every_pairing_problem_is_found_at_once(tmp_path: Path) -> None:
    root = touch(
        tmp_path,
        "train/source/Case1.nii.gz",
        "train/source/case1.nii",
        "train/source/Case2.nii.gz",
        "train/label/mask_case1.nii.gz",
        "train/label/mask_case3.nii.gz",
        "test/source/Case1.nii.gz",
        "test/source/Case5.nii.gz",
        "test/label/mask_case1.nii.gz",
    )
    dataset, problems = find_cases(root)
    messages = sorted(problem.message for problem in problems)
    assert [m.split(" ")[0] for m in messages] == ["has", "has", "has", "is"]
    text = "\n".join(messages)
    assert "has the same case id '1' as" in text
    assert "in the train split; test cases must not be trained on" in text
    assert text.count("has no mask in") == 1
    assert "is a mask without an image" in text
    (note,) = dataset.notes
    assert note.startswith("Case5.nii.gz of the 2 test images in ")
    assert note.endswith(f"cannot be judged by: it has no mask in {root / 'test' / 'label'}")


@pytest.mark.parametrize("folders", [[], ["train/source", "test/source"], ["something"]])
def test_an_empty_or_unknown_folder_is_refused_with_what_was_expected(tmp_path: Path, folders: list[str]) -> None:
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
    with pytest.raises(DataError, match=r"expected nnU-Net raw .*, train/source \+ train/label"):
        find_cases(tmp_path)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        find_cases(tmp_path / "none")


def test_a_name_that_could_write_into_logs_is_a_problem(tmp_path: Path) -> None:
    names = ("Case1.nii.gz", "a\nb.nii.gz", "\x1b[31mred.nii.gz", "\udcff.nii.gz")
    root = touch(tmp_path, *(f"train/source/{name}" for name in names), "train/label/mask_case1.nii.gz")
    dataset, problems = find_cases(root)
    assert [case.name for case in dataset.cases] == ["Case1"]
    assert {problem.case for problem in problems} == {r"a\nb.nii.gz", r"\x1b[31mred.nii.gz", r"\udcff.nii.gz"}
    assert all("unprintable character in its name; rename it" in problem.message for problem in problems)
    for problem in problems:
        assert str(DataError(f"{problem.file} is empty")).isprintable()


def test_a_test_split_never_stops_what_the_training_split_allows(tmp_path: Path) -> None:
    root = touch(
        tmp_path, "train/source/a.nii.gz", "train/label/a_seg.nii.gz", "test/source/b.nii.gz", "test/label/c.nii.gz"
    )
    dataset, problems = find_cases(root)
    assert [(case.name, case.split, case.label is None) for case in dataset.cases] == [
        ("a", "train", False),
        ("b", "test", True),
    ]
    assert [(problem.case, problem.split) for problem in problems] == [("c", "test")]


def exams(root: Path) -> list[Case] | None:
    """``exam-*/scan`` and ``drawn``: images of a name, masks of another, in folders of their own."""
    images = sorted(root.glob("exam-*/scan/*_T2w.nii.gz"))
    masks = {image: root / "drawn" / image.name.replace("_T2w", "_T2w_dseg") for image in images}
    return [
        Case(case_id(image), volume_stem(image), image, mask if mask.exists() else None, "train")
        for image, mask in masks.items()
    ] or None


def test_a_plugin_brings_a_layout(install: Install, tmp_path: Path) -> None:
    root = touch(
        tmp_path,
        *(f"exam-{n}/scan/exam-{n}_T2w.nii.gz" for n in "12"),
        *(f"drawn/exam-{n}_T2w_dseg.nii.gz" for n in "12"),
    )
    with pytest.raises(
        DataError, match=r"has no known layout; expected nnU-Net raw .*, a datalist of MONAI .*, or DICOM"
    ):
        find_cases(root)
    component = f"Component('exams', '{__name__}:exams', 'exams')"
    install("acme", register_layouts=[component])
    dataset, problems = find_cases(root)
    assert (dataset.layout, problems) == ("exams", [])
    assert [(c.id, c.name, c.label.name) for c in dataset.cases if c.label] == [
        ("exam-1_t2w", "exam-1_T2w", "exam-1_T2w_dseg.nii.gz"),
        ("exam-2_t2w", "exam-2_T2w", "exam-2_T2w_dseg.nii.gz"),
    ]
    assert [source for source, _ in collect_jobs([root], tmp_path / "out")] == [c.image for c in dataset.cases]
    install("other", register_layouts=[component.replace("'exams'", "'exams2'")])
    with pytest.raises(UsageError, match="fits the dataset layout 'exams' of acme 1.0 and the dataset"):
        find_cases(root)
