from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spine_ignite.slices.normalise import normalise, prepare_image
from spine_ignite.volumes.volume import Volume


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


@given(order=st.permutations((0, 1, 2)), flips=st.tuples(*[st.sampled_from((1, -1))] * 3))
def test_the_slices_of_a_scan_do_not_depend_on_how_it_is_stored(order: list[int], flips: tuple[int, int, int]) -> None:
    array = np.random.default_rng(0).normal(100, 20, (6, 16, 12)).astype(np.float32)
    image = nib.Nifti1Image(array, np.diag([4.0, 0.8, 1.2, 1.0]))
    stored = image.as_reoriented(np.stack([order, flips], axis=1))
    first, second = (
        prepare_image(Volume(np.asarray(i.dataobj), i.affine, Path("x.nii")), (1.5, 1.0), (0.5, 99.5))
        for i in (image, stored)
    )
    assert first[0].shape == (6, round(12 * 1.2 / 1.5), round(16 * 0.8 / 1.0))
    np.testing.assert_allclose(second[0], first[0], atol=1e-4)
    assert second[1].spacing == first[1].spacing
