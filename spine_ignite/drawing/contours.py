"""Structures in a slice as outlines for SVG, and slices as images within a page."""

from __future__ import annotations

import base64
import io
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from spine_ignite.drawing.panels import gray
from spine_ignite.labels import LabelClass

_STEPS = ((0, 1), (1, 0), (0, -1), (-1, 0))  # row and column of a step to the right, down, to the left, up
_JPEG_QUALITY = 75


def outline(mask: NDArray[np.bool_]) -> str:
    """Return an SVG path around the pixels of a mask ``(H, W)``.

    The pixel ``(r, c)`` spans x from ``c`` to ``c + 1`` and y from ``r`` to ``r + 1``. Each border is one closed loop,
    with the inside to its right; pixels that touch at a corner alone are apart.
    """
    inside = np.pad(mask, 1)
    here = inside[1:-1, 1:-1]
    sides: set[tuple[int, int, int]] = set()  # row and column where a side begins, and its direction
    beside = (inside[:-2, 1:-1], inside[1:-1, 2:], inside[2:, 1:-1], inside[1:-1, :-2])
    begins = ((0, 0), (0, 1), (1, 1), (1, 0))
    for direction, (neighbour, (down, right)) in enumerate(zip(beside, begins, strict=True)):
        rows, columns = np.nonzero(here & ~neighbour)
        sides.update((r + down, c + right, direction) for r, c in zip(rows.tolist(), columns.tolist(), strict=True))
    # The topmost and leftmost of the sides that are left begins a corner.
    return "".join(_loop(start, sides) for start in sorted(sides) if start[2] == 0 and start in sides)


def _loop(start: tuple[int, int, int], sides: set[tuple[int, int, int]]) -> str:
    """Take the sides of a loop out of ``sides``; where two loops touch, it turns as far to the right as it can."""
    row, column, direction = start
    path, length = [f"M{column} {row}"], 0
    while True:
        length += 1
        row, column = row + _STEPS[direction][0], column + _STEPS[direction][1]
        turn = next(turn for turn in (1, 0, -1) if (row, column, (direction + turn) % 4) in sides)
        following = (row, column, (direction + turn) % 4)
        sides.remove(following)
        if following == start:
            return "".join([*path, "z"])
        if turn:
            path.append(f"{'hv'[direction % 2]}{length if direction < 2 else -length}")
            length = 0
        direction = following[2]


def css_color(entry: LabelClass) -> str:
    """Return a class's colour for HTML."""
    return "#{:02x}{:02x}{:02x}".format(*entry.color)


def image_uri(plane: NDArray[np.float32], form: Literal["png", "jpeg"] = "png") -> str:
    """Return a slice ``(H, W)`` in grey values as the URI of an image that a page holds itself."""
    from matplotlib.image import imsave

    file = io.BytesIO()
    imsave(file, gray(plane), format=form, pil_kwargs={"quality": _JPEG_QUALITY} if form == "jpeg" else None)
    return f"data:image/{form};base64," + base64.b64encode(file.getvalue()).decode("ascii")
