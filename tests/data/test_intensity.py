from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spine_ignite.data.intensity import normalise


@given(seed=st.integers(0, 1000), scale=st.floats(1e-3, 1e4), shift=st.floats(-1e4, 1e4))
def test_normalisation_forgets_scale_and_shift(seed: int, scale: float, shift: float) -> None:
    raw = np.random.default_rng(seed).gamma(2.0, 1.0, (3, 12, 10))
    first = normalise(raw.astype(np.float32), (1, 99))
    assert abs(float(first.mean())) < 1e-4
    assert abs(float(first.std()) - 1) < 1e-4
    if abs(shift) < 100 * scale:  # beyond that float32 has no digits left for the image
        second = normalise((scale * raw + shift).astype(np.float32), (1, 99))
        np.testing.assert_allclose(second, first, atol=2e-2)


def test_outliers_are_clipped_to_the_percentiles() -> None:
    slices = np.linspace(0, 1, 10_000, dtype=np.float32).reshape(1, 100, 100)
    slices[0, 0, 0], slices[0, 99, 99] = -1e6, 1e6
    result = normalise(slices, (0.5, 99.5))
    assert float(np.abs(result).max()) < 2


def test_a_constant_volume_becomes_zero() -> None:
    assert not normalise(np.full((2, 4, 4), 7, np.float32), (0.5, 99.5)).any()
