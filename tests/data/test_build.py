from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from spine_ignite.config import DataConfig
from spine_ignite.data.build import build_store, store_folder
from spine_ignite.data.export import export_nifti
from spine_ignite.data.slices import open_store
from spine_ignite.data.volumes import read_label
from spine_ignite.errors import DataError, RunError
from spine_ignite.labels import load_scheme

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


def test_a_case_that_is_gone_leaves_the_store(data: DataConfig) -> None:
    store = build_store(data).store
    (data.root / "train/source/Case4.nii.gz").unlink()
    (data.root / "train/label/mask_case4.nii.gz").unlink()
    result = build_store(data)
    assert (result.built, result.reused, result.removed) == (0, 5, 1)
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
    assert store_folder(data) != store_folder(data.model_copy(update={"spacing": (2.0, 2.0)}))


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
def test_a_corrupt_manifest_is_refused_by_readers_and_rebuilt(data: DataConfig, content: str) -> None:
    store = build_store(data).store
    (store.root / "manifest.json").write_text(content)
    with pytest.raises(DataError, match="preprocess"):
        open_store(store.root)
    assert build_store(data).built == 6


def test_exported_slices_are_files_with_the_scheme_s_values(data: DataConfig, tmp_path: Path) -> None:
    store = build_store(data).store
    out = tmp_path / "files"
    assert export_nifti(store, out) == 60
    names = {path.relative_to(out).as_posix() for path in out.rglob("*.nii.gz")}
    assert "slice_train/source/Case1_1.nii.gz" in names
    assert "slice_test/label/mask_case6_5.nii.gz" in names
    label = nib.load(out / "slice_train/label/mask_case1_3.nii.gz")
    assert nib.aff2axcodes(label.affine) == ("P", "I", "L")
    assert label.header.get_zooms() == pytest.approx((1.0, 1.0, 4.0))
    case = store.split("train")[0]
    expected = load_scheme("lumbar-vertebrae").to_values(store.label(case)[2])
    np.testing.assert_array_equal(np.asarray(label.dataobj)[:, :, 0].T, expected)
