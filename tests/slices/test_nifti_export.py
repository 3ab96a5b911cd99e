from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from spine_ignite.config import DataConfig
from spine_ignite.errors import RunError
from spine_ignite.labels import load_scheme
from spine_ignite.slices.build import build_store
from spine_ignite.slices.nifti_export import export_nifti
from spine_ignite.slices.store import SliceStore


@pytest.fixture
def store(tiny_dataset: Path) -> SliceStore:
    for mask in (tiny_dataset / "test/label").iterdir():
        mask.unlink()
    return build_store(DataConfig(root=tiny_dataset, scheme="lumbar-vertebrae", spacing=(2.0, 1.5))).store


def test_every_slice_becomes_a_file(store: SliceStore, tmp_path: Path) -> None:
    out = tmp_path / "files"
    assert export_nifti(store, out) == 20 + 20 + 10
    names = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    expected = {f"slice_train/source/Case{case}_{n}.nii.gz" for case in range(1, 5) for n in range(1, 6)}
    expected |= {f"slice_train/label/mask_case{case}_{n}.nii.gz" for case in range(1, 5) for n in range(1, 6)}
    expected |= {f"slice_test/source/Case{case}_{n}.nii.gz" for case in (5, 6) for n in range(1, 6)}
    assert names - {".spine-ignite"} == expected, "test cases without masks have images only"


def test_files_hold_the_slices_their_spacing_and_the_scheme_s_values(store: SliceStore, tmp_path: Path) -> None:
    export_nifti(store, tmp_path)
    case = store.split("train")[0]
    image = nib.load(tmp_path / "slice_train/source/Case1_3.nii.gz")
    label = nib.load(tmp_path / "slice_train/label/mask_case1_3.nii.gz")
    for file in (image, label):
        assert nib.aff2axcodes(file.affine) == ("P", "I", "L")
        assert file.header.get_zooms() == pytest.approx((1.5, 2.0, 4.0))
        assert file.header.get_xyzt_units()[0] == "mm"
    np.testing.assert_array_equal(image.get_fdata()[:, :, 0].T, store.image(case)[2].astype(np.float64))
    expected = load_scheme("lumbar-vertebrae").to_values(store.label(case)[2])
    np.testing.assert_array_equal(np.asarray(label.dataobj)[:, :, 0].T, expected)
    assert label.get_data_dtype() == np.uint8


def test_a_folder_that_cannot_be_written_is_told(store: SliceStore, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(RunError, match="is not a folder; choose another one"):
        export_nifti(store, tmp_path / "taken")


def test_slices_are_not_written_among_those_of_others(store: SliceStore, tmp_path: Path) -> None:
    mine = tmp_path / "files" / "slice_train" / "label" / "corrected.nii.gz"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(RunError, match=r"did not make as exported slices, .*corrected\.nii\.gz for one"):
        export_nifti(store, tmp_path / "files")
    assert [path for path in (tmp_path / "files").rglob("*") if path.is_file()] == [mine]
