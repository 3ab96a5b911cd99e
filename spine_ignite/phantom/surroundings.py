"""What lies around the column: skin, fat, muscles, vessels, organs, lungs; drawn differently for each person."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spine_ignite.phantom.anatomy import Spine
from spine_ignite.phantom.points import Array, Plane, lookup, profile
from spine_ignite.phantom.tissues import Signals, Tissue

_CANAL = 19.0  # mm from the bodies' back to the laminae
_SKIN = 1.8


@dataclass(frozen=True)
class Blob:
    """An organ: an ellipsoid in ``s``, mm in front of the bodies, and mm to the left, with an uneven border.

    Args:
        centre: ``s``, front, left.
        radii: along each.
        tissue: of which it is made.
        core: what fills its middle, or the same.
        shell: share of the radius that the core takes.
        gain: of its signal.
        wobble: of its border.
    """

    centre: tuple[float, float, float]
    radii: tuple[float, float, float]
    tissue: Tissue
    core: Tissue
    shell: float
    gain: float
    wobble: float


@dataclass(frozen=True)
class Body:
    """What varies between people around their columns.

    Args:
        z: mm, ascending, at which the profiles are given.
        back: ``y`` of the skin behind in the midline.
        front: ``y`` of the skin in front.
        half_width: mm from the middle to the flank.
        fat_behind, fat_before: mm under the skin.
        infiltration: fat between the fibres of the muscles of the back, 0 … 1.
        psoas, retroperitoneal: mm: size of the muscle, fat in front of the column.
        diaphragm: ``s`` of its dome.
        fork: ``s`` where the aorta divides.
        vessel: radius of the aorta, mm.
        cavity: what fills most of the belly between the organs; fat or bowel, the other lies in it as clouds.
        mixture: how much of the other there is, -0.5 … 0.5.
        sharpness: of the borders between both.
        blobs: organs from the first painted to the last.
    """

    z: NDArray[np.float64]
    back: NDArray[np.float64]
    front: NDArray[np.float64]
    half_width: float
    fat_behind: float
    fat_before: float
    infiltration: float
    psoas: float
    retroperitoneal: float
    diaphragm: float
    fork: float
    vessel: float
    cavity: Tissue
    mixture: float
    sharpness: float
    blobs: tuple[Blob, ...]


def draw_body(rng: np.random.Generator, spine: Spine, variety: float) -> Body:
    """Draw the body around a spine.

    Sizes span what scans of adults show: fat of 5 to 50 mm under the skin of the back, 80 to 200 mm from the column to
    the skin in front. The aorta divides at L4 (Tokgoz et al., Korean J Radiol 2014;15:258: in 71 %) and is 7 to 11 mm
    in radius; the dome of the diaphragm stands at T9 to T11.
    """
    z = np.arange(spine.curve[:, 2].min() - 20, spine.curve[:, 2].max() + 20, 4.0)
    order = np.argsort(spine.curve[:, 2], kind="stable")
    column = np.interp(z, spine.curve[order, 2], spine.curve[order, 1])
    fat = float(rng.gamma(2.5, 6.0)) + 4
    thick = np.interp(z, [-130, -70, -20, 30, 250, 420], [22, 20, 30, 36, 27, 30]) + rng.normal(0, 3)
    seat = rng.uniform(0.6, 1.6) * fat
    cover = np.interp(z, [-160, -90, -40, 10, 120, 300], [seat + 18, seat, 1.3 * fat, fat, 0.7 * fat, 0.5 * fat])
    back = ndimage.gaussian_filter1d(column + 17 + _CANAL + thick + cover, 7, mode="nearest")
    depth = rng.uniform(90, 150) + 2.2 * fat
    bulge = rng.uniform(0, 30) * np.exp(-(((z - 20) / 90) ** 2))
    front = ndimage.gaussian_filter1d(column, 25, mode="nearest") - 17 - depth - bulge
    return Body(
        z=z,
        back=back,
        front=front,
        half_width=float(rng.uniform(140, 190)),
        fat_behind=fat,
        fat_before=float(fat * rng.uniform(0.5, 1.3) + 3),
        infiltration=float(rng.beta(1.2, 2.5)),
        psoas=float(rng.uniform(15, 24)),
        retroperitoneal=float(rng.uniform(3, 12)),
        diaphragm=spine.place("T10") + float(rng.normal(0, 18)),
        fork=spine.place("L4") + float(rng.normal(-5, 10)),
        mixture=float(rng.uniform(-0.6, 0.4)),
        sharpness=float(np.exp(rng.uniform(-0.7, 1.6))),
        vessel=float(rng.uniform(7, 11)),
        cavity=Tissue.FAT if rng.uniform() < 0.65 else Tissue.BOWEL,
        blobs=_draw_blobs(rng, spine, depth, variety),
    )


def _draw_blobs(rng: np.random.Generator, spine: Spine, depth: float, variety: float) -> tuple[Blob, ...]:
    del variety
    low, high = spine.place("L5"), spine.place("T11")
    blobs = []
    contents = [Tissue.BOWEL, Tissue.BOWEL, Tissue.AIR, Tissue.FLUID, Tissue.FAT, Tissue.MUSCLE]
    for _ in range(int(rng.integers(10, 32))):  # loops of bowel
        size = rng.uniform(5, 20)
        centre = (rng.uniform(low - 90, high - 20), rng.uniform(28, max(40, depth - 25)), rng.uniform(-80, 80))
        radii = (size * rng.uniform(0.6, 1.8), size * rng.uniform(0.6, 1.2), size * rng.uniform(0.8, 2.5))
        core = contents[int(rng.integers(len(contents)))]
        blobs.append(Blob(centre, radii, Tissue.BOWEL, core, rng.uniform(0.6, 0.9), rng.uniform(0.6, 1.2), 0.5))
    top = spine.place("T11") + rng.normal(0, 10)
    liver = Blob(
        (top, 0.45 * depth, -75), (70, 0.5 * depth, 75), Tissue.LIVER, Tissue.LIVER, 0.5, rng.uniform(0.8, 1.2), 0.15
    )
    stomach = Blob(
        (top - 5, 0.55 * depth, 50), (45, 0.28 * depth, 45), Tissue.BOWEL, contents[int(rng.integers(4))], 0.8, 1.0, 0.3
    )
    spleen = Blob((top - 5, 0.1 * depth, 95), (45, 30, 28), Tissue.SPLEEN, Tissue.SPLEEN, 0.5, 1.0, 0.1)
    blobs += [liver, stomach, spleen]
    for side in (-1, 1):
        middle = spine.place("L2") + 12 + rng.normal(0, 12) + 6 * side
        place = (middle, rng.uniform(-18, 0), side * rng.uniform(46, 60))
        blobs.append(Blob(place, (66, 38, 36), Tissue.FAT, Tissue.FAT, 0.5, 1.0, 0.1))
        blobs.append(
            Blob(place, (rng.uniform(48, 60), 26, 25), Tissue.KIDNEY, Tissue.FAT, rng.uniform(0.2, 0.5), 1.0, 0.12)
        )
    # The pelvis; ``s`` runs on along the sacrum, whose front turns towards it.
    bladder = rng.uniform(15, 42)
    blobs.append(
        Blob(
            (-70, rng.uniform(75, 110), rng.normal(0, 6)),
            (bladder, bladder * 1.1, bladder * 1.2),
            Tissue.MUSCLE,
            Tissue.FLUID,
            0.9,
            1.0,
            0.1,
        )
    )
    if rng.uniform() < 0.5:
        blobs.append(
            Blob(
                (-60, rng.uniform(45, 65), rng.normal(0, 8)), (22, 30, 25), Tissue.UTERUS, Tissue.FLUID, 0.25, 1.0, 0.15
            )
        )
    inside = contents[int(rng.integers(5))]
    blobs.append(
        Blob(
            (-80, rng.uniform(16, 28), rng.normal(0, 6)),
            (45, rng.uniform(9, 20), 20),
            Tissue.BOWEL,
            inside,
            0.75,
            0.9,
            0.3,
        )
    )
    return tuple(blobs)


def paint_surroundings(plane: Plane, spine: Spine, body: Body, signals: Signals) -> None:
    """Fill the plane's signal from the air inwards to what touches the column."""
    mean, grain = signals.mean, signals.texture
    w = np.abs(plane.w)
    half = profile(spine, plane.s, "depth") / 2
    front = -plane.v - half
    behind = plane.v - half - _CANAL
    fine2 = 2 * plane.fine
    signal = plane.signal
    signal[...] = mean[body.cavity] + grain[body.cavity] * fine2
    other = mean[Tissue.BOWEL if body.cavity is Tissue.FAT else Tissue.FAT]
    signal += (other - signal) * np.clip(body.sharpness * (plane.coarse + body.mixture), 0, 1)
    signal *= 1 + 0.12 * plane.streaks
    for blob in body.blobs:
        _paint_blob(plane, front, blob, signals)
    _paint_chest(plane, spine, body, front, behind, w, signals)
    near = (front > 0) & (front < body.retroperitoneal + 3 * plane.coarse) & (w < 40)
    signal[near] = mean[Tissue.FAT] + grain[Tissue.FAT] * fine2[near]
    _paint_vessels(plane, body, front, signals)
    _paint_muscles(plane, spine, body, half, behind, w, signals)
    _paint_cover(plane, body, signals)


