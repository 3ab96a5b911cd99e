from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from spine_ignite.config import DataConfig
from spine_ignite.datasets import checks
from spine_ignite.datasets.cases import Case
from spine_ignite.errors import DataError, RunError, UsageError
from spine_ignite.locks import lock_folder
from spine_ignite.slices.build import build_store
from spine_ignite.slices.place import store_folder
from spine_ignite.slices.store import ReaderHold, open_store
from spine_ignite.volumes import contrasts
from spine_ignite.volumes.volume import Reading, Volume, read_label

Writer = Callable[..., Path]


@pytest.fixture
def data(tiny_dataset: Path) -> DataConfig:
    return DataConfig(root=tiny_dataset, scheme="lumbar-vertebrae")


def times(root: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in root.rglob("*.npy")}


def test_the_store_holds_every_slice(data: DataConfig) -> None:
    result = build_store(data)
    assert (result.built, result.reused, result.removed) == (6, 0, 0)
    assert result.store.counts() == {"train": {"source": 20, "label": 20}, "test": {"source": 10, "label": 10}}
    case = result.store.split("train")[0]
    image, label = result.store.image(case), result.store.label(case)
    assert image.shape == label.shape == (5, 64, 48)
    assert isinstance(image, np.memmap)
    assert abs(float(image.astype(np.float32).mean())) < 1e-2
    assert case.foreground == (1, 2, 3)
    assert open_store(result.store.root) == result.store


def test_masks_come_back_from_the_store_as_they_were(data: DataConfig) -> None:
    store = build_store(data).store
    for case in store.cases:
        assert case.label is not None
        values = store.scheme.to_values(case.grid.to_volume(store.label(case)))
        np.testing.assert_array_equal(values, read_label(Path(case.label.path)).array)


def test_only_a_changed_file_is_rebuilt(data: DataConfig, write_volume: Writer) -> None:
    store = build_store(data).store
    before, fingerprint = times(store.root), store.fingerprint
    again = build_store(data)
    assert (again.built, again.reused) == (0, 6)
    assert times(store.root) == before

    touched = data.root / "train/source/Case2.nii.gz"
    os.utime(touched, ns=(1, 1))
    again = build_store(data)
    assert (again.built, again.reused) == (0, 6), "a new time alone is no change"
    assert again.store.fingerprint == fingerprint

    write_volume(touched, np.random.default_rng(5).integers(0, 99, (48, 64, 5)).astype(np.int16))
    again = build_store(data)
    assert (again.built, again.reused) == (1, 5)
    changed = {path for path, when in times(store.root).items() if before.get(path) != when}
    assert len(changed) == 2, "image and label of the one case"
    assert again.store.fingerprint != fingerprint


def test_a_case_that_is_gone_leaves_the_store(data: DataConfig, write_volume: Writer) -> None:
    store = build_store(data).store
    (data.root / "train/source/Case4.nii.gz").unlink()
    (data.root / "train/label/mask_case4.nii.gz").unlink()
    result = build_store(data)
    assert (result.built, result.reused, result.removed) == (0, 5, 1)
    write_volume(data.root / "train/source/Case2.nii.gz", np.ones((48, 64, 5), np.int16))
    result = build_store(data)
    assert (result.built, result.reused, result.removed) == (1, 4, 0), "a changed case is not a removed one"
    assert len(list(store.root.rglob("image.npy"))) == 5


def test_the_default_spacing_is_the_training_median(tmp_path: Path, write_volume: Writer) -> None:
    for number, spacing in enumerate((0.5, 0.8, 1.2), start=1):
        for folder, name in (("source", "Case"), ("label", "mask_case")):
            path = tmp_path / "train" / folder / f"{name}{number}.nii.gz"
            write_volume(path, np.zeros((20, 30, 3), np.uint8), spacing=(spacing, 2 * spacing, 4.0))
    store = build_store(DataConfig(root=tmp_path)).store
    assert store.settings.spacing == (1.6, 0.8), "rows run along S, columns along P"
    assert [case.size for case in store.cases] == [(19, 12), (30, 20), (45, 30)]


