from __future__ import annotations

import base64
import io
import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from matplotlib.image import imread

from spine_ignite.drawing.contours import image_uri, outline


def loops(path: str) -> list[list[tuple[int, int]]]:
    """The corners (x, y) of each closed loop of a path; its last side leads back to the first."""
    found = []
    for x, y, steps in re.findall(r"M(\d+) (\d+)((?:[hv]-?\d+)+)z", path):
        corners = [(int(x), int(y))]
        for direction, length in re.findall(r"([hv])(-?\d+)", steps):
            x0, y0 = corners[-1]
            corners.append((x0 + int(length), y0) if direction == "h" else (x0, y0 + int(length)))
        found.append(corners)
    return found


@given(arrays(bool, st.tuples(st.integers(1, 7), st.integers(1, 7))))
def test_an_outline_is_every_side_between_inside_and_outside_once_and_closed(mask: np.ndarray) -> None:
    drawn = []
    for corners in loops(outline(mask)):
        for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
            assert (x0 == x1) != (y0 == y1)
            drawn += [("h", y0, x) for x in range(min(x0, x1), max(x0, x1))]
            drawn += [("v", y, x0) for y in range(min(y0, y1), max(y0, y1))]
    expected = set()
    inside = {tuple(place) for place in np.argwhere(mask).tolist()}
    for row, column in inside:
        sides = {
            ("h", row, column): (row - 1, column),
            ("h", row + 1, column): (row + 1, column),
            ("v", row, column): (row, column - 1),
            ("v", row, column + 1): (row, column + 1),
        }
        expected |= {side for side, neighbour in sides.items() if neighbour not in inside}
    assert sorted(drawn) == sorted(expected)


@given(arrays(bool, st.tuples(st.integers(1, 7), st.integers(1, 7))))
def test_loops_have_the_inside_to_their_right_so_that_their_areas_sum_to_the_pixels(mask: np.ndarray) -> None:
    doubled = 0  # of the area, by the shoelace formula; y grows downwards
    for corners in loops(outline(mask)):
        doubled += sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True))
    assert doubled == 2 * mask.sum()


def test_an_image_in_a_page_is_the_slice_in_grey() -> None:
    plane = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (32, 1))
    for form, tolerance in (("png", 0), ("jpeg", 4)):
        head, data = image_uri(plane, form).split(",")
        assert head == f"data:image/{form};base64"
        shown = imread(io.BytesIO(base64.b64decode(data)), format=form)
        shown = shown if shown.dtype == np.uint8 else (255 * shown).round().astype(np.uint8)
        low, high = np.percentile(plane, (1, 99))
        expected = (255 * ((plane - low) / (high - low)).clip(0, 1)).astype(int)
        assert np.abs(shown[..., 0].astype(int) - expected).max() <= tolerance
