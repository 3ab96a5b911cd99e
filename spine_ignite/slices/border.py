"""The constant border of an image: what stitching, turning, padding or a correction of distortion has put there.

No scanner has seen it, so that it must not enter the statistics by which an image is normalised. Its value may be any.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Window = tuple[int, int, int, int]

# A run of equal pixels at least this long (or as long as the slice) is no noise, however dark and coarse its steps.
_RUN = 15
_NARROW = 8  # rows or columns below which equal pixels say nothing


def find_window(slices: NDArray[Any]) -> Window:
    """Return the rectangle (top, bottom, left, right) without a frame that is constant in every slice.

    A frame's lines are constant, of one value in each slice; slices that are constant as a whole do not count. Slices
    of a few rows or columns have no frame.

    Args:
        slices: ``(S, H, W)``.
    """
    lively = slices[[plane.min() != plane.max() for plane in slices]]
    height, width = slices.shape[1:]
    if not len(lively) or min(height, width) < _NARROW:
        return 0, height, 0, width
    top = _constant_lines(lively)
    bottom = height - _constant_lines(lively[:, :top:-1])
    columns = lively[:, top:bottom].transpose(0, 2, 1)
    left = _constant_lines(columns) if bottom - top > 1 else 0
    right = width - (_constant_lines(columns[:, :left:-1]) if bottom - top > 1 else 0)
    return top, bottom, left, right


def find_border(slices: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Return where slices have a constant border ``(S, H, W)``, or None if none has.

    In each slice that is what a corner is part of: pixels of the corner's value that are connected within the slice by
    runs of equal pixels along rows or columns. Shorter runs are the noise of a dark background, in which pixels of one
    value touch too. A constant slice is border as a whole.

    Args:
        slices: ``(S, H, W)``.
    """
    border = np.zeros(slices.shape, bool)
    if min(slices.shape[1:]) < _NARROW:
        return None
    for plane, found in zip(slices, border, strict=True):
        _mark(plane, found)
    return border if border.any() and not border.all() else None


def _constant_lines(slices: NDArray[Any]) -> int:
    """Number of first rows that hold one value in each slice; at least one row is left."""
    value = slices[:, :1, :1]
    count = 0
    while count < slices.shape[1] - 1 and (slices[:, count : count + 1] == value).all():
        count += 1
    return count


def _mark(plane: NDArray[Any], found: NDArray[np.bool_]) -> None:
    runs = [min(_RUN, length) for length in plane.shape]
    corners = [(row, column) for row in (0, -1) for column in (0, -1)]
    for value in {plane[corner].item() for corner in corners if _starts_run(plane, corner, runs)}:
        equal = (plane == value).astype(np.uint8)
        flat = np.zeros(plane.shape, bool)
        for size in ((runs[0], 1), (1, runs[1])):
            flat |= ndimage.grey_opening(equal, size=size, mode="constant").astype(bool)
        parts, _ = ndimage.label(flat)
        areas = np.bincount(parts.ravel())
        for corner in corners:
            part = parts[corner]
            if part and areas[part] >= min(plane.shape):
                # The tips of a corner are narrower than a run.
                found |= ndimage.binary_dilation(parts == part, iterations=max(runs), mask=equal)


def _starts_run(plane: NDArray[Any], corner: tuple[int, int], runs: list[int]) -> bool:
    """Whether a run starts in a corner; where none does, as in most images, nothing else has to be looked at."""
    row, column = corner
    down = plane[:: 1 if row == 0 else -1, column][: runs[0]]
    across = plane[row, :: 1 if column == 0 else -1][: runs[1]]
    return bool((down == down[0]).all() or (across == across[0]).all())
