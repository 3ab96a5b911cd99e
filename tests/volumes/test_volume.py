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

from spine_ignite.errors import DataError, RunError
from spine_ignite.volumes.volume import Reading, read_geometry, read_image, read_label, write_label_like

Writer = Callable[..., Path]
AFFINE = np.array([[0, 0, -4.0, 3], [-0.7, 0, 0, 5], [0, 0.7, 0, 6], [0, 0, 0, 1]])


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
    stored = nib.Nifti1Image(np.arange(24, dtype=np.int16).reshape(2, 3, 4), AFFINE)
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
    affine = AFFINE
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


@pytest.mark.parametrize(("qform", "sform"), [(0, 0), (1, 0), (0, 1), (1, 2)])
def test_a_label_has_the_codes_and_the_place_of_its_image(tmp_path: Path, qform: int, sform: int) -> None:
    affine = AFFINE
    source = nib.Nifti1Image(np.ones((4, 5, 6), np.int16), affine)
    source.set_qform(affine, 1)
    source.set_sform(affine, 2)
    block = bytearray(source.to_bytes())  # nibabel would not write every combination of codes by itself
    struct.pack_into("<2h", block, 252, qform, sform)
    (tmp_path / "source.nii").write_bytes(block)
    like = read_image(tmp_path / "source.nii", Reading("any"))
    write_label_like(tmp_path / "label.nii", np.ones((4, 5, 6), np.uint8), like)
    written = nib.load(tmp_path / "label.nii")
    assert (int(written.header["qform_code"]), int(written.header["sform_code"])) == (qform, sform)
    np.testing.assert_allclose(written.affine, like.affine, atol=1e-6)
    slope, intercept = struct.unpack_from("<2f", (tmp_path / "label.nii").read_bytes(), 112)
    assert (slope, intercept) == (1, 0)


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha"])
@pytest.mark.parametrize(
    ("values", "stored"),
    [(np.bool_, np.uint8), (np.int64, np.uint16), (np.uint64, np.uint16), (np.int16, np.int16), (np.float32, None)],
)
def test_labels_are_stored_as_integers_that_every_program_reads(
    tmp_path: Path, image: Path, suffix: str, values: Any, stored: Any
) -> None:
    like = read_image(image)
    labels = np.full(like.array.shape, 300).astype(values)
    out = tmp_path / f"label{suffix}"
    if stored is None:
        with pytest.raises(DataError, match="labels are integers, these are float32"):
            write_label_like(out, labels, like)
        assert not out.exists()
        return
    write_label_like(out, labels, like)
    np.testing.assert_array_equal(read_label(out).array, labels)
    kind = nib.load(out).get_data_dtype() if suffix == ".nii.gz" else sitk.GetArrayFromImage(sitk.ReadImage(out)).dtype
    assert kind == stored


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
    array[0, 0, 0], array[1, 1, 1] = np.nan, np.nan
    nib.save(nib.Nifti1Image(array, AFFINE), path)
    return path


def write_infinite(path: Path, _image: Path) -> Path:
    array = np.ones((3, 3, 3), np.float32)
    array[0, 0, 0], array[1, 1, 1] = np.nan, -np.inf
    nib.save(nib.Nifti1Image(array, AFFINE), path)
    return path


def placeholder(path: Path, _image: Path) -> Path:
    nib.save(nib.Nifti1Image(np.ones((3, 3, 3), np.float32), np.diag([1.0, 1.0, 4.0, 1.0])), path)
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
        (write_nan, "holds 2 NaN voxels; replace them, or let them be a border outside the field of view .data.nan"),
        (write_infinite, "holds 1 infinite voxels; replace them"),
        (placeholder, "does not say how it is oriented .its affine is the spacing alone.; say where its axes point to"),
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


@pytest.mark.parametrize("sform", [False, True])
@pytest.mark.parametrize(("spacing", "told"), [(0.0, "1 x 0 x 1"), (-1.5, "1 x -1.5 x 1"), (5000.0, "1 x 5000 x 1")])
def test_an_impossible_spacing_is_refused_not_repaired(tmp_path: Path, spacing: float, told: str, sform: bool) -> None:
    """Without an sform the affine comes from pixdim, in which nibabel silently mends what is not positive."""
    block = bytearray(nib.Nifti1Image(np.ones((3, 4, 5), np.uint8), None).to_bytes())
    struct.pack_into("<f", block, 80 + 4, spacing)  # pixdim[2]
    if sform:
        struct.pack_into("<h", block, 254, 1)
        struct.pack_into("<12f", block, 280, *AFFINE[:3].ravel())
    (tmp_path / "x.nii").write_bytes(block)
    if sform:
        np.testing.assert_allclose(read_image(tmp_path / "x.nii").affine, AFFINE, atol=1e-6)
        return
    for read in (read_image, read_label, read_geometry):
        with pytest.raises(DataError, match=f"voxel spacing of {told} mm"):
            read(tmp_path / "x.nii")


def test_a_flipped_bit_is_found_by_the_checksum(tmp_path: Path, image: Path) -> None:
    """Most damage leaves the stream readable and as long as before, so that only the checksum tells."""
    sound = image.read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.integers(200, len(sound) - 4, 12):
        damaged = bytearray(sound)
        damaged[place] ^= 1 << int(rng.integers(8))
        (tmp_path / "bad.nii.gz").write_bytes(damaged)
        with pytest.raises(DataError, match="truncated or corrupt"):
            read_image(tmp_path / "bad.nii.gz")


def test_an_uncompressed_file_must_hold_every_byte_that_it_promises(tmp_path: Path, image: Path) -> None:
    whole = gzip.decompress(image.read_bytes())
    (tmp_path / "whole.nii").write_bytes(whole)
    assert read_image(tmp_path / "whole.nii").array.shape == (9, 8, 5)
    (tmp_path / "short.nii").write_bytes(whole[:-1])
    with pytest.raises(DataError, match="truncated or corrupt"):
        read_image(tmp_path / "short.nii")


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


def test_a_file_that_is_cut_off_later_does_not_change_what_was_read(tmp_path: Path) -> None:
    """Mapped into memory, it would end the process at the next look at a voxel."""
    path = tmp_path / "x.nii"
    nib.save(nib.Nifti1Image(np.ones((64, 64, 8), np.float32), AFFINE), path)
    volume = read_image(path)
    assert not isinstance(volume.array, np.memmap)
    os.truncate(path, 400)
    assert float(volume.array.sum()) == 64 * 64 * 8
    with pytest.raises(DataError, match="its header promises 131072 bytes of voxels, the file has 400 bytes"):
        read_image(path)
