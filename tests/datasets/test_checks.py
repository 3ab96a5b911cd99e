from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - the library's own abbreviation

from spine_ignite.config import DataConfig
from spine_ignite.datasets.checks import check_dataset, check_datasets, require_valid
from spine_ignite.datasets.sources import alone
from spine_ignite.errors import DataError
from spine_ignite.labels import load_scheme
from spine_ignite.slices.build import build_store

Writer = Callable[..., Path]
SCHEME = load_scheme("lumbar-vertebrae")


def test_a_sound_dataset_has_no_problems(tiny_dataset: Path) -> None:
    report = check_dataset(tiny_dataset, SCHEME)
    assert (report.problems, report.warnings) == ((), ())
    assert {item.values for item in report.checked} == {(0, 2, 3, 4)}


def test_a_dataset_of_mixed_formats_gives_the_slices_of_its_nifti_files(tiny_dataset: Path, tmp_path: Path) -> None:
    """The other files are written by nibabel and SimpleITK."""
    mixed = tmp_path / "mixed"
    shutil.copytree(tiny_dataset, mixed)
    for number, suffix in enumerate((".nrrd", ".nhdr", ".mgz", ".hdr"), 1):
        for path in sorted((mixed / "train").glob(f"*/*ase{number}.nii.gz")):
            target = path.with_name(path.name.replace(".nii.gz", suffix))
            if suffix in (".nrrd", ".nhdr"):
                sitk.WriteImage(sitk.ReadImage(str(path)), str(target))
            else:
                image = nib.load(path)
                kind = nib.MGHImage if suffix == ".mgz" else nib.Nifti1Pair
                nib.save(kind(np.asarray(image.dataobj), image.affine), target)
            path.unlink()
    report = check_dataset(mixed, SCHEME)
    assert (report.problems, report.warnings) == ((), ())
    assert [list(item.digests.values()) for item in report.checked] == [
        list(item.digests.values()) for item in check_dataset(tiny_dataset, SCHEME).checked
    ]
    stores = [
        build_store(DataConfig(root=root, scheme="lumbar-vertebrae", spacing=(1.5, 1.5))).store
        for root in (tiny_dataset, mixed)
    ]
    for one, other in zip(stores[0].cases, stores[1].cases, strict=True):
        for name in ("image.npy", "label.npy"):
            np.testing.assert_array_equal(
                np.load(stores[0].root / one.folder / name), np.load(stores[1].root / other.folder / name)
            )


def test_every_problem_is_reported_at_once(tiny_dataset: Path, write_volume: Writer) -> None:
    labels = tiny_dataset / "train" / "label"
    image = nib.load(labels / "mask_case1.nii.gz")
    array = np.asarray(image.dataobj).copy()
    array[0, 0, 0] = 77
    write_volume(labels / "mask_case1.nii.gz", array)
    write_volume(labels / "mask_case2.nii.gz", np.zeros((4, 4, 4), np.uint8))
    shifted = image.affine.copy()
    shifted[0, 3] += 3
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), shifted), labels / "mask_case3.nii.gz")
    (tiny_dataset / "test" / "source" / "Case5.nii.gz").write_bytes(b"\x1f\x8b broken")
    (labels / "mask_case4.nii.gz").unlink()
    report = check_dataset(tiny_dataset, SCHEME)
    found = {problem.case: problem.message for problem in report.problems}
    assert "label values 77 (1 voxels) are not in the scheme" in found["1"]
    assert "has shape (4, 4, 4), its image Case2.nii.gz has (48, 64, 5)" in found["2"]
    assert "lies elsewhere than its image Case3.nii.gz" in found["3"]
    assert "has no mask in" in found["4"]
    assert "is not a readable NIfTI image" in found["5"]
    with pytest.raises(DataError, match="and 3 more .run `spine-ignite check"):
        require_valid(tiny_dataset, report.problems)