def _paint_blob(plane: Plane, front: Array, blob: Blob, signals: Signals) -> None:
    (s, f, left), (height, deep, wide) = blob.centre, blob.radii
    sideways = ((float(plane.w[0, 0]) + float(plane.w[-1, -1])) / 2 - left) / wide
    if abs(sideways) > 1.3:
        return
    rows = np.flatnonzero((np.abs(plane.s[:, :: max(1, plane.s.shape[1] // 8)] - s) < 1.3 * height).any(axis=1))
    if not len(rows):
        return
    window = slice(int(rows[0]), int(rows[-1]) + 1)
    near = ((plane.s[window] - s) / height) ** 2 + ((front[window] - f) / deep) ** 2 + np.float32(sideways**2)
    near += np.float32(blob.wobble) * plane.coarse[window]
    inside = (near < 1) & (front[window] > -45)
    mean, grain = signals.mean, signals.texture
    values = np.where(near < blob.shell, mean[blob.core], mean[blob.tissue] * np.float32(blob.gain))
    values = values + grain[blob.tissue] * (2 * plane.fine[window] + plane.coarse[window])
    plane.signal[window][inside] = values[inside]


def _paint_chest(
    plane: Plane, spine: Spine, body: Body, front: Array, behind: Array, w: Array, signals: Signals
) -> None:
    dome = body.diaphragm - 0.35 * np.abs(front - 50) + 0.1 * w
    dome = np.where(front < 10, dome - 1.2 * (10 - front), dome)
    above = plane.s - dome
    mean, grain = signals.mean, signals.texture
    lung = (above > 4) & (front > np.where(w > 24, -26.0, 16.0)) & (behind < 4) & (w > 14)
    heart = (above > 0) & (front > 28) & (w < 50 + 8 * plane.coarse)
    wall = (np.abs(above) < 3) & (front > -15)
    plane.signal[wall] = mean[Tissue.MUSCLE]
    plane.signal[heart] = (
        mean[Tissue.MUSCLE] * 0.7 + 0.3 * mean[Tissue.BLOOD] + 0.25 * mean[Tissue.MUSCLE] * plane.coarse
    )[heart]
    plane.signal[lung] = mean[Tissue.LUNG] + grain[Tissue.LUNG] * (2 * plane.fine + 2 * plane.coarse)[lung]


def _paint_vessels(plane: Plane, body: Body, front: Array, signals: Signals) -> None:
    mean = signals.mean[Tissue.BLOOD] + signals.texture[Tissue.BLOOD] * (plane.fine + plane.coarse)
    wall = signals.mean[Tissue.LIGAMENT]
    below = np.clip(body.fork - plane.s, 0, None)
    radius = body.vessel * (1 - 0.4 * np.clip(below / 20 + 0.3, 0, 1))
    for left, size, ahead in ((6.0, 1.0, 11.0), (-16.0, 1.15, 12.0)):
        sides = (-1.0, 1.0) if left > 0 else (-1.0,)
        for side in sides:
            path = left + side * 0.55 * below
            place = ((front - ahead - 0.05 * below) / (radius * size)) ** 2 + ((plane.w - path) / (radius * size)) ** 2
            vessel = place < 1
            plane.signal[vessel] = np.where(place[vessel] > 0.75, wall, mean[vessel])


def _paint_muscles(
    plane: Plane, spine: Spine, body: Body, half: Array, behind: Array, w: Array, signals: Signals
) -> None:
    mean, grain = signals.mean, signals.texture
    # Fat between the fibres, most of it low down and near the bone.
    lower = lookup(plane.s, [-20, 60, 150], [1.0, 0.7, 0.3]) * np.clip(1.3 - behind / 40, 0.3, 1)
    fatty = np.clip(plane.streaks * 1.2 + plane.coarse * 0.8 + 1.6 * body.infiltration * lower - 1.1, 0, 0.85)
    fiber = mean[Tissue.MUSCLE] + grain[Tissue.MUSCLE] * (2 * plane.fine + plane.streaks)
    muscle = fiber + (mean[Tissue.FAT] - fiber) * fatty
    # The psoas begins at T12, grows down to L5, and leaves the column forwards and outwards in the pelvis.
    place = (spine.place("T12") - plane.s) / (spine.place("T12") - spine.place("L5"))
    size = body.psoas * lookup(100 * place, [0, 30, 90, 160, 240], [0.15, 0.55, 1.0, 0.95, 0.7])
    lateral = profile(spine, plane.s, "width") / 2 + 0.75 * size + 10 * np.clip(place - 1, 0, 2)
    ahead = 4 - 8 * np.clip(place, 0, 1) - 45 * np.clip(place - 1.05, 0, 2)
    psoas = ((plane.v - ahead) / (1.15 * size)) ** 2 + ((w - lateral) / size) ** 2
    chosen = (psoas < 1) & (place > 0)
    plane.signal[chosen] = (fiber + 0.06 * mean[Tissue.MUSCLE] * plane.coarse)[chosen]
    flank = ((plane.v - half - 12) / 11) ** 2 + ((w - 62) / 24) ** 2 < 1
    flank &= (plane.s > spine.place("L4")) & (plane.s < spine.place("T12"))
    plane.signal[flank] = muscle[flank]
    back = plane.v > half + 3
    low = -plane.s - 70 + 12 * plane.coarse - 1.5 * np.clip(w - 15, 0, None)  # below: fat behind the sacrum
    share = np.clip(low / 6, 0, 1)
    covered = muscle + (mean[Tissue.FAT] * (1 + 0.1 * plane.coarse) - muscle) * share
    plane.signal[back] = covered[back]
    # Between the spinous processes: fat and ligaments.
    middle = (behind > -2) & (behind < 34) & (w < 4.5)
    between = mean[Tissue.FAT] + (mean[Tissue.LIGAMENT] - mean[Tissue.FAT]) * np.clip(0.45 + plane.streaks, 0, 1)
    plane.signal[middle] = between[middle]


def _paint_cover(plane: Plane, body: Body, signals: Signals) -> None:
    """Fascia, subcutaneous fat, skin and air behind; the wall of the belly in front."""
    mean, grain = signals.mean, signals.texture
    around = (plane.x / np.float32(body.half_width)) ** 2
    back = lookup(plane.z, body.z, body.back) - 60 * around
    back += 3 * np.clip(1 - np.abs(plane.x) / 12, 0, 1) * -1
    front = lookup(plane.z, body.z, body.front) + 90 * around
    seat = lookup(plane.z, [-120, -40, 20], [1.6, 1.3, 1.0])
    depth, ahead = back - plane.y, plane.y - front  # below the skin
    subcutaneous = np.minimum(depth / seat - body.fat_behind, ahead - body.fat_before)
    fat = mean[Tissue.FAT] + grain[Tissue.FAT] * (2 * plane.fine + plane.coarse)
    septa = np.abs(plane.streaks - 0.2) < 0.05
    fat = np.where(septa, 0.75 * fat, fat)
    wall = (ahead > body.fat_before) & (ahead < body.fat_before + 9 + 4 * plane.coarse)
    plane.signal[wall] = mean[Tissue.MUSCLE]
    inside = subcutaneous < 0
    plane.signal[inside] = fat[inside]
    fascia = np.abs(subcutaneous) < 0.8
    plane.signal[fascia] = mean[Tissue.LIGAMENT]
    edge = np.minimum(depth, ahead)
    plane.signal[edge < _SKIN] = mean[Tissue.SKIN]
    plane.signal[edge < 0] = mean[Tissue.AIR]
