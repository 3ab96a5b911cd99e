from __future__ import annotations

import gzip
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from spine_ignite.data.volumes import read_geometry, read_image, read_label, write_label_like
from spine_ignite.errors import DataError, RunError

Writer = Callable[..., Path]


@pytest.fixture
def image(tmp_path: Path, write_volume: Writer) -> Path:
    array = np.random.default_rng(0).integers(0, 1000, (9, 8, 5)).astype(np.int16)
    return write_volume(tmp_path / "image.nii.gz", array, spacing=(0.7, 0.7, 4.0))


def test_nifti_and_meta_image_of_the_same_scan_agree(tmp_path: Path, image: Path) -> None:
    """SimpleITK converts between the formats; array, affine and geometry must come out the same."""
    meta = tmp_path / "image.mha"
    sitk.WriteImage(sitk.ReadImage(str(image)), str(meta))
    first, second = read_image(image), read_image(meta)
    assert first.array.dtype == second.array.dtype == np.float32
    np.testing.assert_array_equal(first.array, second.array)
    np.testing.assert_allclose(first.affine, second.affine, atol=1e-4)
    for path in (image, meta):
        shape, affine = read_geometry(path)
        assert shape == first.array.shape
        np.testing.assert_allclose(affine, first.affine, atol=1e-4)


def test_scaling_in_the_header_is_applied(tmp_path: Path) -> None:
    stored = nib.Nifti1Image(np.arange(24, dtype=np.int16).reshape(2, 3, 4), np.eye(4))
    stored.header.set_slope_inter(0.5, 10)
    nib.save(stored, tmp_path / "scaled.nii")
    np.testing.assert_allclose(read_image(tmp_path / "scaled.nii").array.ravel(), 10 + 0.5 * np.arange(24))


def test_a_trailing_axis_of_one_is_dropped(tmp_path: Path, write_volume: Writer) -> None:
    path = write_volume(tmp_path / "x.nii.gz", np.ones((4, 5, 6, 1), np.uint8))
    assert read_image(path).array.shape == (4, 5, 6)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".mha"])
def test_labels_are_written_on_the_grid_of_their_image(tmp_path: Path, image: Path, suffix: str) -> None:
    source = image
    if suffix == ".mha":
        source = tmp_path / "image.mha"
        sitk.WriteImage(sitk.ReadImage(str(image)), str(source))
    like = read_image(source)
    values = np.random.default_rng(1).integers(0, 20, like.array.shape).astype(np.uint8)
    out = tmp_path / f"label{suffix}"
    write_label_like(out, values, like)
    found = read_label(out)
    np.testing.assert_array_equal(found.array, values)
    np.testing.assert_allclose(found.affine, like.affine, atol=1e-5)


def test_units_and_orientation_codes_are_kept_but_nothing_personal(tmp_path: Path) -> None:
    affine = np.diag([0.7, 0.7, 4.0, 1.0])
    source = nib.Nifti1Image(np.ones((4, 5, 6), np.float32), affine)
    source.set_qform(affine, 1)
    source.set_sform(affine, 2)
    source.header.set_xyzt_units("mm", "sec")
    source.header["descrip"] = b"Doe^John 1970"
    source.header["aux_file"] = b"john.dcm"
    source.header["db_name"] = b"hospital"
    source.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"Doe^John"))
    nib.save(source, tmp_path / "named.nii.gz")
    write_label_like(tmp_path / "label.nii.gz", np.ones((4, 5, 6), np.uint8), read_image(tmp_path / "named.nii.gz"))
    written = nib.load(tmp_path / "label.nii.gz")
    assert written.header.get_xyzt_units() == ("mm", "sec")
    assert (int(written.header["qform_code"]), int(written.header["sform_code"])) == (1, 2)
    assert written.get_data_dtype() == np.uint8
    raw = gzip.decompress((tmp_path / "label.nii.gz").read_bytes())
    assert b"Doe" not in raw
    assert b"john" not in raw
    assert b"hospital" not in raw


def truncated(path: Path, image: Path) -> Path:
    path.write_bytes(image.read_bytes()[: int(0.9 * image.stat().st_size)])
    return path


