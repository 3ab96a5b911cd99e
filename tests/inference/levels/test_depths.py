from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from spine_ignite.inference.levels.boxes import around, connected
from spine_ignite.inference.levels.depths import depths


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), axis=st.integers(0, 2), filled=st.sampled_from([0.0, 0.01, 0.6]))
def test_voxels_are_as_deep_as_in_their_slice_by_itself(seed: int, axis: int, filled: float) -> None:
    """Of few pieces, which are looked at one by one, and of many, which are not."""
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.standard_normal((40, 44, 42)), 2.5)
    mask = field > np.quantile(field, 1 - filled)
    spacing = np.array([0.7, 1.1, 4.0])
    found = depths(mask, spacing, axis)
    plane = np.delete(spacing, axis)
    for slice_mask, slice_found in zip(np.moveaxis(mask, axis, 0), np.moveaxis(found, axis, 0), strict=True):
        assert slice_found == pytest.approx(ndimage.distance_transform_edt(slice_mask, sampling=plane))


def test_pieces_that_touch_by_an_edge_are_as_deep_as_in_their_slice() -> None:
    mask = np.zeros((60, 60, 12), bool)
    mask[10:20, 10:20, 3:9] = mask[20:30, 20:30, 3:9] = True
    spacing = np.array([0.7, 1.1, 4.0])
    expected = ndimage.distance_transform_edt(mask[:, :, 5], sampling=spacing[:2])
    assert depths(mask, spacing, 2)[:, :, 5] == pytest.approx(expected)


def test_connected_pieces_fill_the_mask_once() -> None:
    mask = np.zeros((6, 7, 8), bool)
    mask[1, 1, 1] = mask[2, 2, 2] = True  # joined by a corner
    mask[4:, 5:, 6:] = True
    pieces = connected(mask)
    assert [int(inside.sum()) for _, inside in pieces] == [2, 8]
    again = np.zeros(mask.shape, int)
    for box, inside in pieces:
        again[box] += inside
    assert np.array_equal(again, mask)
    assert around([box for box, _ in pieces]) == (slice(1, 6), slice(1, 7), slice(1, 8))
    assert connected(np.zeros((3, 3, 3), bool)) == []


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), corners=st.booleans())
def test_pieces_far_apart_are_those_of_the_whole_volume(seed: int, corners: bool) -> None:
    """One empty plane is enough to part them, and their order stays."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((30, 31, 12), bool)
    for start in rng.integers(0, (28, 29, 10), size=(6, 3)):
        mask[tuple(slice(place, place + 2) for place in start)] = rng.random((2, 2, 2)) < 0.6
    numbers, count = ndimage.label(mask, np.ones((3, 3, 3)) if corners else None)
    pieces = connected(mask, corners=corners)
    assert len(pieces) == count
    for number, (box, inside) in enumerate(pieces, 1):
        assert np.array_equal(inside, numbers[box] == number)
        assert inside.sum() == (numbers == number).sum()
