"""Splits of small datasets on disk."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from spine_ignite.config import DataConfig
from spine_ignite.datasets.split import PARTS, Split
from spine_ignite.errors import DataError, UsageError
from spine_ignite.runs.choose_split import choose_split
from spine_ignite.slices.build import build_store
from spine_ignite.volumes.digests import file_sha256

Writer = Callable[..., Path]
Named = dict[str, list[str]]


def config(root: Path, **more: object) -> DataConfig:
    return DataConfig.model_validate({"root": root, "scheme": "lumbar-vertebrae", "spacing": (4, 4), **more})


def split_of(root: Path, seed: int = 0, **more: object) -> Split:
    data = config(root, **more)
    return choose_split(data, seed, build_store(data).store)


def named(split: Split) -> Named:
    return {part: [case.name for case in split.part(part)] for part in PARTS}


def add(root: Path, name: str, like: str = "Case1", noise: int = 1) -> None:
    """Add a training case: the image of another with some noise, and its mask."""
    image = nib.load(root / f"train/source/{like}.nii.gz")
    values = np.asarray(image.dataobj) + np.random.default_rng(noise).integers(0, 9, image.shape, np.int16)
    nib.save(nib.Nifti1Image(values.astype(np.int16), image.affine, image.header), root / f"train/source/{name}.nii.gz")
    shutil.copy(root / f"train/label/mask_{like.lower()}.nii.gz", root / f"train/label/mask_{name.lower()}.nii.gz")


@pytest.fixture
def spider(tmp_path: Path, write_volume: Writer) -> Path:
    """Ten patients with two series each, in SPIDER's layout."""
    root, rng = tmp_path / "spider", np.random.default_rng(0)
    label = np.zeros((12, 16, 3), np.uint8)
    label[4:9, 4:12] = 2
    for patient in range(1, 11):
        for series in ("t1", "t2"):
            image = rng.integers(0, 99, label.shape).astype(np.int16)
            write_volume(root / "images" / f"{patient}_{series}.nii.gz", image)
            write_volume(root / "masks" / f"{patient}_{series}.nii.gz", label)
    return root


def test_the_series_of_a_patient_stay_together(spider: Path) -> None:
    for seed in range(20):
        for more in ({}, {"fold": seed % 5}, {"fraction": 0.5}):
            split = split_of(spider, seed, **more)
            sides = [{case.patient for case in split.part(part)} for part in ("training", "validation")]
            assert not sides[0] & sides[1]
            assert all(sides)
            for part in ("training", "validation"):
                names = {case.name for case in split.part(part)}
                assert names == {f"{case.patient}_{series}" for case in split.part(part) for series in ("t1", "t2")}


def test_the_record_holds_the_files_as_they_are(tiny_dataset: Path) -> None:
    (tiny_dataset / "test/label/mask_case6.nii.gz").unlink()
    (tiny_dataset / "test/label/mask_case5.nii.gz").unlink()
    split = split_of(tiny_dataset)
    assert sorted(case.name for case in split.cases) == [f"Case{n}" for n in range(1, 7)]
    for case in split.cases:
        part = "test" if case in split.test else "train"
        assert case.image == file_sha256(tiny_dataset / part / "source" / f"{case.name}.nii.gz")
        mask = tiny_dataset / part / "label" / f"mask_{case.name.lower()}.nii.gz"
        assert case.mask == (file_sha256(mask) if part == "train" else None)


def test_a_renamed_and_recompressed_copy_is_the_same_patient(tiny_dataset: Path) -> None:
    image = nib.load(tiny_dataset / "train/source/Case2.nii.gz")
    turned = nib.as_closest_canonical(image)  # other axes, other numbers, without compression
    copy = nib.Nifti1Image(np.asarray(turned.dataobj).astype(np.float32), turned.affine)
    nib.save(copy, tiny_dataset / "train/source/other.nii")
    mask = nib.as_closest_canonical(nib.load(tiny_dataset / "train/label/mask_case2.nii.gz"))
    nib.save(mask, tiny_dataset / "train/label/other.nii")
    for seed in range(10):
        split = split_of(tiny_dataset, seed)
        assert {case.name: case.patient for case in split.cases}["other"] == "Case2"
        for part in (split.training, split.validation):
            assert len({case.name for case in part} & {"Case2", "other"}) in (0, 2)


