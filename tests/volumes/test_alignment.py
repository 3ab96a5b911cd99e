from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spine_ignite.errors import DataError
from spine_ignite.volumes.alignment import aligned, extended, grid_distance
from spine_ignite.volumes.volume import Volume

ORIENTATIONS = [
    np.array(list(zip(axes, signs, strict=True)))
    for axes in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]


def volume(shape: tuple[int, ...], seed: int = 0, turned: float = 0.0) -> Volume:
    """A label volume with voxels of 4 x 0.7 x 0.9 mm, turned by an angle about the first axis."""
    affine = np.eye(4)
    sine, cosine = np.sin(turned), np.cos(turned)
    affine[:3, :3] = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]]) @ np.diag([4.0, 0.7, 0.9])
    affine[:3, 3] = (-20.0, 31.0, 7.0)
    return Volume(np.random.default_rng(seed).integers(0, 20, shape), affine, Path("mask.nii.gz"))


def in_order(of: Volume, orientation: Any) -> Volume:
    """The same space in another order of voxels, as nibabel stores it."""
    image = nib.Nifti1Image(of.array.astype(np.int32), of.affine).as_reoriented(orientation)
    return Volume(np.array(image.dataobj, order="C"), image.affine, Path("other.nii.gz"))


@pytest.mark.parametrize("orientation", ORIENTATIONS, ids=str)
@settings(max_examples=8)
@given(shape=st.tuples(*[st.integers(1, 5)] * 3), turned=st.floats(-0.7, 0.7))
def test_every_order_of_voxels_comes_back(orientation: Any, shape: tuple[int, int, int], turned: float) -> None:
    original = volume(shape, turned=turned)
    back = aligned(in_order(original, orientation), original)
    np.testing.assert_array_equal(back, original.array)
    assert all(stride > 0 for stride in back.strides)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (np.diag([1, 1.1, 1, 1]), r"mask.nii.gz lies elsewhere than its reference .*by up to 0.5 voxels; resample"),
        (np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 1]]), "by up to 1.3 voxels"),
        (np.array([[1, 0, 0, 0], [0, 0.98, -0.2, 0], [0, 0.2, 0.98, 0], [0, 0, 0, 1]]), "lies elsewhere"),
    ],
)
def test_other_places_are_refused(change: Any, message: str) -> None:
    original = volume((3, 5, 5))
    with pytest.raises(DataError, match=message):
        aligned(Volume(original.array, original.affine @ change, original.path), original, "reference")


def test_other_shapes_are_refused() -> None:
    with pytest.raises(DataError, match=r"mask.nii.gz has shape \(3, 5, 6\), its image mask.nii.gz has \(3, 5, 5\)"):
        aligned(volume((3, 5, 6)), volume((3, 5, 5)))


def test_headers_may_differ_by_rounding() -> None:
    original = volume((3, 5, 5))
    rounded = Volume(original.array, original.affine.astype(np.float16).astype(float), original.path)
    assert np.shares_memory(aligned(rounded, original), original.array), "nothing is copied where nothing moves"


@pytest.mark.parametrize("orientation", ORIENTATIONS[::7], ids=str)
def test_a_part_of_a_grid_becomes_the_whole_and_what_lies_elsewhere_stays(orientation: Any) -> None:
    image = volume((6, 9, 8), turned=0.3)
    corner = image.affine.copy()
    corner[:3, 3] += image.affine[:3, :3] @ (2, 3, 0)
    part = Volume(image.array[2:5, 3:9], corner, Path("part.nii.gz"))
    found = extended(in_order(part, orientation), image)
    wanted = np.zeros_like(image.array)
    wanted[2:5, 3:9] = part.array
    np.testing.assert_array_equal(found.array, wanted)
    np.testing.assert_array_equal(found.affine, image.affine)
    for shift in ((0.4, 0, 0), (2, 0, 0), (-3, 0, 0)):
        moved = corner.copy()
        moved[:3, 3] += image.affine[:3, :3] @ shift
        elsewhere = Volume(part.array, moved, Path("part.nii.gz"))
        assert extended(elsewhere, image) is elsewhere


def test_grid_distance_is_in_voxels() -> None:
    first, second = np.diag([2.0, 2.0, 4.0, 1.0]), np.diag([2.0, 2.0, 4.0, 1.0])
    second[0, 3] = 1.0
    assert grid_distance(first, second, (10, 10, 10)) == pytest.approx(0.5)
    assert grid_distance(first, np.diag([2.02, 2.0, 4.0, 1.0]), (100, 10, 10)) == pytest.approx(1.0)
