"""Pairs of files beside SimpleITK, which reads and writes them by code of its own (nifti1_io)."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from scipy.spatial.transform import Rotation

from spine_ignite.errors import DataError
from spine_ignite.volumes.digests import parts_of, volume_sha256
from spine_ignite.volumes.reader import volume_stem, written_suffix
from spine_ignite.volumes.volume import Reading, read_geometry, read_image, read_label, write_label_like

ARRAY = np.random.default_rng(0).integers(0, 100, (9, 8, 5)).astype(np.int16)


def pair(folder: Path) -> Path:
    image = sitk.GetImageFromArray(np.ascontiguousarray(ARRAY.T))
    image.SetSpacing((0.5, 0.75, 4.0))
    image.SetOrigin((5.0, -6.0, 7.0))
    image.SetDirection(Rotation.from_euler("xyz", (0.3, -0.7, 2.1)).as_matrix().ravel().tolist())
    sitk.WriteImage(image, str(folder / "x.img"))
    return folder / "x.hdr"


def analyze(folder: Path) -> Path:
    """Analyze 7.5, packed by its definition: sizes at byte 40, type and bits at 70, spacing at 76."""
    head = bytearray(348)
    struct.pack_into(">i", head, 0, 348)
    struct.pack_into(">8h", head, 40, 4, *ARRAY.shape, 1, 0, 0, 0)
    struct.pack_into(">2h", head, 70, 4, 16)
    struct.pack_into(">8f", head, 76, 0, 0.5, 0.75, 4, 0, 0, 0, 0)
    (folder / "x.hdr").write_bytes(head)
    (folder / "x.img").write_bytes(ARRAY.astype(">i2").tobytes(order="F"))
    return folder / "x.hdr"


@pytest.mark.parametrize("compressed", [False, True])
def test_a_nifti_pair_lies_where_simpleitk_puts_it(tmp_path: Path, compressed: bool) -> None:
    path = pair(tmp_path)
    reference = sitk.ReadImage(str(path))
    if compressed:
        for name in ("x.hdr", "x.img"):
            (tmp_path / f"{name}.gz").write_bytes(gzip.compress((tmp_path / name).read_bytes()))
            (tmp_path / name).unlink()
        path = tmp_path / "x.hdr.gz"
    shape, affine = read_geometry(path)
    image = read_image(path)
    assert (shape, volume_stem(path)) == (ARRAY.shape, "x")
    np.testing.assert_array_equal(image.array, ARRAY)
    np.testing.assert_array_equal(image.affine, affine)
    for index in ((0, 0, 0), (3, 2, 1), (8, 7, 4)):
        x, y, z = reference.TransformIndexToPhysicalPoint(index)
        np.testing.assert_allclose(affine @ [*index, 1], [-x, -y, z, 1], atol=1e-5)


def test_labels_for_a_pair_are_one_file_with_its_header(tmp_path: Path) -> None:
    path = pair(tmp_path)
    image = read_image(path)
    assert written_suffix(".hdr") == ".nii.gz"
    write_label_like(tmp_path / "y.nii.gz", ARRAY, image)
    np.testing.assert_array_equal(read_label(tmp_path / "y.nii.gz").affine, image.affine)
    for field in ("srow_x", "srow_y", "srow_z", "sform_code", "qform_code", "quatern_b"):
        np.testing.assert_array_equal(nib.load(tmp_path / "y.nii.gz").header[field], nib.load(path).header[field])


def test_nifti_2_and_scaling(tmp_path: Path) -> None:
    image = nib.nifti2.Nifti2Pair(ARRAY.astype(np.float64) * 0.5, np.diag([-0.5, 0.75, 4, 1]) + 0.0)
    image.header.set_data_dtype(np.int16)
    image.header["qoffset_x"] = image.header["srow_x"][3] = 7
    nib.save(image, tmp_path / "x.hdr")
    np.testing.assert_allclose(read_image(tmp_path / "x.hdr").array, ARRAY * 0.5, atol=1e-3)


def test_analyze_must_be_told_how_it_is_oriented(tmp_path: Path) -> None:
    path = analyze(tmp_path)
    with pytest.raises(DataError, match="does not say how it is oriented"):
        read_image(path)
    image = read_image(path, Reading("PSR"))
    np.testing.assert_array_equal(image.array, ARRAY)
    np.testing.assert_array_equal(image.affine[:3, :3], [[0, 0, 4], [-0.5, 0, 0], [0, 0.75, 0]])


def test_the_file_of_the_voxels_counts(tmp_path: Path) -> None:
    path = pair(tmp_path)
    before = volume_sha256(path)
    assert parts_of(path) == [path, tmp_path / "x.img"]
    (tmp_path / "x.img").write_bytes(np.zeros(ARRAY.shape, np.int16).tobytes())
    assert volume_sha256(path) != before
    (tmp_path / "x.img").unlink()
    with pytest.raises(DataError, match=f"{path} keeps its voxels in {tmp_path / 'x.img'}, which does not exist"):
        read_geometry(path)


def shortened(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-30]) and None


@pytest.mark.parametrize("make", [pair, analyze])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (shortened("x.img"), r"promises 720 bytes of voxels, x.img has 690"),
        (lambda folder: (folder / "x.hdr").write_bytes(b"ENVI\nsamples = 5\n"), "not a readable header of NIfTI or An"),
        (lambda folder: (folder / "x.hdr").write_bytes(b""), "not a readable header of NIfTI or Analyze"),
        (lambda folder: (folder / "x.hdr").write_bytes(bytes(348)), "not a readable header of NIfTI or Analyze"),
    ],
)
def test_what_is_damaged_is_refused_with_its_path(
    tmp_path: Path, make: Callable[[Path], Path], damage: Callable[[Path], None], message: str
) -> None:
    path = make(tmp_path)
    damage(tmp_path)
    with pytest.raises(DataError, match=message) as caught:
        read_image(path, Reading("any"))
    assert str(path) in str(caught.value)
