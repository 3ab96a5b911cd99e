"""What lies behind the bodies: canal with cord and roots, foramina, pedicles, facets, laminae, processes, ribs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from spine_ignite.phantom.anatomy import Spine, Vertebra
from spine_ignite.phantom.points import Array, Local, Points, lookup, profile
from spine_ignite.phantom.tissues import Signals, Tissue

# Canal of adults: 15 to 18 mm deep, 22 to 26 mm wide at the pedicles; the sac ends at S2, the
# cord at L1 (Zhou et al., Eur Spine J 2000;9:242; Macdonald et al., Clin Anat 1999;12:149).
CANAL_DEPTH, CANAL_WIDTH = 17.0, 24.0
SAC_END = -55.0
_RIM = 1.1

_Place = tuple[float, float, float]
_Rod = tuple[_Place, _Place, float, float]  # from, to, radius, and by how much it is drawn out upwards and downwards


def paint_canal(points: Points, spine: Spine, signals: Signals, canal: int, cord: int) -> None:
    """Paint the dural sac with its fluid, cord and roots, the fat around it, and the ligaments of the canal."""
    part = np.flatnonzero((np.abs(points.w) < 15) & (points.v > 0) & (points.v < 50) & (points.s > SAC_END - 25))
    if not len(part):
        return
    mean, grain = signals.mean, signals.texture
    s, w = points.s[part], points.w[part]
    back = profile(spine, s, "depth") / 2
    # Narrower in the chest, tapered in the sacrum.
    taper = lookup(s, [SAC_END - 25, -15, 20], [0.35, 0.85, 1.0])
    size = taper * lookup(s, [spine.place("L1"), spine.place("T10")], [1.0, 0.88])
    half = CANAL_DEPTH / 2 * size
    v = points.v[part] - back - half - 0.5 - np.clip(-s / 20, 0, 2)
    tube = (v / half) ** 2 + (w / (CANAL_WIDTH / 2 * size)) ** 2
    sac = ((v + 0.6) / (7.0 * size)) ** 2 + (w / (9.5 * size)) ** 2
    # Behind, at the discs, a triangle of fat dents the sac.
    signal = points.signal[part]
    fine, streaks = points.fine[part], points.streaks[part]
    inside = tube < 1
    wall = (tube < 1.3) & ~inside & (v > 0)
    signal[wall] = mean[Tissue.LIGAMENT]
    signal = np.where(inside, mean[Tissue.FAT] + grain[Tissue.FAT] * 2 * fine, signal)
    fluid = (sac < 1) & (s > SAC_END)
    signal = np.where(fluid, mean[Tissue.CSF] + grain[Tissue.CSF] * (2 * fine - 2 * points.coarse[part]), signal)
    roots = fluid & (s < spine.conus + 8) & (v > -1) & (streaks > 0.15)
    signal = np.where(roots, 0.5 * (mean[Tissue.ROOT] + mean[Tissue.CSF]) + grain[Tissue.ROOT] * fine, signal)
    thick = np.clip((s - spine.conus) / 22, 0, 1) ** np.float32(0.6) + 1e-3
    core = ((v + 0.4) / (3.9 * thick)) ** 2 + (w / (5.0 * thick)) ** 2
    marrow = fluid & (core < 1)
    signal = np.where(marrow, mean[Tissue.CORD] + grain[Tissue.CORD] * 2 * fine, signal)
    dura = (np.abs(sac - 1) < 0.12) & (s > SAC_END)
    signal = np.where(dura, 0.5 * (signal + mean[Tissue.LIGAMENT]), signal)
    points.signal[part] = signal
    label = points.label[part]
    label[inside] = canal
    label[marrow] = cord
    points.label[part] = label


def paint_longitudinal_ligaments(points: Points, spine: Spine, signals: Signals) -> None:
    """Paint the dark bands on the front and the back of the column."""
    part = np.flatnonzero((np.abs(points.w) < 14) & (points.s > -20))
    half = profile(spine, points.s[part], "depth") / 2
    v = points.v[part]
    band = (np.abs(v + half + 0.9) < 1.2) | (np.abs(v - half - 0.4) < 0.9)
    points.signal[part[band]] = signals.mean[Tissue.LIGAMENT]


def paint_arches(points: Points, spine: Spine, signals: Signals, ribs: int) -> None:
    """Paint foramina with fat and root, then the arch of each vertebra; ``ribs`` is the label of these."""
    for vertebra, middle in zip(spine.vertebrae, spine.middles, strict=True):
        part = points.between(float(middle) - 60, float(middle) + 34)
        if part.stop == part.start:
            continue
        at = points.local(vertebra, part)
        reach = 62 if vertebra.lumbar == 1 else 70
        chosen = np.flatnonzero(
            (at.b > vertebra.depth / 2 - 8) & (at.b < vertebra.depth / 2 + reach) & (np.abs(at.a) < vertebra.rib + 16)
            & (at.u > -48) & (at.u < 30)
        )  # fmt: skip
        if not len(chosen):
            continue
        place = chosen + part.start
        near = Local(np.abs(at.a[chosen]), at.b[chosen] - np.float32(vertebra.depth / 2), at.u[chosen])
        _paint_foramen(points, place, near, vertebra, signals)
        rib = _rib(near, vertebra)
        away = np.minimum(_arch(near, vertebra), rib)
        points.label[chosen[rib < 0] + part.start] = ribs
        bone = np.flatnonzero(away < 0)
        place = place[bone]
        mean = signals.mean
        marrow = mean[Tissue.POSTERIOR] + signals.texture[Tissue.POSTERIOR] * 2 * points.fine[place]
        solid = np.clip(-away[bone] / np.float32(_RIM) - np.float32(0.4), 0, 1)
        points.signal[place] = mean[Tissue.CORTEX] + (marrow - mean[Tissue.CORTEX]) * solid


def _paint_foramen(points: Points, place: NDArray[np.intp], at: Local, vertebra: Vertebra, signals: Signals) -> None:
    if float(at.a.min()) > 26 or float(at.a.max()) < 8:
        return
    height, side = vertebra.height, 0.36 * vertebra.width
    along = np.clip((np.abs(at.a - side) - 6) / 6, 0, 3) ** 2
    hole = along + ((at.b - 6) / 7) ** 2 + ((at.u + 0.42 * height) / (0.42 * height)) ** 2
    mean = signals.mean
    fat = np.flatnonzero(hole < 1)
    inside = place[fat]
    # Veins and ligaments run through the fat.
    other = 0.5 * (mean[Tissue.MUSCLE] + mean[Tissue.LIGAMENT])
    share = np.clip(0.25 + 0.6 * points.coarse[inside] + 0.4 * points.streaks[inside], 0, 0.9)
    filling = mean[Tissue.FAT] + (other - mean[Tissue.FAT]) * share
    points.signal[inside] = filling + signals.texture[Tissue.FAT] * points.fine[inside]
    near = along + ((at.b - 6 + 0.3 * (at.a - side)) / 3.2) ** 2 + ((at.u + 0.24 * height) / 3.2) ** 2
    root = np.flatnonzero(near < 1)
    inside = place[root]
    points.signal[inside] += (mean[Tissue.ROOT] - points.signal[inside]) * np.clip(1.6 - 1.6 * near[root], 0, 0.9)


def _arch(at: Local, vertebra: Vertebra) -> Array:
    """Distance to the bone of the arch, negative inside; ``b`` counts from the body's back wall.

    Pedicles are 8 mm wide and 15 mm high in L1 and 14 mm wide in L5, 5 to 8 mm wide in the chest, and leave the upper
    half of the body
    (Zindrick et al., Spine 1987;12:160).
    """
    h, lumbar = vertebra.height, vertebra.lumbar
    scale = vertebra.width / 46 if lumbar else vertebra.width / 34
    nearest = float(at.a.min())
    away = np.full(at.a.shape, 9.0, np.float32)
    if lumbar == 1:
        side = 0.32 * vertebra.width
        wide = 4.2 * scale + (2.0 if vertebra.name in ("L5", "L6") else 0.0)
        parts = [
            ((side, -6, 0.2 * h), (side, 10, 0.2 * h), wide, 1.5),  # pedicle
            ((side, 10, 0.15 * h), (side + 2, 14, 0.55 * h + 4), 4.6, 1.0),  # superior articular process
            ((side - 1, 13, 0.1 * h), (side - 2, 19, -0.6 * h - 4), 4.8, 1.0),  # pars and inferior articular process
            ((side - 1, 16, -0.05 * h), (2, 25, -0.3 * h), 3.6, 1.7),  # lamina
            ((side + 2, 9, 0.15 * h), (vertebra.rib + 12, 15, 0.12 * h), 4.0, 1.2),  # transverse process
        ]
        spinous = (20.0, 46.0 if h > 22 else 40.0, -0.34 * h, 0.18, 0.34 * h)
    else:
        side = 0.34 * vertebra.width
        parts = [
            ((side, -5, 0.25 * h), (side + 1, 9, 0.25 * h), 3.4 * scale, 1.6),
            ((side, 10, 0.2 * h), (side - 1, 12, 0.6 * h + 2), 3.6, 1.0),
            ((side - 1, 12, 0.1 * h), (side - 3, 16, -0.6 * h - 3), 3.8, 1.0),
            ((side - 2, 14, 0.0), (2, 19, -0.35 * h), 3.2, 2.0),
            ((side + 2, 11, 0.25 * h), (side + 16, 20, 0.3 * h), 4.6, 1.0),
        ]
        spinous = (16.0, 44.0, -0.35 * h, 0.25 if lumbar else 0.75, 0.26 * h)
    _join(away, at, parts)
    if nearest < 6:
        first, last, middle, drop, half = spinous
        past = np.clip(at.b - first, 0, None)
        # A plate with round edges, thicker at its end.
        high = np.abs(at.u - middle + drop * past) - half * (1 + 0.006 * past) + 5
        deep = np.abs(at.b - (first + last) / 2) - (last - first) / 2 + 5
        edge = np.hypot(np.clip(high, 0, None), np.clip(deep, 0, None)) - 5
        np.minimum(away, np.maximum(edge, at.a - 2.6 - 0.07 * past), out=away)
    return away


def _rib(at: Local, vertebra: Vertebra) -> Array:
    """Distance to the bone of a thoracic vertebra's rib, negative inside: from the head, beside the disc, down."""
    away = np.full(at.a.shape, 9.0, np.float32)
    if vertebra.lumbar < 1 and vertebra.rib:
        h, side = vertebra.height, 0.34 * vertebra.width
        neck = (side + 15, 14, 0.3 * h)
        end = side + min(vertebra.rib, 90.0)
        _join(away, at, [((side, -7, 0.5 * h), neck, 4.2, 1.2), (neck, (end, 24, -0.35 * h), 4.4, 1.6)])
    return away


