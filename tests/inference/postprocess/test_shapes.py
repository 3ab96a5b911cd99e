from __future__ import annotations

import numpy as np
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st

from spine_ignite.inference.postprocess.shapes import fill_holes, keep_largest
from spine_ignite.labels import load_scheme

SCHEME = load_scheme("mrspineseg")
AFFINE = np.diag([4.0, 1.0, 1.0, 1.0])  # the first axis is left-right


@settings(max_examples=40)
@given(seed=st.integers(0, 9999), share=st.floats(0.02, 0.5))
def test_largest_components_are_simpleitk_s(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    volume = (rng.integers(1, 4, (5, 9, 8)) * (rng.random((5, 9, 8)) < share)).astype(np.uint8)
    found = keep_largest(volume, AFFINE, SCHEME, [1, 3]).indices
    for index in (1, 3):
        kept, original = found == index, volume == index
        components = SimpleITK.ConnectedComponent(SimpleITK.GetImageFromArray(original.astype(np.uint8)), True)
        largest = SimpleITK.GetArrayFromImage(SimpleITK.RelabelComponent(components)) == 1
        assert kept.sum() == largest.sum(), "of equal components either may stay"
        assert not (kept & ~original).any()
    assert np.array_equal(found == 2, volume == 2), "classes that are not named stay"


def test_what_was_removed_is_counted() -> None:
    volume = np.zeros((3, 6, 6), np.uint8)
    volume[1, :2, :2], volume[1, 4:, 4:], volume[2, 5, 0] = 1, 1, 1
    volume[1, 4, 3] = 1
    cleaned = keep_largest(volume, AFFINE, SCHEME, [1, 2])
    assert cleaned.message == "5 voxels beside the largest components removed"
    assert not cleaned.indices[1, :2, :2].any()
    assert keep_largest(cleaned.indices, AFFINE, SCHEME, [1, 2]).message == "no stray voxels"


def test_holes_are_filled_in_sagittal_slices_only() -> None:
    """A ring in a sagittal slice has a hole; a tube along the left-right axis is one ring per slice."""
    volume = np.zeros((4, 8, 8), np.uint8)
    volume[:, 1:7, 1:7] = 2
    volume[:, 3:5, 3:5] = 0
    volume[1, 3, 3] = 1  # another structure inside is not background
    cleaned = fill_holes(volume, AFFINE, SCHEME, [1, 2])
    assert cleaned.message == "15 voxels in holes filled"
    assert cleaned.indices[1, 3, 3] == 1
    assert (cleaned.indices[:, 1:7, 1:7] > 0).all()
    across = np.moveaxis(volume, 0, 2)
    affine = np.diag([1.0, 1.0, 4.0, 1.0])[[2, 0, 1, 3]]  # the last axis is left-right
    assert np.array_equal(fill_holes(across, affine, SCHEME, [1, 2]).indices, np.moveaxis(cleaned.indices, 0, 2))
    open_ring = volume.copy()
    open_ring[:, 3, 5:7] = 0
    assert fill_holes(open_ring, AFFINE, SCHEME, [2]).message == "no holes"
