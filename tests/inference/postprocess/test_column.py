from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from spine_ignite.inference.postprocess.column import anchor_on_sacrum, name_discs
from spine_ignite.labels import load_scheme

SCHEME = load_scheme("mrspineseg")
SACRUM, L5, FIRST_DISC = 1, 2, 11
# Rows run from head to foot, columns from front to back, slices from left to right.
AFFINE = np.array([[0, 0, 4.0, -40], [0, -1.0, 0, 50], [-1.0, 0, 0, 200], [0, 0, 0, 1]])
BOTTOM = 225


def spine(shift: int = 0, vertebrae: int = 5, missing: tuple[int, ...] = ()) -> NDArray[np.uint8]:
    """Sacrum, then discs of 8 and vertebrae of 22 pixels in turn, leaning forward; names ``shift`` levels too high."""
    volume = np.zeros((260, 100, 9), np.uint8)
    volume[BOTTOM - 5 : BOTTOM + 30, 15:45, 1:-1] = SACRUM
    for place in range(vertebrae):
        bottom, front = BOTTOM - 5 - 30 * place, 20 + 4 * place
        if 0 <= place + shift < 9:
            volume[bottom - 8 : bottom, front : front + 26, 1:-1] = FIRST_DISC + place + shift
        if 0 <= place + shift < 9 and place not in missing:
            volume[bottom - 30 : bottom - 8, front : front + 26, 1:-1] = L5 + place + shift
    return volume


@settings(deadline=None, max_examples=20)
@given(shift=st.integers(1, 3), vertebrae=st.integers(3, 6))
def test_a_shifted_column_is_moved_back(shift: int, vertebrae: int) -> None:
    cleaned = anchor_on_sacrum(spine(shift, vertebrae), AFFINE, SCHEME)
    assert np.array_equal(cleaned.indices, spine(0, vertebrae))
    assert cleaned.message.startswith(f"the column moved by -{shift} level")


def test_a_column_that_fits_is_left_alone() -> None:
    for volume in (spine(), spine(missing=(2,)), spine(missing=(0,))):
        cleaned = anchor_on_sacrum(volume, AFFINE, SCHEME)
        assert np.array_equal(cleaned.indices, volume)
        assert cleaned.message == "the lowest vertebra fits the sacrum"


def test_a_missed_vertebra_on_the_sacrum_leaves_a_gap() -> None:
    """L5 was missed and L4 called L5: the gap to the sacrum has room for a vertebra, so names go up."""
    named_too_low = spine(missing=(0,))
    for place in range(1, 5):
        named_too_low[named_too_low == L5 + place] = L5 + place - 1
    cleaned = anchor_on_sacrum(named_too_low, AFFINE, SCHEME).indices
    expected = spine(missing=(0,))
    assert np.array_equal(np.isin(cleaned, range(L5, 11)), np.isin(expected, range(L5, 11)))
    assert np.array_equal(cleaned[np.isin(expected, range(L5, 11))], expected[np.isin(expected, range(L5, 11))])


def test_names_beyond_the_scheme_s_last_become_background() -> None:
    volume = spine(vertebrae=7, missing=(0,))
    volume[(volume >= L5) & (volume <= 10)] += 2  # the column ends at T9, the last there is
    cleaned = anchor_on_sacrum(volume, AFFINE, SCHEME).indices
    assert cleaned.max() < 20
    assert (cleaned == L5 + 1).any()


def test_without_a_sacrum_nothing_is_known() -> None:
    cut_off = spine(1)
    cut_off[cut_off == SACRUM] = 0
    fragment = cut_off.copy()
    fragment[230:232, 20:24, 4] = SACRUM
    for volume in (cut_off, fragment, np.zeros_like(cut_off)):
        cleaned = anchor_on_sacrum(volume, AFFINE, SCHEME)
        assert np.array_equal(cleaned.indices, volume)
        assert cleaned.message == "the sacrum says nothing"
    bodies = load_scheme("lumbar-vertebrae")
    assert anchor_on_sacrum(np.minimum(spine(), 7), AFFINE, bodies).message == "the sacrum says nothing"


@settings(deadline=None, max_examples=20)
@given(order=st.permutations(range(5)))
def test_discs_are_named_by_their_place(order: list[int]) -> None:
    volume = spine()
    for place, name in enumerate(order):
        volume[spine() == FIRST_DISC + place] = FIRST_DISC + name
    assert np.array_equal(name_discs(volume, AFFINE, SCHEME).indices, spine())


def test_a_disc_with_two_names_gets_one() -> None:
    volume = spine()
    volume[:, :, :3][volume[:, :, :3] == FIRST_DISC + 2] = FIRST_DISC + 3
    cleaned = name_discs(volume, AFFINE, SCHEME)
    assert np.array_equal(cleaned.indices, spine())
    assert cleaned.message.endswith("voxels of discs renamed")


def test_the_disc_above_a_missed_vertebra_keeps_its_name() -> None:
    volume = spine(missing=(2,))
    cleaned = name_discs(volume, AFFINE, SCHEME)
    assert np.array_equal(cleaned.indices, volume)
    assert cleaned.message == "discs lie between their vertebrae"


def test_discs_far_from_any_vertebra_or_without_a_column_are_left_alone() -> None:
    volume = spine(vertebrae=2)
    volume[10:15, 40:60, 3] = FIRST_DISC + 6
    assert np.array_equal(name_discs(volume, AFFINE, SCHEME).indices, volume)
    single = spine(vertebrae=1)
    assert name_discs(single, AFFINE, SCHEME).message == "no column to name discs by"


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_the_order_of_the_array_s_axes_does_not_matter(axes: tuple[int, int, int]) -> None:
    affine = AFFINE.copy()
    affine[:, :3] = AFFINE[:, [*axes]]
    swapped = spine()
    swapped[spine() == FIRST_DISC] = FIRST_DISC + 1
    moved = name_discs(np.ascontiguousarray(swapped.transpose(axes)), affine, SCHEME).indices
    assert np.array_equal(moved, spine().transpose(axes))
    shifted = anchor_on_sacrum(np.ascontiguousarray(spine(1).transpose(axes)), affine, SCHEME).indices
    assert np.array_equal(shifted, spine().transpose(axes))


def test_names_that_lie_in_one_place_move_nothing() -> None:
    """Two classes in turn have one centre: the distance of vertebrae would be zero."""
    volume = np.zeros((60, 40, 6), np.uint8)
    volume[40:, 10:30] = SACRUM
    volume[10:30:4, 10:30], volume[12:30:4, 10:30] = L5, L5 + 1
    volume[30:32, 10:30] = L5
    volume[9, 10:30] = L5
    for moved in (volume, np.where(np.isin(volume, (L5, L5 + 1)), L5 + np.indices(volume.shape)[1] % 2, volume)):
        cleaned = anchor_on_sacrum(moved.astype(np.uint8), AFFINE, SCHEME)
        assert np.array_equal(cleaned.indices, moved)
        assert "the sacrum says nothing" in cleaned.message
