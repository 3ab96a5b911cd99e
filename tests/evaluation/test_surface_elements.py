from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from monai.metrics.utils import create_table_neighbour_code_to_surface_area

from spine_ignite.evaluation.surface_elements import cube_codes, element_areas

SPACING = st.tuples(*[st.floats(0.3, 5.0)] * 3)


@given(spacing=SPACING)
def test_areas_are_those_of_the_published_table(spacing: tuple[float, ...]) -> None:
    """In float32 MONAI holds the table of Nikolov et al.; its codes have the corners in the opposite order."""
    published = create_table_neighbour_code_to_surface_area(spacing, device="cpu")[0].numpy()
    reverse = [int(f"{code:08b}"[::-1], 2) for code in range(256)]
    np.testing.assert_allclose(element_areas(spacing)[reverse], published, rtol=1e-5)


@given(spacing=SPACING)
def test_areas_by_hand(spacing: tuple[float, ...]) -> None:
    """One corner: a triangle with legs of half an edge; a side: a rectangle; seven corners are as one."""
    i, j, k = spacing
    corner = np.sqrt((i * j) ** 2 + (i * k) ** 2 + (j * k) ** 2) / 8
    areas = element_areas(spacing)
    assert areas[0] == areas[255] == 0
    assert areas[0b00000001] == pytest.approx(corner)
    assert areas[0b11111110] == pytest.approx(corner)
    assert areas[0b10000001] == pytest.approx(2 * corner)
    assert areas[0b00001111] == pytest.approx(j * k)
    assert areas[0b00110011] == pytest.approx(i * k)
    assert areas[0b01010101] == pytest.approx(i * j)
    assert areas[0b00000011] == pytest.approx(k * np.hypot(i, j) / 2)


@given(spacing=SPACING, counts=st.tuples(*[st.integers(1, 6)] * 3))
def test_the_area_of_a_box_is_that_of_its_faces_with_bevelled_edges(
    spacing: tuple[float, ...], counts: tuple[int, ...]
) -> None:
    """Faces lie half a voxel outside of the outermost centres; along edges the cubes are cut from middle to middle."""
    codes = cube_codes(np.ones(counts, bool))
    area = element_areas(spacing)[codes].sum()
    lengths = [(n - 1) * s for n, s in zip(counts, spacing, strict=True)]
    expected = np.sqrt(sum((a * b) ** 2 for a, b in itertools.combinations(spacing, 2)))  # eight corners
    for axis in range(3):
        (a, b), (c, d) = np.delete(lengths, axis), np.delete(spacing, axis)
        expected += 2 * a * b + 4 * lengths[axis] * np.hypot(c, d) / 2
    assert area == pytest.approx(expected)


@given(seed=st.integers(0, 9999))
def test_a_code_says_which_corners_are_inside(seed: int) -> None:
    mask = np.random.default_rng(seed).random((3, 4, 2)) < 0.5
    around = np.pad(mask, 1)
    codes = cube_codes(mask)
    assert codes.shape == (4, 5, 3)
    for place in np.ndindex(codes.shape):
        corners = itertools.product((0, 1), repeat=3)
        expected = sum(int(around[tuple(np.add(place, c))]) << (4 * c[0] + 2 * c[1] + c[2]) for c in corners)
        assert codes[place] == expected
