from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from spine_ignite.slices.border import find_border, find_window
from spine_ignite.slices.normalise import prepare_image
from spine_ignite.volumes.geometry import SliceGrid
from spine_ignite.volumes.volume import Volume

PSR = np.array([[0, 0, 4.0, -10], [-0.8, 0, 0, 20], [0, 0.8, 0, 30], [0, 0, 0, 1]])
FILLS = (0, 255, -1000, 37.5)


def scan(seed: int = 0, shape: tuple[int, int, int] = (60, 70, 4)) -> NDArray[np.float32]:
    """A body on a dark background, with noise: axes P, S, R."""
    rng = np.random.default_rng(seed)
    body = ndimage.gaussian_filter(rng.normal(0, 1, shape), (4, 4, 0)) * 300 + 200
    body[: shape[0] // 5] = 4
    return np.rint(np.abs(body + rng.normal(0, 8, shape))).astype(np.float32)


def volume(array: NDArray[np.float32]) -> Volume:
    return Volume(array, PSR, Path("x.nii"))


def slices_of(array: NDArray[np.float32]) -> NDArray[np.float32]:
    return SliceGrid.from_geometry(array.shape, PSR).native_slices(array)


@given(
    sides=st.tuples(*[st.integers(0, 40)] * 4),
    fill=st.sampled_from(FILLS),
    spacing=st.sampled_from((0.8, 1.3)),
)
def test_a_padded_image_gives_the_slices_that_it_gives_without(
    sides: tuple[int, int, int, int], fill: float, spacing: float
) -> None:
    """Bit for bit, whatever it was padded with."""
    array = scan()
    front, back, below, above = sides
    padded = np.pad(array, [(front, back), (below, above), (0, 0)], constant_values=fill)
    expected, _ = prepare_image(volume(array), (spacing, spacing), (0.5, 99.5))
    found, grid = prepare_image(volume(padded), (spacing, spacing), (0.5, 99.5))
    np.testing.assert_array_equal(found, expected)
    assert grid.window == (above, above + 70, front, front + 60), "rows run down, columns back"
    inside = grid.to_volume(np.ones((4, 70, 60), np.uint8))
    np.testing.assert_array_equal(
        inside, np.pad(np.ones_like(array, np.uint8), [(front, back), (below, above), (0, 0)])
    )


def corners(array: NDArray[np.float32], fill: float) -> NDArray[np.float32]:
    return ndimage.rotate(array, 10, axes=(0, 1), order=1, cval=fill)


def step(array: NDArray[np.float32], fill: float) -> NDArray[np.float32]:
    """Two stations that are stitched, one further back."""
    wide = np.full((80, 140, 4), fill, np.float32)
    wide[:60, :70], wide[20:, 70:] = array, scan(1)
    return wide


def lens(array: NDArray[np.float32], fill: float) -> NDArray[np.float32]:
    """What a correction of distortion leaves at the edges."""
    rows, columns = np.mgrid[:60, :70]
    round_edge = ((rows - 29.5) / 32) ** 2 + ((columns - 34.5) / 37) ** 2 > 1
    return np.where(round_edge[..., None], np.float32(fill), array)


def empty_slices(array: NDArray[np.float32], fill: float) -> NDArray[np.float32]:
    return np.concatenate([array, np.full_like(array, fill)], axis=2)


def test_the_value_of_a_border_of_any_shape_changes_nothing() -> None:
    for make in (corners, step, lens, empty_slices):
        found = [prepare_image(volume(make(scan(), fill)), (1.2, 1.2), (0.5, 99.5))[0] for fill in (0, 255, -1000)]
        border = find_border(slices_of(make(scan(), -1000)))
        assert border is not None
        filled = slices_of(make(scan(), -1000)) == -1000
        assert border[filled].mean() > 0.95, make.__name__
        assert not border[~ndimage.binary_dilation(filled, np.ones((1, 5, 5)))].any(), make.__name__
        for other in found[1:]:
            differ = np.abs(other - found[0]) > 0.02  # at most pixels of the border's value beside it
            assert differ.mean() < (0.1 if make is corners else 1e-3), "where the image was turned, some blend with it"


def test_what_is_left_has_mean_0_and_deviation_1_and_the_border_is_its_darkest() -> None:
    slices, grid = prepare_image(volume(lens(scan(), 5000)), (0.8, 0.8), (0.0, 100.0))
    border = find_border(grid.native_slices(lens(scan(), 5000)))
    assert border is not None
    counted = slices[~ndimage.binary_dilation(border, np.ones((1, 3, 3)))]
    assert counted.mean() == pytest.approx(0, abs=1e-4)
    assert counted.std() == pytest.approx(1, abs=1e-4)
    for plane, outside in zip(slices, border, strict=True):
        assert (plane[outside] == plane[~outside].min()).all(), "as the margin around a slice that is too small"


def test_the_old_rule_counts_the_border() -> None:
    padded = np.pad(scan(), [(30, 30), (0, 0), (0, 0)])
    slices, grid = prepare_image(volume(padded), (0.8, 0.8), (0.0, 100.0), "all")
    assert grid.window == (0, 70, 0, 120)
    assert slices.mean() == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("dark", [0.3, 0.6, 0.75])
def test_noise_that_is_often_0_is_no_border(dark: float) -> None:
    """The background of many scans: coarse steps, and one value in most of its pixels."""
    array = np.random.default_rng(0).poisson(-np.log(dark), (96, 96, 6)).astype(np.float32)
    array[30:60, 20:70] += 100
    border = find_border(slices_of(array))
    assert border is None or border.mean() < 0.02
    assert find_window(slices_of(array)) == (0, 96, 0, 96)


@pytest.mark.parametrize("shape", [(1, 9, 7), (9, 1, 7), (9, 8, 1), (40, 2, 3), (12, 12, 3)])
def test_images_without_contrast_or_with_a_few_pixels_stay_whole(shape: tuple[int, int, int]) -> None:
    for array in (np.full(shape, 7, np.float32), np.random.default_rng(0).integers(0, 4, shape).astype(np.float32)):
        slices, grid = prepare_image(volume(array), (0.8, 0.8), (0.5, 99.5))
        assert grid.window_size == grid.native_size
        assert np.isfinite(slices).all()


def test_no_structure_of_a_mask_is_cropped() -> None:
    padded = np.pad(scan(), [(30, 30), (20, 20), (0, 0)])
    marked = np.zeros(padded.shape, bool)
    marked[25:60, 50, 1] = True  # reaches five voxels into the border
    _, grid = prepare_image(volume(padded), (0.8, 0.8), (0.5, 99.5), keep=marked)
    assert grid.window == (20, 90, 25, 90)
    np.testing.assert_array_equal(grid.to_volume(grid.label_to_slices(marked.astype(np.uint8))), marked)
