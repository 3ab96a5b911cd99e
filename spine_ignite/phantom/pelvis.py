"""Sacrum, coccyx and the iliac bones beside them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spine_ignite.phantom.anatomy import COCCYX_LENGTH, SACRUM_LENGTH, Spine
from spine_ignite.phantom.points import Array, Points
from spine_ignite.phantom.tissues import Signals, Tissue

# Ends of S1 to S4 as shares of the sacrum's length: S1 is the highest, S5 the lowest. These and the sizes below are
# of the order of those of Esses et al., Spine 1991;16 Suppl:S283, and chosen beside scans.
_BORDERS = (0.28, 0.51, 0.70, 0.87)
_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
_DEPTH = (1.0, 0.72, 0.52, 0.38, 0.27)  # of the bodies, as shares of the endplate's depth
_HALF_WIDTH = (50.0, 54.0, 46.0, 32.0, 18.0)  # of the whole, mm
_BODY = (24.0, 17.0, 14.0, 12.0, 10.0)  # of the bodies, mm
_RIM = 1.2


@dataclass(frozen=True)
class Pelvis:
    """What varies between people.

    Args:
        scale: size.
        remnant: thickness of what is left of the disc S1/S2, mm; those below are thinner.
        fatness: of the marrow against that of the bodies, about -1 … 1.
        flare: turn of the iliac wings outwards, radians.
        crest: height of the iliac crest above the sacral endplate, mm.
    """

    scale: float
    remnant: float
    fatness: float
    flare: float
    crest: float


def draw_pelvis(rng: np.random.Generator, spine: Spine, variety: float) -> Pelvis:
    """Draw a pelvis that fits a person's column."""
    remnant = rng.uniform(1.2, 2.2) + variety * max(0.0, rng.normal(0, 1))
    if "sacralised L5" in spine.findings or "L6" in spine.findings:
        remnant += rng.uniform(1, 3)
    return Pelvis(
        spine.plate.depth / 34,
        float(remnant),
        float(rng.normal(0.2, 0.4)),
        float(rng.uniform(0.35, 0.75)),
        float(rng.uniform(20, 50)),
    )


def paint_pelvis(points: Points, spine: Spine, pelvis: Pelvis, signals: Signals, sacrum: int) -> None:
    """Paint iliac bones and sacrum; what lies in front of the sacral canal, and beside it, is labelled."""
    if float(np.abs(points.w).max()) > 36:
        _paint_ilium(points, pelvis, signals)
    _paint_sacrum(points, spine, pelvis, signals, sacrum)
    _paint_coccyx(points, pelvis, signals)


