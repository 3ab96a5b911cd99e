"""Bodies and discs: each body in its own frame, each disc between the endplates of its neighbours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spine_ignite.phantom.anatomy import Disc, Spine, Vertebra
from spine_ignite.phantom.points import Array, Local, Points
from spine_ignite.phantom.tissues import Signals, Tissue

_RIM = 1.1  # mm of cortical bone and endplate


def paint_bodies(points: Points, spine: Spine, signals: Signals, values: dict[str, int]) -> None:
    """Paint all discs, then all bodies over them.

    Args:
        points: near the column.
        spine: the person.
        signals: of the tissues.
        values: label of each vertebra and disc by name.
    """
    lower = spine.plate
    for vertebra, disc, middle in zip(spine.vertebrae, spine.discs, spine.middles, strict=True):
        low = float(middle) - vertebra.height / 2
        part = points.between(low - disc.height - 12, low + 8)
        if part.stop > part.start:
            _paint_disc(points, part, vertebra, lower, disc, signals, values)
        lower = vertebra
    for vertebra, middle in zip(spine.vertebrae, spine.middles, strict=True):
        part = points.between(float(middle) - 0.8 * vertebra.height - 6, float(middle) + 0.8 * vertebra.height + 6)
        if part.stop > part.start:
            _paint_body(points, part, vertebra, signals, values.get(vertebra.name, 0))


def plates(vertebra: Vertebra, at: Local) -> tuple[Array, Array, Array, Array]:
    """Return ``u`` of the lower and upper endplate, and place front to back and side to side, -1 … 1."""
    q = at.b / np.float32(vertebra.depth / 2)
    r = at.a / np.float32(vertebra.width / 2)
    front = np.float32(0.25 * vertebra.wedge) * (1 - np.clip(q, -1.2, 1.2))
    inner = np.clip(1 - q * q, 0, 1) * np.clip(1 - r * r, 0, 1)
    bottom = front * -1 - np.float32(vertebra.height / 2) + np.float32(vertebra.hollow[0]) * inner
    top = front + np.float32(vertebra.height / 2) - np.float32(vertebra.hollow[1]) * inner
    if any(vertebra.crush):
        c = np.clip(q, -1, 1)
        before, middle, behind = vertebra.crush
        top = top - (before * (c * c - c) / 2 + middle * (1 - c * c) + behind * (c * c + c) / 2).astype(np.float32)
    a, b, radius, deep = vertebra.node
    if radius > 0:
        top = top - np.float32(deep) * np.clip(1 - ((at.a - a) ** 2 + (at.b - b) ** 2) / np.float32(radius**2), 0, 1)
    return bottom, top, q, r


def outline(q: Array, r: Array) -> Array:
    """Return 1 on a body's outline, less inside: a rectangle with round corners, hollowed where the canal is."""
    hollowed = np.where(q > 0, q * (1 + 0.07 * np.clip(1 - r * r, 0, 1)), q)
    square = hollowed * hollowed
    result: Array = (square * square + np.abs(r * r * r)) ** np.float32(0.28)
    return result


def _paint_body(points: Points, part: slice, vertebra: Vertebra, signals: Signals, value: int) -> None:
    at = points.local(vertebra, part)
    bottom, top, q, r = plates(vertebra, at)
    t = (at.u - bottom) / (top - bottom)
    t = np.clip(t, -0.5, 1.5)
    waist = 1 - 0.1 * np.clip(1 - (2 * t - 1) ** 2, 0, 1)
    down, up = vertebra.lips
    if down or up:
        waist = waist + (2 / vertebra.depth) * (down * np.clip(1 - t, 0, 1) ** 7 + up * np.clip(t, 0, 1) ** 7)
    half = np.float32(vertebra.depth / 2)
    edge = (waist - outline(q, r)) * half
    inner = np.minimum(np.minimum(at.u - bottom, top - at.u), edge)
    chosen = np.flatnonzero(inner > 0)
    if not len(chosen):
        return
    place = chosen + part.start
    marrow = _marrow(
        points,
        place,
        vertebra,
        Local(*(field[chosen] for field in at)),
        (t[chosen], bottom[chosen], top[chosen]),
        signals,
    )
    solid = np.clip(inner[chosen] / np.float32(_RIM) - np.float32(0.35), 0, 1)
    cortex = signals.mean[Tissue.CORTEX]
    points.signal[place] = cortex + (marrow - cortex) * solid
    points.label[place] = value


