"""Ribs beside the vertebrae of a column: where they end, thoracic vertebrae do."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from spine_ignite.inference.levels.evidence import usual_distance
from spine_ignite.inference.levels.exponents import Weights
from spine_ignite.inference.levels.pieces import Found
from spine_ignite.labels import LabelScheme
from spine_ignite.volumes.geometry import sagittal_axis

Floats = NDArray[np.float64]
# Of the way from a vertebra's middle to the next: a rib's head lies beside the upper rim of its vertebra, or the disc
# above it, and the rib goes down from there (Gray's Anatomy, 41st ed., ch. 53).
_REACH_UP = 0.6
_ASIDE = 22.0  # mm from the column's middle line, from which a rib that is there is seen: heads lie at 15 to 20 mm
_PLAIN = 0.4  # ml of a rib that are seen where it need not be seen whole
_NOTHING = 0.01  # of a trace that says nothing: less is no less
_SEEN = 1.0  # odds (their logarithm) from which a rib counts as seen, or as missing
_FURTHEST = 60.0  # mm to either side: further out ribs have left the height of their vertebrae


def ribs_beside(found: Found, indices: NDArray[np.uint8], affine: Floats, scheme: LabelScheme) -> Floats:
    """Return how much of a rib is seen to the left and to the right of each vertebra, in ml ``(N, 2)``.

    NaN stands where nothing can be said: the image ends before a rib would be seen, or cuts the vertebra off, and
    little or nothing of one is there; or there is no rib anywhere, as in labels that leave ribs out.

    Args:
        found: pieces of a column, with at least one vertebra.
        indices: class indices of the whole volume ``(I, J, K)``.
        affine: its voxel indices to RAS+ mm.
        scheme: of the indices.
    """
    seen = np.full((len(found.vertebrae), 2), np.nan)
    classes = [c.index for c in scheme.classes if c.kind == "rib"]
    table = np.isin(np.arange(256), classes)
    voxels = np.nonzero(table[indices]) if classes else ()
    if found.curve is None or not voxels or not len(voxels[0]):
        return seen
    places = np.stack(voxels, axis=1) @ affine[:3, :3].T + affine[:3, 3]
    number = np.searchsorted(_bounds(found), found.curve.heights(places)) - 1
    axis = sagittal_axis(affine)
    to_left = affine[:3, axis] / np.linalg.norm(affine[:3, axis])
    to_left = np.where(to_left[0] > 0, -to_left, to_left)  # x grows to the right
    outermost = np.zeros((2, 3))
    outermost[1, axis] = indices.shape[axis] - 1
    ends = (outermost @ affine[:3, :3].T + affine[:3, 3]) @ to_left
    millilitre = abs(float(np.linalg.det(affine[:3, :3]))) / 1000
    for place, piece in enumerate(found.vertebrae):
        middle = float(piece.middle @ to_left)
        aside = places[number == place] @ to_left - middle
        for side, (sign, end) in enumerate(((1, ends.max()), (-1, ends.min()))):
            there = np.count_nonzero((sign * aside > 0) & (sign * aside < _FURTHEST)) * millilitre
            if there >= _PLAIN or (sign * (end - middle) >= _ASIDE and not piece.cut):
                seen[place, side] = there
    return seen


def _bounds(found: Found) -> Floats:
    """Return heights between which a rib belongs to each vertebra ``(N + 1,)``, in mm along the curve."""
    heights = np.array([piece.height for piece in found.vertebrae])
    steps = np.diff(heights) if len(heights) > 1 else np.array([usual_distance(heights)])
    tops = heights + _REACH_UP * np.append(steps, steps[-1])[: len(heights)]
    bounds: Floats = np.append(heights[0] - (1 - _REACH_UP) * steps[0], tops)
    return bounds


def rib_odds(ribs: Floats, weights: Weights) -> Floats:
    """Return the logarithm of the odds, for and against a rib, that what is seen beside each piece gives ``(N,)``.

    A trace may be the end of a transverse process; and what is not seen may lie beyond the last slice, or be short.

    Args:
        ribs: of each piece, as :func:`ribs_beside` gives them ``(N, 2)``.
        weights: of the terms.
    """
    trace = np.maximum(ribs, _NOTHING * weights.rib_even)
    odds = np.clip(weights.ribs * np.log(trace / weights.rib_even), -weights.rib_most, weights.rib_most)
    of_both: Floats = np.where(np.isnan(ribs), 0.0, odds).sum(axis=1)
    return of_both


def shows_lowest_rib(odds: Floats, naming: Sequence[tuple[str, ...]]) -> bool:
    """Whether a rib is seen beside the lowest thoracic vertebra of a naming, and none beside the lumbar one below it.

    Args:
        odds: of each piece, as :func:`rib_odds` gives them ``(N,)``.
        naming: levels of each piece, from the lowest up.
    """
    known = [(place, names) for place, names in enumerate(naming) if names]
    for (low, below), (high, above) in itertools.pairwise(known):
        if below[-1] == "L1" and above[0] in ("T12", "T13"):
            return bool(odds[high] > _SEEN and odds[low] < -_SEEN)
    return False
