from __future__ import annotations

import numpy as np
import pytest

from spine_ignite.errors import UsageError
from spine_ignite.inference.postprocess import clean
from spine_ignite.labels import load_scheme

SCHEME = load_scheme("lumbar-vertebrae")
AFFINE = np.diag([4.0, 1.0, 1.0, 1.0])


def test_steps_are_taken_in_their_own_order_and_told() -> None:
    volume = np.zeros((3, 9, 9), np.uint8)
    volume[1, 1:6, 1:6] = 1
    volume[1, 3, 3] = 0
    volume[1, 8, 8] = 1
    cleaned = clean(volume, AFFINE, SCHEME, ["holes", "components"])
    assert cleaned.message == "1 voxels beside the largest components removed; 1 voxels in holes filled"
    assert cleaned.indices.sum() == 25
    assert clean(volume, AFFINE, SCHEME, ["components:L4,L3"]).message == "no stray voxels"
    assert clean(volume, AFFINE, SCHEME, []).indices is volume


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("level", "no post-processing step 'level'. Did you mean 'levels'. The steps are levels, sacrum, discs"),
        ("levels:L5", "components and holes take classes"),
        ("components:", "components and holes take classes"),
        ("holes:L5,L9", "scheme 'lumbar-vertebrae' has no structure 'L9'"),
        ("components:background", "has no structure 'background'"),
    ],
)
def test_nonsense_is_refused(step: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        clean(np.zeros((2, 2, 2), np.uint8), AFFINE, SCHEME, [step])
