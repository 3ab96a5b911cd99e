from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from spine_ignite.inference.postprocess.levels import name_levels
from spine_ignite.labels import load_scheme

SCHEME = load_scheme("lumbar-vertebrae")  # indices 1 (L5) to 7 (T11)
# Rows run from head to foot, columns from front to back, slices from left to right.
AFFINE = np.array([[0, 0, 4.0, -40], [0, -1.0, 0, 50], [-1.0, 0, 0, 200], [0, 0, 0, 1]])
STEP, HEIGHT = 30, 20


def column(levels: list[int], slices: int = 9) -> NDArray[np.uint8]:
    """Boxes of 20 x 24 pixels, 30 pixels apart, the first one lowest; they lean like a lumbar spine."""
    volume = np.zeros((240, 80, slices), np.uint8)
    for place, level in enumerate(levels):
        volume[box(place)] = level
    return volume


def box(place: int) -> tuple[slice, slice, slice]:
    bottom, front = 225 - STEP * place, 20 + 3 * place
    return slice(bottom - HEIGHT, bottom), slice(front, front + 24), slice(1, -1)


def test_a_column_in_order_is_left_alone() -> None:
    volume = column([1, 2, 3, 4, 5])
    cleaned = name_levels(volume, AFFINE, SCHEME)
    assert np.array_equal(cleaned.indices, volume)
    assert cleaned.message.startswith("levels are in order, with a probability of 0.9")


@settings(max_examples=30)
@given(
    first=st.integers(1, 3),
    shifted=st.lists(
        st.tuples(st.integers(1, 7), st.sampled_from([-1, 1])), max_size=3, unique_by=lambda item: item[0]
    ),
)
def test_a_minority_of_slices_cannot_rename_a_vertebra(first: int, shifted: list[tuple[int, int]]) -> None:
    """Slices in which the whole column is taken for the one above or below follow the others."""
    levels = [first, first + 1, first + 2, first + 3]
    expected = column(levels)
    volume = expected.copy()
    for number, shift in shifted:
        inside = volume[..., number] > 0
        volume[..., number][inside] = np.clip(volume[..., number][inside].astype(int) + shift, first, first + 3)
    assert np.array_equal(name_levels(volume, AFFINE, SCHEME).indices, expected)


def test_a_vertebra_beyond_the_levels_of_the_scheme_becomes_background() -> None:
    """Two neighbours called T11: the upper one is T10, which the scheme does not have."""
    cleaned = name_levels(column([2, 3, 4, 5, 6, 7, 7]), AFFINE, SCHEME)
    assert np.array_equal(cleaned.indices, column([2, 3, 4, 5, 6, 7]))
    assert "changed level" in cleaned.message


def test_vertebrae_that_touch_stay_two() -> None:
    """A collapsed disc joins L5 and L4 into one component."""
    volume = column([1, 2, 3, 4, 5])
    volume[195:205, 23:44, 1:-1] = 2
    assert np.array_equal(name_levels(volume, AFFINE, SCHEME).indices, volume)


def test_a_missed_vertebra_keeps_its_number() -> None:
    volume = column([1, 2, 0, 4, 5])
    assert np.array_equal(name_levels(volume, AFFINE, SCHEME).indices, volume)


def test_a_vertebra_that_the_field_of_view_cuts_off_keeps_its_name() -> None:
    """Of the last vertebra little is seen, close above its neighbour."""
    volume = column([1, 2, 3, 4])[110:]
    volume[:3, 32:56, 1:-1] = 5
    assert (volume[5] == 4).any()
    assert np.array_equal(name_levels(volume, AFFINE, SCHEME).indices, volume)


def test_fragments_follow_the_nearest_vertebra() -> None:
    expected = column([1, 2, 3, 4])
    volume = expected.copy()
    volume[210:212, 25:28, 4] = 4
    volume[222:224, 46:48, 4] = 4
    cleaned = name_levels(volume, AFFINE, SCHEME).indices
    assert (cleaned[210:212, 25:28, 4] == 1).all()
    assert (cleaned[222:224, 46:48, 4] == 1).all()
    assert set(np.unique(cleaned)) == {0, 1, 2, 3, 4}


def test_fragments_at_one_height_do_not_hide_the_distance_of_vertebrae() -> None:
    """Each vertebra is seen in separate slices only, so that most neighbouring components lie at one height."""
    expected = column([1, 2, 3, 4])
    expected[..., ::2] = 0
    volume = expected.copy()
    inside = volume[..., 3] > 0
    volume[..., 3][inside] = np.minimum(volume[..., 3][inside] + 1, 4)
    assert np.array_equal(name_levels(volume, AFFINE, SCHEME).indices, expected)


def test_fragments_without_order_are_left_as_they_were() -> None:
    volume = np.zeros((240, 80, 5), np.uint8)
    volume[::2, ::20, ::2] = np.random.default_rng(0).integers(1, 8, volume[::2, ::20, ::2].shape)
    cleaned = name_levels(volume, AFFINE, SCHEME)
    assert np.array_equal(cleaned.indices, volume)
    assert "no column" in cleaned.message


def test_other_structures_and_volumes_without_vertebrae_are_left_alone() -> None:
    scheme = load_scheme("mrspineseg")
    sacrum, l5, l4, l3, disc = 1, 2, 3, 4, 12
    volume = np.zeros((240, 80, 5), np.uint8)
    for place, level in enumerate([sacrum, l5, l4, l4, l3]):
        volume[box(place)] = level
    volume[165:175, 30:50, 1:-1] = disc
    cleaned = name_levels(volume, AFFINE, scheme).indices
    assert np.array_equal(cleaned == disc, volume == disc)
    assert np.array_equal(cleaned == sacrum, volume == sacrum)
    assert "no column" in name_levels(np.zeros_like(volume), AFFINE, SCHEME).message


def test_two_neighbours_have_two_names() -> None:
    assert np.array_equal(name_levels(column([1, 1]), AFFINE, SCHEME).indices, column([1, 2]))


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
@pytest.mark.parametrize("flip", [False, True])
def test_the_order_of_the_array_s_axes_does_not_matter(axes: tuple[int, int, int], flip: bool) -> None:
    volume = column([1, 2, 3, 4, 5, 5])
    volume[..., 3][volume[..., 3] == 2] = 3
    affine = AFFINE.copy()
    moved = volume.transpose(axes)
    affine[:, :3] = AFFINE[:, [*axes]]
    if flip:
        affine[:, 3] += affine[:, 0] * (moved.shape[0] - 1)
        affine[:, 0] *= -1
        moved = moved[::-1]
    cleaned = name_levels(np.ascontiguousarray(moved), affine, SCHEME).indices
    if flip:
        cleaned = cleaned[::-1]
    assert np.array_equal(cleaned, column([1, 2, 3, 4, 5, 6]).transpose(axes))
