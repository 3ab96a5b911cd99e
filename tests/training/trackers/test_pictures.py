from __future__ import annotations

import numpy as np

from spine_ignite.training.trackers.pictures import stack


def test_pictures_of_different_sizes_go_side_by_side() -> None:
    small, large = np.full((2, 9, 3), 7, np.uint8), np.full((4, 6, 3), 9, np.uint8)
    found = stack([small, large])
    assert found.shape == (2, 4, 9, 3)
    np.testing.assert_array_equal(found[0, :2], small)
    np.testing.assert_array_equal(found[1, :, :6], large)
    assert found.sum() == small.sum(dtype=int) + large.sum(dtype=int)