def _join(away: Array, at: Local, rods: Sequence[_Rod]) -> None:
    """Bring the nearer of what is there and of some rods into ``away``."""
    nearest, farthest = float(at.a.min()), float(at.a.max())
    for start, stop, radius, tall in rods:
        if min(start[0], stop[0]) - radius - 1 < farthest and max(start[0], stop[0]) + radius + 1 > nearest:
            np.minimum(away, _capsule(at, start, stop, radius, tall), out=away)


def _capsule(
    at: Local, start: tuple[float, float, float], stop: tuple[float, float, float], radius: float, tall: float
) -> Array:
    """Distance to a rod with round ends, drawn out upwards and downwards by ``tall``."""
    a0, b0, u0 = start[0], start[1], start[2] / tall
    da, db, du = stop[0] - a0, stop[1] - b0, stop[2] / tall - u0
    a, b, u = at.a - np.float32(a0), at.b - np.float32(b0), at.u * np.float32(1 / tall) - np.float32(u0)
    length = da * da + db * db + du * du
    share = np.clip((a * np.float32(da) + b * np.float32(db) + u * np.float32(du)) * np.float32(1 / length), 0, 1)
    a -= share * np.float32(da)
    b -= share * np.float32(db)
    u -= share * np.float32(du)
    result: Array = np.sqrt(a * a + b * b + u * u) - np.float32(radius)
    return result
