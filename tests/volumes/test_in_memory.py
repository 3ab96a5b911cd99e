from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - the library's own abbreviation
import torch

from spine_ignite.errors import DataError, SpineIgniteError, UsageError
from spine_ignite.volumes.in_memory import image_in_memory, label_in_memory, label_like
from spine_ignite.volumes.volume import read_image, write_label_like

ORIENTATIONS = [
    "".join(codes) for order in itertools.permutations(("RL", "AP", "SI")) for codes in itertools.product(*order)
]
Writer = Callable[..., Path]


@pytest.mark.parametrize("axes", ORIENTATIONS)
def test_an_image_is_what_its_file_is(write_volume: Writer, tmp_path: Path, axes: str) -> None:
    array = np.random.default_rng(1).integers(0, 900, (5, 6, 7)).astype(np.int16)
    path = write_volume(tmp_path / "a.nii.gz", array, (0.7, 1.1, 4), axes)
    volume = read_image(path)
    meta = tmp_path / "a.mha"
    write_label_like(meta, array, volume)
    of_meta = read_image(meta)
    for image, there in (
        (nib.load(path), volume),
        ((array, volume.affine), volume),
        ((torch.from_numpy(array), torch.from_numpy(volume.affine)), volume),
        (sitk.ReadImage(str(meta)), of_meta),
    ):
        found = image_in_memory(image, "it")
        assert np.array_equal(found.array, there.array)
        assert np.array_equal(found.affine, there.affine)
        assert np.allclose(found.affine, volume.affine, atol=1e-5)


@pytest.mark.parametrize("axes", ["PSR", "LIA", "RAS"])
def test_labels_come_back_in_the_kind_of_the_image_and_where_it_is(
    write_volume: Writer, tmp_path: Path, axes: str
) -> None:
    array = np.random.default_rng(1).integers(0, 900, (5, 6, 7)).astype(np.int16)
    path = write_volume(tmp_path / "a.nii.gz", array, (0.7, 1.1, 4), axes)
    values = np.random.default_rng(2).integers(0, 20, array.shape).astype(np.uint8)
    image = nib.load(path)
    volume = image_in_memory(image, "it")
    found = label_like(values, image, volume)
    assert np.array_equal(np.asanyarray(found.dataobj), values)
    assert np.array_equal(found.affine, image.affine)
    for field in ("qform_code", "sform_code", "xyzt_units"):
        assert found.header[field] == image.header[field]
    other = sitk.ReadImage(str(path))
    labelled = label_like(values, other, image_in_memory(other, "it"))
    for member in ("GetSpacing", "GetOrigin", "GetDirection", "GetSize"):
        assert getattr(labelled, member)() == getattr(other, member)()
    sitk.WriteImage(labelled, str(tmp_path / "b.nii.gz"))  # which another library places
    assert np.array_equal(np.asanyarray(nib.load(tmp_path / "b.nii.gz").dataobj), values)
    assert np.allclose(nib.load(tmp_path / "b.nii.gz").affine, image.affine, atol=1e-4)
    assert label_like(values, (array, image.affine), volume) is values


def test_an_image_that_was_moved_in_memory_is_where_it_is_now() -> None:
    affine = np.diag([-2.0, 1, 1, 1])
    affine[:3, 3] = 5
    image = nib.Nifti1Image(np.zeros((3, 4, 5), np.int16), affine)
    image.affine[:3, 3] = 9  # the header still has the 5
    volume = image_in_memory(image, "it")
    assert np.array_equal(label_like(np.zeros((3, 4, 5), np.uint8), image, volume).affine[:3, 3], (9, 9, 9))


PLACED = np.array([[0, 0, 4, 3], [-1, 0, 0, 2], [0, 1, 0, 1], [0, 0, 0, 1.0]])


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (np.zeros((3, 4, 5)), UsageError, r"it is an array without an affine.*give \(array, affine\)"),
        (torch.zeros(3, 4, 5), UsageError, "it is an array without an affine"),
        ((np.zeros((3, 4, 5)), np.eye(3)), UsageError, "it is with something else than an affine; that is 4 x 4"),
        ((np.zeros((3, 4, 5)), [[1, 2], [3]]), UsageError, "it is with something else than an affine"),
        ((np.zeros((3, 4, 5)), np.eye(4)), DataError, "it does not say how it is oriented"),
        ((np.zeros((3, 4)), PLACED), DataError, "it has 2 dimensions"),
        ((np.full((3, 4, 5), np.nan), PLACED), DataError, "it holds 60 NaN voxels"),
        ((np.zeros((3, 4, 5), complex), PLACED), DataError, "numbers are needed"),
        ((np.zeros((3, 4, 5)), 0 * PLACED), UsageError, "something else than an affine"),
        (nib.Nifti1Image(np.zeros((3, 4, 5), np.int16), None), UsageError, "without an affine"),
        (sitk.Image([3, 4, 5], sitk.sitkVectorUInt8, 3), DataError, "3 components per voxel"),
        (sitk.Image([3, 4], sitk.sitkUInt8), DataError, "it has 2 dimensions"),
        ({"image": 1}, UsageError, r"it is neither a file nor an image.*not dict"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(image: Any, error: type[SpineIgniteError], message: str) -> None:
    with pytest.raises(error, match=message) as told:
        image_in_memory(image, "it")
    assert "\n" not in str(told.value)


def test_a_mask_has_whole_numbers() -> None:
    assert label_in_memory((np.full((2, 2, 2), 3.0), PLACED), "it").array.dtype == np.int32
    with pytest.raises(DataError, match="not integers"):
        label_in_memory((np.full((2, 2, 2), 3.4), PLACED), "it")
