from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from spine_ignite.inference.levels.boxes import around, connected
from spine_ignite.inference.levels.depths import depths


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), axis=st.integers(0, 2))
def test_names_in_their_boxes_are_as_deep_as_in_the_volume(seed: int, axis: int) -> None:
    """Against distances in each slice by itself, for blobs of names that do not touch within a slice."""
    rng = np.random.default_rng(seed)
    names = ndimage.gaussian_filter(rng.standard_normal((12, 14, 13)), 1.5)
    names = np.digitize(names, np.quantile(names, [0.4, 0.6, 0.8])).astype(np.uint8)
    mask = names > 0
    for other in range(3):
        if other != axis:
            step = np.diff(names, axis=other) != 0
            pad = [(0, 0)] * 3
            for place in ((0, 1), (1, 0)):
                pad[other] = place
                mask &= ~np.pad(step, pad)
    spacing = np.array([0.7, 1.1, 4.0])
    found = depths(mask, names, spacing, axis)
    plane = np.delete(spacing, axis)
    for slice_mask, slice_found in zip(np.moveaxis(mask, axis, 0), np.moveaxis(found, axis, 0), strict=True):
        if not slice_mask.all():
            assert slice_found == pytest.approx(ndimage.distance_transform_edt(slice_mask, sampling=plane))
    assert np.array_equal(depths(mask, None, spacing, axis), found)


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