def test_all_problems_are_told_and_the_former_store_stays(data: DataConfig, write_volume: Writer) -> None:
    former = build_store(data).store
    write_volume(data.root / "train/label/mask_case1.nii.gz", np.full((48, 64, 5), 99, np.uint8))
    (data.root / "train/source/Case3.nii.gz").write_bytes(b"broken")
    with pytest.raises(DataError) as caught:
        build_store(data)
    assert "label values 99 (15360 voxels)" in str(caught.value)
    assert "Case3.nii.gz is not a readable NIfTI image" in str(caught.value)
    assert open_store(former.root) == former


def test_settings_have_stores_of_their_own(data: DataConfig) -> None:
    for change in ({"spacing": (2.0, 2.0)}, {"border": "all"}, {"orientation": "PSR"}, {"nan": "border"}):
        assert store_folder(data) != store_folder(data.model_copy(update=change))


def test_a_wrong_number_of_classes_is_refused(data: DataConfig) -> None:
    with pytest.raises(DataError, match="data.num_classes is 20, but the scheme 'lumbar-vertebrae' has 8 classes"):
        build_store(data.model_copy(update={"num_classes": 20}))


def test_a_second_process_is_told_to_wait(data: DataConfig) -> None:
    folder = store_folder(data)
    code = (
        "import sys, pathlib; from spine_ignite.locks import lock_folder\n"
        "with lock_folder(pathlib.Path(sys.argv[1]), 'x'):\n    print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(RunError, match=rf"is in use: another process .process {other.pid}. is preprocessing it"):
            build_store(data)
        other.stdin.close()
    assert build_store(data).built == 6


@pytest.mark.parametrize("content", ["", "{}", '{"format": 99}', "[1]"])
def test_a_corrupt_manifest_is_refused_by_readers_and_written_again(data: DataConfig, content: str) -> None:
    store = build_store(data).store
    (store.root / "manifest.json").write_text(content)
    with pytest.raises(DataError, match="preprocess"):
        open_store(store.root)
    again = build_store(data)
    assert (again.built, again.reused) == (0, 6), "the cases themselves are whole"
    assert open_store(store.root) == again.store == store


def interrupt_after(cases: int) -> Callable[..., Any]:
    def progress(sequence: Sequence[Case]) -> Iterator[Case]:
        yield from sequence[:cases]
        raise KeyboardInterrupt

    return progress


def test_an_interrupted_build_goes_on_where_it_was(data: DataConfig) -> None:
    with pytest.raises(KeyboardInterrupt):
        build_store(data, interrupt_after(4))
    with pytest.raises(DataError, match="run `spine-ignite preprocess` first"):
        open_store(store_folder(data))
    stray = store_folder(data) / "train" / "0123456789abcdef"
    stray.mkdir()
    (stray / ".part-spine-ignite-89abcdef-image.npy").write_bytes(b"half")
    result = build_store(data)
    assert (result.built, result.reused) == (2, 4)
    assert not stray.exists()


@pytest.mark.parametrize("damage", ["gone", "cut", "other"])
def test_damaged_arrays_are_made_again(data: DataConfig, damage: str) -> None:
    store = build_store(data).store
    label = store.root / store.cases[1].folder / "label.npy"
    whole = label.read_bytes()
    if damage == "gone":
        shutil.rmtree(label.parent)
    elif damage == "cut":
        label.write_bytes(whole[:-1])
    else:
        np.save(label, np.zeros((2, 2), np.uint8))
    result = build_store(data)
    assert (result.built, result.reused) == (1, 5)
    assert label.read_bytes() == whole


def test_a_store_that_is_up_to_date_is_not_written(data: DataConfig) -> None:
    store = build_store(data).store
    before = {path: path.stat().st_mtime_ns for path in store.root.rglob("*")}
    with lock_folder(store.root, "is testing"):  # many runs may start on it at once
        assert build_store(data).store == store
    after = {path: path.stat().st_mtime_ns for path in store.root.rglob("*") if path.name != ".lock"}
    assert after.items() <= before.items()


def test_arrays_that_are_being_read_stay(data: DataConfig, write_volume: Writer) -> None:
    store = build_store(data).store
    case = store.cases[0]
    hold = ReaderHold(store)
    write_volume(Path(case.image.path), np.ones((48, 64, 5), np.int16))
    build_store(data)
    assert store.is_complete(case), "a training that opens its cases in turn must find them"
    del hold
    write_volume(Path(case.image.path), np.full((48, 64, 5), 2, np.int16))
    build_store(data)
    assert not store.is_complete(case)


def test_every_problem_of_a_case_is_told(data: DataConfig) -> None:
    image, mask = data.root / "train/source/Case2.nii.gz", data.root / "train/label/mask_case2.nii.gz"
    image.write_bytes(b"no image")
    mask.unlink()
    mask.symlink_to("nowhere.nii.gz")
    with pytest.raises(DataError) as caught:
        build_store(data)
    assert f"{image} is not a readable NIfTI image" in str(caught.value)
    assert f"{mask} cannot be read: No such file" in str(caught.value)
    assert not list(store_folder(data).rglob("manifest.json"))


def test_a_full_disk_is_told_and_the_former_store_stays(
    data: DataConfig, write_volume: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    former = build_store(data).store
    write_volume(data.root / "train/source/Case1.nii.gz", np.ones((48, 64, 5), np.int16))

    def full(file: object, array: object, **_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(RunError, match="the disk .or quota. is full"):
        build_store(data)
    assert open_store(former.root) == former
    assert all(former.is_complete(case) for case in former.cases)
    assert not list(former.root.rglob(".part-*"))


def test_a_file_that_is_replaced_while_it_is_read_is_not_stored(
    data: DataConfig, write_volume: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = data.root / "train/source/Case1.nii.gz"
    kept, real = path.read_bytes(), contrasts.read_image

    def replace_first(read: Path, reading: Reading) -> Volume:
        if read == path:
            write_volume(path, np.ones((48, 64, 5), np.int16))
        return real(read, reading)

    monkeypatch.setattr(contrasts, "read_image", replace_first)
    with pytest.raises(DataError, match="a file of case Case1 was replaced while it was read"):
        build_store(data)
    monkeypatch.setattr(contrasts, "read_image", real)
    path.write_bytes(kept)
    (case, *_) = (result := build_store(data)).store.split("train")
    assert len(np.unique(result.store.image(case))) > 1, "the constant one does not stand under the former's checksum"


def test_files_that_do_not_say_how_they_are_oriented_can_be_told(data: DataConfig) -> None:
    """The slices are then those of the files that did."""
    expected = build_store(data).store
    for path in sorted(data.root.rglob("*.nii.gz")):
        image = nib.load(path)
        nib.save(nib.Nifti1Image(np.asanyarray(image.dataobj), np.diag([1.0, 1.0, 4.0, 1.0])), path)
    with pytest.raises(DataError, match=r"Case1.nii.gz does not say how it is oriented .*; and \d+ more"):
        build_store(data)
    found = build_store(data.model_copy(update={"orientation": "PSR"})).store
    assert found.settings.spacing == expected.settings.spacing
    for one, two in zip(found.cases, expected.cases, strict=True):
        np.testing.assert_array_equal(found.image(one), expected.image(two))
        np.testing.assert_array_equal(found.label(one), expected.label(two))


def test_cases_of_equal_content_are_all_new(data: DataConfig) -> None:
    for folder, name in (("source", "Case{}"), ("label", "mask_case{}")):
        paths = [data.root / "train" / folder / f"{name.format(number)}.nii.gz" for number in (1, 2)]
        shutil.copy(*paths)
    result = build_store(data)
    assert (result.built, result.reused) == (6, 0)
    assert {case.name for case in result.store.split("train")} == {"Case1", "Case2", "Case3", "Case4"}


def test_test_cases_need_no_masks(data: DataConfig) -> None:
    shutil.rmtree(data.root / "test/label")
    store = build_store(data).store
    assert store.counts()["test"] == {"source": 10, "label": 0}
    assert all(case.label is None and case.foreground == () for case in store.split("test"))


def test_a_mask_in_another_order_of_voxels_is_stored_alike(data: DataConfig) -> None:
    first = build_store(data).store
    before = [np.array(first.label(case)) for case in first.split("train")]
    for path, orientation in zip(
        sorted((data.root / "train" / "label").iterdir()),
        ([[2, 1], [0, -1], [1, 1]], [[0, -1], [1, 1], [2, -1]], [[1, -1], [2, -1], [0, -1]], [[0, 1], [2, 1], [1, -1]]),
        strict=True,
    ):
        nib.save(nib.load(path).as_reoriented(np.array(orientation)), path)
    result = build_store(data)
    assert result.built == 4
    for label, case in zip(before, result.store.split("train"), strict=True):
        np.testing.assert_array_equal(result.store.label(case), label)


def test_the_test_split_never_stops_a_training(data: DataConfig, write_volume: Writer) -> None:
    test = data.root / "test"
    write_volume(test / "source/Case7.nii.gz", np.zeros((48, 64, 5), np.int16))
    (test / "source/Case5.nii.gz").write_bytes(b"broken")
    write_volume(test / "label/mask_case8.nii.gz", np.zeros((48, 64, 5), np.uint8))
    for built in (6, 0):
        result = build_store(data)
        assert result.built == built
        assert [case.name for case in result.store.split("test")] == ["Case6", "Case7"]
        unlabelled, alone, broken = result.notes
        assert unlabelled.startswith("Case7.nii.gz of the 3 test images in ")
        assert alone.startswith("test case 8 is left out: ")
        assert alone.endswith("is a mask without an image in " + str(test / "source"))
        assert broken.startswith("test case 5 is left out: ")
        assert "is not a readable NIfTI image" in broken
    (data.root / "train/label/mask_case1.nii.gz").unlink()
    with pytest.raises(DataError, match="has no mask in"):
        build_store(data)


@pytest.mark.parametrize("cache", ["dataset", "dataset/train", "dataset/cache", "", "link"])
def test_a_store_does_not_lie_in_its_data_nor_around_it(data: DataConfig, tmp_path: Path, cache: str) -> None:
    (tmp_path / "link").symlink_to(data.root)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(UsageError, match=r"data\.cache .* the data, data\.root"):
        build_store(data.model_copy(update={"cache": tmp_path / cache}))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_files_of_others_are_neither_deleted_by_a_store_nor_in_it(
    data: DataConfig, tmp_path: Path, write_volume: Writer
) -> None:
    """A received configuration may name any folder; and whatever lies in a store may be somebody's."""
    other = tmp_path / "other"
    for path in ("train/dogs/1.jpg", "test/0123456789abcdef/image.npy", "manifest.json"):
        (other / path).parent.mkdir(parents=True, exist_ok=True)
        (other / path).write_text("mine")
        before = {found: found.is_file() and found.read_bytes() for found in other.rglob("*")}
        with pytest.raises(RunError, match="holds files that spine-ignite did not make as a slice store"):
            build_store(data.model_copy(update={"cache": other}))
        assert {found: found.is_file() and found.read_bytes() for found in other.rglob("*")} == before
        shutil.rmtree(other)
    store = build_store(data).store
    case = store.root / store.cases[0].folder
    mine = [store.root / "notes.txt", store.root / "train" / "dogs" / "1.jpg", case / "label_corrected.npy"]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    write_volume(Path(store.cases[0].image.path), np.ones((48, 64, 5), np.int16))
    assert build_store(data).built == 1
    assert not (case / "image.npy").exists()
    assert [path.read_text() for path in mine] == ["mine"] * 3


def test_an_error_of_a_library_is_that_of_its_case(data: DataConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """No known file raises what is not foreseen, so one is made to."""
    really = contrasts.read_image

    def read(path: Path, *how: Any) -> Volume:
        if path.name == "Case2.nii.gz":
            raise ValueError("an odd\nheader")
        return really(path, *how)

    monkeypatch.setattr(contrasts, "read_image", read)
    monkeypatch.setattr(checks, "read_image", read)
    (data.root / "train/source/Case3.nii.gz").write_bytes(b"broken")
    with pytest.raises(DataError, match=r"cannot be used .ValueError: an odd\\nheader.*; .*Case3.nii.gz is"):
        build_store(data)


def test_voxels_beside_a_header_belong_to_it(data: DataConfig) -> None:
    """The header of an .mhd stays the same while the file with the voxels changes."""
    source = data.root / "train" / "source"
    image = sitk.ReadImage(str(source / "Case1.nii.gz"))
    (source / "Case1.nii.gz").unlink()
    sitk.WriteImage(image, str(source / "Case1.mhd"))
    before = build_store(data).store
    sitk.WriteImage(image + 1, str(source / "x.mhd"))
    (source / "x.raw").replace(source / "Case1.raw")
    (source / "x.mhd").unlink()
    again = build_store(data)
    assert (again.built, again.reused) == (1, 5)
    assert before.split("train")[0].image.sha256 != again.store.split("train")[0].image.sha256
