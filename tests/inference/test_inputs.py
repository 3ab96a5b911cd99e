from __future__ import annotations

from pathlib import Path

import pytest

from spine_ignite.errors import DataError, UsageError
from spine_ignite.inference.inputs import collect_jobs, left_out


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def jobs(root: Path, *inputs: str) -> list[tuple[str, str]]:
    found = collect_jobs([root / name for name in inputs or ("",)], root / "out")
    return [(str(source.relative_to(root)), output.name) for source, output in found]


@pytest.mark.parametrize(
    ("masks", "images", "expected"),
    [
        (["masks/1_t2.mha"], ["images/1_t2.mha", "images/2_t2.mha"], ["1_t2.mha", "2_t2.mha"]),
        ([], ["images/1_t2.mha"], ["1_t2.mha"]),
        (
            ["labelsTr/a.nii.gz", "labelsTs/b.nii.gz"],
            ["imagesTr/a_0000.nii.gz", "imagesTs/b_0000.nii.gz", "imagesTs/c_0000.nii.gz"],
            ["b.nii.gz", "c.nii.gz"],
        ),
        ([], ["imagesTr/a_0000.nii.gz", "imagesTr/b_0000.nii.gz"], ["a.nii.gz", "b.nii.gz"]),
        ([], ["imagesTs/a_0000.nii.gz"], ["a.nii.gz"]),
        (
            ["test/label/mask_a.nii.gz"],
            ["train/source/x.nii.gz", "test/source/a.nii.gz", "test/source/A.mha.nii", "test/source/b.nii.gz"],
            ["a.nii.gz", "A.mha.nii", "b.nii.gz"],
        ),
        ([], ["train/source/Case1.nii.gz", "train/source/case2.nii"], ["Case1.nii.gz", "case2.nii"]),
    ],
)
def test_all_images_of_a_dataset_are_wanted_with_and_without_masks(
    tmp_path: Path, masks: list[str], images: list[str], expected: list[str]
) -> None:
    touch(tmp_path, *masks, *images)
    assert sorted(output for _, output in jobs(tmp_path)) == sorted(expected)


def test_a_split_of_a_dataset_is_an_input(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{split}/{kind}/{split}.nii.gz" for split in ("train", "test") for kind in ("source", "label")))
    assert jobs(tmp_path, "train") == [("train/source/train.nii.gz", "train.nii.gz")]
    assert jobs(tmp_path, "test") == jobs(tmp_path, "test/source") == jobs(tmp_path)


def test_an_image_s_channel_is_not_part_of_its_case_s_name(tmp_path: Path) -> None:
    touch(tmp_path, *(f"imagesTs/spine_{n}_0000.nii.gz" for n in (7, 8)))
    assert [output for _, output in jobs(tmp_path, "imagesTs")] == ["spine_7.nii.gz", "spine_8.nii.gz"]
    one = "imagesTs/spine_7_0000.nii.gz"
    assert jobs(tmp_path, one) == [(one, "spine_7.nii.gz")]


def test_a_case_s_number_is_part_of_its_name(tmp_path: Path) -> None:
    touch(tmp_path, *(f"imagesTr/spine_{n:04}.nii.gz" for n in range(3)))
    assert [output for _, output in jobs(tmp_path, "imagesTr")] == [f"spine_{n:04}.nii.gz" for n in range(3)]
    touch(tmp_path, "labelsTr/spine_0000.nii.gz", "labelsTr/spine_0001.nii.gz", "labelsTr/spine_0002.nii.gz")
    assert [output for _, output in jobs(tmp_path)] == [f"spine_{n:04}.nii.gz" for n in range(3)]


def test_two_channels_are_not_two_cases(tmp_path: Path) -> None:
    names = [f"imagesTs/spine_{n}_000{c}.nii.gz" for n in (7, 8) for c in (0, 1)]
    touch(tmp_path, *names)
    with pytest.raises(UsageError, match="7_0000.nii.gz and .*7_0001.nii.gz are two channels of one case, and one is"):
        jobs(tmp_path)
    assert jobs(tmp_path, names[1], names[3]) == [(names[1], "spine_7.nii.gz"), (names[3], "spine_8.nii.gz")]


@pytest.mark.parametrize("out", ["images", "masks", "masks/../images", "link"])
def test_predictions_go_neither_among_images_nor_over_masks(tmp_path: Path, out: str) -> None:
    touch(tmp_path, "images/1_t2.mha", "images/2_t2.mhd", "masks/1_t2.mha")
    (tmp_path / "link").symlink_to(tmp_path / "masks")
    for given in ("", "images", "images/2_t2.mhd"):
        with pytest.raises(UsageError, match="would lie among what is there already; choose another folder"):
            collect_jobs([tmp_path / given], tmp_path / out)


def test_files_of_a_folder_that_are_not_read_are_told(tmp_path: Path) -> None:
    for name in (
        "in/a.nii.gz",
        "in/b.mnc",
        "in/a.json",
        "only/c.gipl",
        "data/imagesTs/d_0000.nii",
        "data/imagesTs/e.img",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    told = left_out([tmp_path / "in", tmp_path / "in/a.nii.gz", tmp_path / "data"])
    assert [note.split(";")[0] for note in told] == [
        f"1 file in {tmp_path}/in is not read (.mnc): b.mnc",
        f"1 file in {tmp_path}/data/imagesTs is not read (.img): e.img",
    ]
    with pytest.raises(DataError, match=r"holds neither volumes nor a dataset: 1 file in .*only is not read \(.gipl\)"):
        collect_jobs([tmp_path / "only"], tmp_path / "out")