def _marrow(
    points: Points,
    place: NDArray[np.intp],
    vertebra: Vertebra,
    at: Local,
    height: tuple[Array, Array, Array],
    signals: Signals,
) -> Array:
    mean, grain = signals.mean, signals.texture
    t, bottom, top = height
    fat = np.float32(0.2 * vertebra.fatness) + 0.12 * points.coarse[place]
    value = mean[Tissue.MARROW] + (mean[Tissue.FATTY] - mean[Tissue.MARROW]) * fat
    for kind, away in zip(vertebra.modic, (at.u - bottom, top - at.u), strict=True):
        if kind:
            other = mean[Tissue.OEDEMA if kind == 1 else Tissue.FATTY]
            share = np.clip(1.4 - away / 7 + 0.4 * points.coarse[place], 0, 1)
            value = value + (other - value) * share
    if any(vertebra.crush) and vertebra.fatness > 0:  # a fresh fracture
        value = value + (mean[Tissue.OEDEMA] - value) * np.clip(t * 1.2 + 0.3 * points.coarse[place] - 0.3, 0, 1)
    a, b, u, radius = vertebra.spot
    if radius > 0:
        gone = np.sqrt((at.a - a) ** 2 + (at.b - b) ** 2 + (at.u - u) ** 2) - radius
        value = value + (mean[Tissue.FATTY] - value) * np.clip(0.5 - gone / 2, 0, 1)
    # The basivertebral vein enters from behind, in the midline, at half height.
    vein = (np.abs(t - 0.47) * vertebra.height < 1.5) & (at.b > vertebra.depth * 0.12) & (np.abs(at.a) < 4.5)
    value = np.where(vein, 0.5 * (mean[Tissue.FATTY] + mean[Tissue.FLUID]), value)
    result: Array = value + grain[Tissue.MARROW] * points.fine[place] * 2
    return result


def _paint_disc(
    points: Points, part: slice, upper: Vertebra, lower: Vertebra, disc: Disc, signals: Signals, values: dict[str, int]
) -> None:
    above, below = points.local(upper, part), points.local(lower, part)
    bottom, _, q, r = plates(upper, above)
    _, top, q_low, r_low = plates(lower, below)
    over, under = below.u - top, bottom - above.u
    thick = over + under
    chosen = np.flatnonzero((over > -0.3) & (under > -0.3) & (thick < 30) & (np.abs(r) < 1.3) & (np.abs(q) < 1.6))
    if not len(chosen):
        return
    place = chosen + part.start
    t = np.clip(over[chosen] / np.maximum(thick[chosen], 0.1), 0, 1)
    q, r = q_low[chosen] + (q[chosen] - q_low[chosen]) * t, r_low[chosen] + (r[chosen] - r_low[chosen]) * t
    half = np.float32(upper.depth / 2)
    edge = (1 - outline(q, r)) * half + np.float32(disc.bulge - 1.0)
    if disc.herniation:
        narrow = np.exp(-((above.a[chosen] / 6) ** 2) - ((t - 0.5) / 0.35) ** 2)
        edge = edge + np.where(q > 0, np.float32(disc.herniation) * narrow, 0)
    inside = edge > 0
    place, t, q, r, edge = place[inside], t[inside], q[inside], r[inside], edge[inside]
    mean, grain = signals.mean, signals.texture
    if disc.fused:
        line = np.where(np.abs(t - 0.5) < 0.12, mean[Tissue.CORTEX], mean[Tissue.MARROW])
        points.signal[place] = line + grain[Tissue.MARROW] * points.fine[place] * 2
        points.label[place] = np.where(t > 0.5, values.get(upper.name, 0), values.get(lower.name, 0))
        return
    nucleus = mean[Tissue.NUCLEUS] + (mean[Tissue.WORN] - mean[Tissue.NUCLEUS]) * np.float32(min(1.0, 1.3 * disc.worn))
    if disc.worn > 0.92:  # nitrogen in its clefts
        nucleus = mean[Tissue.ANNULUS] * np.float32(0.4)
    share = np.exp(-((q * q / 0.42) ** 2) - (r * r / 0.5) ** 2)
    cleft = np.where((np.abs(t - 0.5) < 0.08) & (disc.worn < 0.5), np.float32(0.25), np.float32(0))
    bright = nucleus + (mean[Tissue.ANNULUS] - nucleus) * cleft
    value = mean[Tissue.ANNULUS] + share * (bright - mean[Tissue.ANNULUS])
    outer = np.clip(1 - edge / 2.5, 0, 1)  # the outermost fibres are the darkest
    value = value + outer * (mean[Tissue.LIGAMENT] - value)
    points.signal[place] = value + grain[Tissue.ANNULUS] * points.fine[place] * 2
    points.label[place] = values.get(disc.name, 0)
