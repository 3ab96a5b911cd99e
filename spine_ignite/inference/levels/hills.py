"""Vertebrae as blocks along the column: hills of the profile of what is labelled as vertebra."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, signal

Floats = NDArray[np.float64]
_BIN = 1.0  # mm
_SMOOTH = 2.0  # mm, standard deviation
_VALLEY = 0.35  # of a hill's height: a valley that is less deep does not part two vertebrae
_FAINT = 0.04  # of the highest hill: what is lower is no vertebra
_CLOSE = 0.6  # of the usual distance: hills that are closer are one vertebra
_ASIDE = 0.3  # of the profile: what a cut at the end of the reach must be lower to be better than one in the middle
_TALL = 1.55  # of the usual height: a block that is taller may be two vertebrae
_RIM = 8.0  # mm of a vertebra's height that are not its inside
_DIP = 0.85  # of the hills beside it: the profile where two vertebrae touch is lower


@dataclass(frozen=True, slots=True)
class Blocks:
    """Vertebrae along the curve.

    Args:
        cuts: heights in mm that part them, ascending, one less than there are blocks.
    """

    cuts: Floats

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.cuts) + 1

    def of(self, height: Floats) -> NDArray[np.intp]:
        """Return the number of the block, from 0, at each height."""
        return np.searchsorted(self.cuts, height)


def find_blocks(inside: Floats, discs: Floats, area: float) -> Blocks:
    """Find where one vertebra ends and the next begins.

    Args:
        inside: heights of the voxels inside vertebrae ``(N,)``, mm; at least one.
        discs: heights of the voxels of discs.
        area: what a voxel adds to the profile, mm3.
    """
    low = float(inside.min()) - 6 * _SMOOTH
    bins = int((float(inside.max()) - low) / _BIN) + int(6 * _SMOOTH / _BIN) + 2

    def profile(heights: Floats) -> Floats:
        places = ((heights - low) / _BIN).astype(np.intp)
        counts = np.bincount(places[(places >= 0) & (places < bins)], minlength=bins)
        smooth: Floats = ndimage.gaussian_filter1d(counts * (area / _BIN), _SMOOTH / _BIN)
        return smooth

    # A disc tells that there is a valley, where the vertebrae beside it touch.
    bone = profile(inside)
    hills = np.maximum(bone - profile(discs[np.isfinite(discs)]), 0)
    peaks = _peaks(hills)
    cuts = [a + int(hills[a : b + 1].argmin()) for a, b in itertools.pairwise(peaks)]
    # The lowest place of a wide valley is its middle, so that voxels beside either vertebra go to the nearer one.
    middles = [_middle(hills, cut) for cut in cuts]
    edges = _split_tall(bone, [0, *middles, bins])
    return Blocks(np.array(edges[1:-1], float) * _BIN + low)


def _peaks(hills: Floats) -> list[int]:
    """Return the tops of hills with a valley on both sides; of tops that are too close the higher ones."""
    padded = np.concatenate([[0.0], hills, [0.0]])
    tops, _ = signal.find_peaks(padded, height=_FAINT * float(hills.max(initial=0)))
    found: list[int] = []
    for top in (tops - 1).tolist():
        # Valleys are judged by the lower of the two hills beside them: a vertebra that is seen in part has a low one.
        while found:
            valley = float(hills[found[-1] : top + 1].min())
            if valley <= (1 - _VALLEY) * min(hills[found[-1]], hills[top]):
                break
            if hills[found[-1]] >= hills[top]:
                top = found[-1]
            found.pop()
        found.append(top)
    while len(found) > 3:
        steps = np.diff(found)
        if steps.min() >= _CLOSE * np.median(steps):
            break
        place = int(steps.argmin())
        found.pop(place if hills[found[place]] < hills[found[place + 1]] else place + 1)
    return found or [int(hills.argmax())]


def _middle(hills: Floats, cut: int) -> int:
    low = high = cut
    floor = hills[cut] + 1e-9 + 0.02 * float(hills.max())
    while low > 0 and hills[low - 1] <= floor:
        low -= 1
    while high < len(hills) - 1 and hills[high + 1] <= floor:
        high += 1
    return (low + high) // 2


def _split_tall(bone: Floats, edges: list[int]) -> list[int]:
    """Cut blocks that are as tall as two vertebrae where their profile dips near the middle.

    Without a dip it is left open whether a block is one vertebra or two: see
    :mod:`~spine_ignite.inference.levels.hypotheses`.
    """
    spans = [_extent(bone, a, b) for a, b in itertools.pairwise(edges)]
    heights = [high - low + _RIM for low, high in spans]
    if len(heights) < 3:
        return edges
    usual = float(np.median(heights))
    cuts = list(edges)
    for (low, _), height in zip(spans, heights, strict=True):
        if height < _TALL * usual:
            continue
        parts = max(2, round(height / usual))
        for part in range(1, parts):
            around, reach = low + (height - _RIM) * part / parts, 0.2 * height / parts
            first, last = int(around - reach), int(around + reach) + 1
            aside = (np.arange(first, last) - around) / reach
            top = bone[first:last].max() or 1.0  # nothing at all may be there
            cut = first + int((bone[first:last] / top + _ASIDE * aside**2).argmin())
            beside = int(height / parts)
            hills = min(bone[max(0, cut - beside) : cut].max(initial=0), bone[cut : cut + beside].max(initial=0))
            if bone[cut] < _DIP * hills:
                cuts.append(cut)
    return sorted(cuts)


def _extent(bone: Floats, low: int, high: int) -> tuple[int, int]:
    """Return where between two cuts the profile is above a tenth of its top."""
    places = np.flatnonzero(bone[low:high] >= 0.1 * bone[low:high].max(initial=0))
    return low + int(places[0]), low + int(places[-1]) + 1