def huge(path: Path, _image: Path) -> Path:
    header = nib.Nifti1Header()
    header.set_data_shape((30000, 30000, 30000))
    header.set_data_dtype(np.float64)
    header.set_sform(np.eye(4), 1)
    header["vox_offset"] = 352
    header["magic"] = b"n+1"
    path.write_bytes(gzip.compress(header.binaryblock + b"\0" * 4))
    return path


def write_nan(path: Path, _image: Path) -> Path:
    array = np.ones((3, 3, 3), np.float32)
    array[0, 0, 0], array[1, 1, 1] = np.nan, np.inf
    nib.save(nib.Nifti1Image(array, np.eye(4)), path)
    return path


def four_d(path: Path, _image: Path) -> Path:
    nib.save(nib.Nifti1Image(np.ones((3, 3, 3, 2), np.float32), np.eye(4)), path)
    return path


def text(path: Path, _image: Path) -> Path:
    path.write_text("not an image")
    return path


def colours(path: Path, _image: Path) -> Path:
    array = np.zeros((3, 3, 3), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.save(nib.Nifti1Image(array, np.eye(4)), path)
    return path


def flat_axis(path: Path, _image: Path) -> Path:
    stored = nib.Nifti1Image(np.ones((3, 3, 3), np.float32), np.eye(4))
    block = bytearray(stored.header.binaryblock)
    struct.pack_into("<4f", block, 280, 0, 0, 0, 0)  # srow_x
    struct.pack_into("<h", block, 254, 1)  # sform_code
    block[344:348] = b"n+1\0"
    struct.pack_into("<f", block, 108, 352.0)
    path.write_bytes(gzip.compress(bytes(block) + b"\0" * 4 + np.ones(27, "<f4").tobytes()))
    return path


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (truncated, "truncated or corrupt"),
        (huge, "its header promises 216000000000000 bytes"),
        (write_nan, "holds 2 NaN or infinite voxels"),
        (four_d, "has 4 dimensions"),
        (text, "is not a readable NIfTI image"),
        (colours, "numbers are needed"),
        (flat_axis, "affine that is singular"),
    ],
)
def test_a_bad_image_is_refused_with_its_path(
    tmp_path: Path, image: Path, make: Callable[[Path, Path], Path], message: str
) -> None:
    path = make(tmp_path / "bad.nii.gz", image)
    with pytest.raises(DataError, match=message) as caught:
        read_image(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["none.nii.gz", "none.mha"])
def test_a_missing_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_image(tmp_path / name)


def test_a_text_called_mha_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.mha").write_text("ObjectType = Image\nNDims = 3\n")
    with pytest.raises(DataError, match="not a readable MetaImage"):
        read_image(tmp_path / "bad.mha")


def test_labels_within_a_thousandth_of_an_integer_are_rounded(tmp_path: Path, write_volume: Writer) -> None:
    near = write_volume(tmp_path / "near.nii.gz", np.full((2, 2, 2), 2.9995, np.float64))
    assert (read_label(near).array == 3).all()
    far = write_volume(tmp_path / "far.nii.gz", np.full((2, 2, 2), 2.99, np.float64))
    with pytest.raises(DataError, match="holds 8 label values that are not integers .for instance 2.99."):
        read_label(far)


def test_a_folder_that_cannot_be_written(tmp_path: Path, image: Path) -> None:
    like = read_image(image)
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="a part of its path is a file"):
        write_label_like(tmp_path / "file" / "x.nii.gz", like.array.astype(np.uint8), like)


def test_a_failed_write_leaves_the_former_file_and_nothing_else(
    tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    like = read_image(image)
    out = tmp_path / "out" / "label.nii.gz"
    write_label_like(out, np.zeros(like.array.shape, np.uint8), like)
    before = out.read_bytes()

    def full(*_args: Any, **_options: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match="the disk .or quota. is full"):
        write_label_like(out, np.ones(like.array.shape, np.uint8), like)
    assert out.read_bytes() == before
    assert [path.name for path in out.parent.iterdir()] == ["label.nii.gz"]