def test_a_test_case_that_is_also_trained_on_is_warned_of(tiny_dataset: Path) -> None:
    shutil.copy(tiny_dataset / "train/source/Case1.nii.gz", tiny_dataset / "test/source/Case5.nii.gz")
    report = check_dataset(tiny_dataset, SCHEME)
    (warning,) = report.warnings
    assert warning.case == "5"
    assert warning.message.startswith("is the same image as Case1.nii.gz of the train split; a test case")


def test_a_further_contrast_that_is_also_trained_on_is_warned_of(two_contrasts: Path) -> None:
    for number in (1, 7):
        (two_contrasts / ("train" if number == 1 else "test") / "source" / f"Case{number}_t2.nii.gz").unlink(True)
    shutil.copy(two_contrasts / "train/source/Case4_t2.nii.gz", two_contrasts / "test/source/Case7_t2.nii.gz")
    report = check_datasets([replace(alone(two_contrasts, SCHEME), contrasts=("t1", "t2"))])
    (warning,) = [found for found in report.warnings if "same image" in found.message]
    assert (warning.case, warning.file) == ("7", two_contrasts / "test/source/Case7_t2.nii.gz")
    assert warning.message.startswith("is the same image as Case4_t2.nii.gz of the train split; a test case")


def test_a_patient_who_is_tested_and_trained_on_is_warned_of(tiny_dataset: Path) -> None:
    for split, number, name in (("train", 1, "sub-07_T1w"), ("test", 5, "sub-07_T2w"), ("test", 6, "sub-08_T1w")):
        (tiny_dataset / split / "source" / f"Case{number}.nii.gz").rename(
            tiny_dataset / split / "source" / f"{name}.nii.gz"
        )
        (tiny_dataset / split / "label" / f"mask_case{number}.nii.gz").rename(
            tiny_dataset / split / "label" / f"{name}_mask.nii.gz"
        )
    (warning,) = check_dataset(tiny_dataset, SCHEME).warnings
    assert (warning.case, warning.message.partition(";")[0]) == (
        "sub-07_t2w",
        "is of patient sub-07, as sub-07_T1w.nii.gz of the train split",
    )


def test_names_of_dataset_json_that_contradict_the_scheme_stop_training(tmp_path: Path, tiny_dataset: Path) -> None:
    root = tmp_path / "nnunet"
    for folder, name in (("source", "images"), ("label", "labels")):
        for split, end in (("train", "Tr"), ("test", "Ts")):
            shutil.copytree(tiny_dataset / split / folder, root / f"{name}{end}")
    for path in root.rglob("mask_*"):
        path.rename(path.with_name(path.name.removeprefix("mask_").capitalize()))
    described = root / "dataset.json"
    right = {"background": 0, "vertebra L5": 2, "L4": 3, "L3": 4}
    described.write_text(json.dumps({"labels": right, "channel_names": {"0": "T1", "1": "T2"}}))
    report = check_dataset(root, SCHEME)
    assert report.problems == ()
    assert [w.message for w in report.warnings] == [
        f"{described} names 2 channels (T1, T2), and one is read; data.contrasts names those that the network shall see"
    ]
    described.write_text(json.dumps({"labels": {"background": 0, "L1": 2, "L4": 3, "S": 4, "disc": 70}}))
    (problem,) = check_dataset(root, SCHEME).problems
    assert problem.message == (
        "calls the value 2 'L1', the scheme 'lumbar-vertebrae' calls it 'L5', and differs in 2 more; choose the scheme "
        f"that is meant, or the file's own: data.scheme={described}"
    )
    data = DataConfig(root=root, scheme="lumbar-vertebrae", spacing=(1.0, 1.0))
    with pytest.raises(DataError, match=r"dataset.json calls the value 2 'L1', the scheme 'lumbar-vertebrae' calls"):
        build_store(data)
    store = build_store(data.model_copy(update={"scheme": str(described)})).store
    assert store.scheme.names == ("background", "S", "L4", "L1", "disc")
    assert check_dataset(root, load_scheme(described)).problems == ()
    described.write_text("{")
    report = check_dataset(root, SCHEME)
    assert report.problems == ()
    assert "so that its names cannot be compared" in report.warnings[0].message