def _paint_sacrum(points: Points, spine: Spine, pelvis: Pelvis, signals: Signals, sacrum: int) -> None:
    length = SACRUM_LENGTH * pelvis.scale
    part = points.between(-length, 16)
    if part.stop == part.start:
        return
    s, v, w = points.s[part], points.v[part], np.abs(points.w[part])
    at = points.local(spine.plate, part)
    share = np.clip(-s / length, 0, 1)
    half = np.interp(share, _SHARES, _DEPTH).astype(np.float32) * np.float32(spine.plate.depth / 2)
    body = np.interp(share, _SHARES, _BODY).astype(np.float32) * pelvis.scale
    side = np.interp(share, _SHARES, _HALF_WIDTH).astype(np.float32) * pelvis.scale
    wing = np.clip(w - body, 0, None)
    # The endplate above the body, the slope of the wings beside it.
    q, r = at.b / (spine.plate.depth / 2), at.a / (spine.plate.width / 2)
    hollow = 1.5 * np.clip(1 - q * q, 0, 1) * np.clip(1 - r * r, 0, 1)
    top = -at.u - hollow - np.clip(wing, 0, 8) * 0.9 - 0.12 * wing
    front = v + half - 0.35 * wing
    behind = half + 17.0 * np.interp(share, [0, 0.5, 1], [1, 0.6, 0.2]).astype(np.float32)
    canal = (w < 13 * (1 - 0.55 * share)) & (v > half)
    back = np.where(w < body - 4, half - v, behind - v - 0.05 * wing)
    # Round edges: a smooth minimum.
    inner = -4 * np.log(sum(np.exp(-np.clip(d, -20, 40) / 4) for d in (top, front, back, side - w)))
    inner = np.where(w < body - 4, np.minimum(np.minimum(top, front), np.minimum(back, inner + 4)), inner)
    # The hind wall of the canal with the median crest.
    crest = 4 + 9 * np.clip(1 - w / 4, 0, 1) * (1 - share)
    wall = np.minimum(np.minimum(v - behind, behind + crest - v), np.minimum(16 * (1.2 - share) - w, -s - 6))
    bone = np.where(canal, wall, np.maximum(inner, wall))
    chosen = np.flatnonzero(bone > 0)
    if not len(chosen):
        return
    mean, grain = signals.mean, signals.texture
    place = chosen + part.start
    fat = 0.2 * pelvis.fatness + 0.16 * points.coarse[place]
    value = (
        mean[Tissue.MARROW]
        + (mean[Tissue.FATTY] - mean[Tissue.MARROW]) * fat
        + grain[Tissue.MARROW] * 2 * points.fine[place]
    )
    value = np.where(inner[chosen] > 0, value, mean[Tissue.POSTERIOR])
    solid = np.clip(bone[chosen] / np.float32(_RIM) - np.float32(0.35), 0, 1)
    value = mean[Tissue.CORTEX] + (value - mean[Tissue.CORTEX]) * solid
    for number, border in enumerate(_BORDERS):
        away = np.abs(s[chosen] + border * length) * 2
        thick = pelvis.remnant if number == 0 else (0.9 + 0.3 * pelvis.remnant) * (1 - 0.15 * number)
        within = (w[chosen] < body[chosen] * 0.85) & (inner[chosen] > 0)
        rest = mean[Tissue.ANNULUS] + (mean[Tissue.NUCLEUS] - mean[Tissue.ANNULUS]) * np.float32(
            0.3 if number == 0 else 0
        )
        value = np.where(
            within & (away < thick), rest, np.where(within & (away < thick + 1.6), mean[Tissue.CORTEX], value)
        )
        hole = ((s[chosen] + border * length) / 5.5) ** 2 + ((w[chosen] - body[chosen] - 5) / 5.5) ** 2
        value = np.where(hole < 1, mean[Tissue.FAT], value)
        value = np.where(hole < 0.25, mean[Tissue.ROOT], value)
    points.signal[place] = value
    points.label[place[inner[chosen] > 0]] = sacrum


def _paint_coccyx(points: Points, pelvis: Pelvis, signals: Signals) -> None:
    start = -SACRUM_LENGTH * pelvis.scale
    for number, length in enumerate((0.36, 0.34, 0.3)):
        length *= COCCYX_LENGTH * pelvis.scale
        part = points.between(start - length, start)
        middle = start - length / 2
        start -= length + 1.0
        s, v, w = points.s[part], points.v[part], points.w[part]
        size = 4.5 - number
        inner = 1 - ((s - middle) / (length / 2)) ** 2 - (v / size) ** 2 - (w / (2.2 * size)) ** 2
        bone = np.flatnonzero(inner > 0)
        marrow = signals.mean[Tissue.FATTY]
        points.signal[bone + part.start] = np.where(inner[bone] > 0.35, marrow, signals.mean[Tissue.CORTEX])


def _paint_ilium(points: Points, pelvis: Pelvis, signals: Signals) -> None:
    """A curved plate that leaves the sacroiliac joint forwards and outwards."""
    part = np.flatnonzero((np.abs(points.w) > 32) & (points.s < pelvis.crest + 5))
    s, v, w = points.s[part], points.v[part], np.abs(points.w[part])
    outwards = 53 * pelvis.scale + np.tan(pelvis.flare) * np.clip(18 - v, -25, None) * 0.8 + 0.12 * s
    thick = 5.5 + 2.5 * points.coarse[part]
    away: Array = np.abs(w - outwards) * np.float32(np.cos(pelvis.flare)) - thick
    rim = np.maximum(s - pelvis.crest + 0.012 * (v + 10) ** 2, np.maximum(v - 42, -95 - s))
    away = np.maximum(away, rim)
    bone = np.flatnonzero(away < 0)
    mean = signals.mean
    marrow = mean[Tissue.POSTERIOR] + signals.texture[Tissue.POSTERIOR] * 2 * points.fine[part[bone]]
    solid = np.clip(-away[bone] / np.float32(_RIM) - np.float32(0.4), 0, 1)
    points.signal[part[bone]] = mean[Tissue.CORTEX] + (marrow - mean[Tissue.CORTEX]) * solid