def test_a_list_is_taken_as_it_is(tiny_dataset: Path, tmp_path: Path) -> None:
    path = tmp_path / "splits_final.json"
    path.write_text(json.dumps([{"train": ["Case1"], "val": ["Case2"]}, {"train": ["Case4", "Case3"], "val": []}]))
    split = split_of(tiny_dataset, split=path)
    assert named(split) == {"training": ["Case1"], "validation": ["Case2"], "test": ["Case5", "Case6"]}
    assert (split.origin.file, split.origin.sha256, split.origin.fold) == (str(path), file_sha256(path), 0)
    last = split_of(tiny_dataset, split=path, fold=1)
    assert named(last) == {"training": ["Case3", "Case4"], "validation": [], "test": ["Case5", "Case6"]}
    path.write_text(json.dumps([{"train": ["Case1"], "val": ["Case5"]}]))
    with pytest.raises(DataError, match="lists Case5, which the training part of the dataset does not have"):
        split_of(tiny_dataset, split=path)


def test_a_table_of_patients_is_obeyed(tiny_dataset: Path, tmp_path: Path) -> None:
    table = tmp_path / "who.csv"
    table.write_text("case,patient\n" + "".join(f"Case{n},{'AABBCC'[n - 1]}\n" for n in range(1, 7)))
    for seed in range(5):
        split = split_of(tiny_dataset, seed, patients=str(table))
        assert [sorted(case.name for case in part) for part in (split.training, split.validation)] in (
            [["Case1", "Case2"], ["Case3", "Case4"]],
            [["Case3", "Case4"], ["Case1", "Case2"]],
        )


@pytest.mark.parametrize("fold", [None, 0])
def test_a_recorded_split_stays_when_cases_come(tiny_dataset: Path, tmp_path: Path, fold: int | None) -> None:
    for seed in range(8):
        split = split_of(tiny_dataset, seed, fold=fold, folds=2)
        path = tmp_path / f"{seed}.json"
        path.write_text(split.to_json())
        add(tiny_dataset, f"Case{10 + seed}", noise=seed)
        assert split_of(tiny_dataset, seed, fold=fold, folds=2, split=path) == split


def test_a_recorded_split_is_refused_where_files_or_wishes_have_changed(tiny_dataset: Path, tmp_path: Path) -> None:
    path = tmp_path / "split.json"
    split = split_of(tiny_dataset, fold=0, folds=2)
    path.write_text(split.to_json())
    for wish, message in (
        ({"fold": 1, "folds": 2}, r"data\.fold is 1, but the split .*split\.json was made with 0"),
        ({"folds": 4}, r"data\.folds is 4, but .* was made with 2; for a new split give data\.split=null"),
        ({"fraction": 0.5}, r"data\.fraction is 0\.5"),
    ):
        with pytest.raises(UsageError, match=message):
            split_of(tiny_dataset, split=path, **wish)
    assert split_of(tiny_dataset, seed=5, split=path) == split, "another seed may try the same split"
    source = tiny_dataset / "train" / "source"
    (source / "Case1.nii.gz").rename(source / "x.nii.gz")
    (source / "Case2.nii.gz").rename(source / "Case1.nii.gz")
    (source / "x.nii.gz").rename(source / "Case2.nii.gz")
    for kept in (source / "Case3.nii.gz", tiny_dataset / "train/label/mask_case3.nii.gz"):
        kept.unlink()
    with pytest.raises(DataError) as caught:
        split_of(tiny_dataset, split=path)
    for fact in (f"dataset {tiny_dataset} is not what {path} records", "it has no case Case3", "another image has "):
        assert fact in str(caught.value)
    assert all(name in str(caught.value) for name in ("Case1", "Case2"))
    assert "Case4" not in str(caught.value)


@pytest.mark.parametrize("part", ["validation", "training"])
def test_a_side_without_a_structure_is_refused(tiny_dataset: Path, part: str) -> None:
    split = split_of(tiny_dataset)
    names = [case.name for case in (split.validation if part == "validation" else split.training)]
    for name in names:
        path = tiny_dataset / "train" / "label" / f"mask_{name.lower()}.nii.gz"
        mask = nib.load(path)
        nib.save(nib.Nifti1Image(np.zeros(mask.shape, np.uint8), mask.affine), path)
    with pytest.raises(DataError) as caught:
        split_of(tiny_dataset)
    assert f"no mask of the {part} cases of {tiny_dataset} has a structure in it ({', '.join(names)})" in str(
        caught.value
    )
    if part == "validation":
        assert "none (data.validation=0)" in str(caught.value)
        assert not split_of(tiny_dataset, validation=0).validation


def test_a_fold_of_too_few_patients_is_refused(tiny_dataset: Path) -> None:
    with pytest.raises(DataError, match=r"fold 4 of 5 leaves a side empty: .* has 4 patients to train on; lower"):
        split_of(tiny_dataset, fold=4)
