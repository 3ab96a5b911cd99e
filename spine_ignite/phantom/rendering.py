"""Tissue by tissue: T2 signal and label at points in a person's curved coordinates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spine_ignite.phantom.anatomy import SACRUM_DEPTH, SACRUM_LENGTH, Spine

Array = NDArray[np.floating[Any]]

# T2-weighted signal of the tissues, arbitrary units.
AIR, CORTEX, ANNULUS, MUSCLE, CORD, CSF, FAT, VESSEL = 3.0, 22.0, 38.0, 52.0, 105.0, 235.0, 190.0, 10.0
_CANAL_DEPTH = 17.0  # mm, front to back
_RIM = 1.3  # mm of cortical bone


@dataclass(frozen=True)
class Plane:
    """A sagittal plane of points: curved coordinates, lateral position, and smooth random textures, each ``(H, W)``."""

    s: Array
    v: Array
    w: Array
    fine: Array
    coarse: Array
    streaks: Array


def render(spine: Spine, plane: Plane, marrow: float, fat_behind: float) -> tuple[Array, NDArray[np.uint8]]:
    """Return signal and label (MRSpineSeg values) of a plane.

    Args:
        spine: the person.
        plane: where.
        marrow: signal of the vertebral marrow.
        fat_behind: mm of fat under the skin of the back.
    """
    depth = _profile(spine, spine.depth, plane.s)
    width = _profile(spine, spine.width, plane.s)
    posterior = depth / 2
    signal = _background(plane, posterior, fat_behind)
    _paint_posterior(signal, spine, plane, posterior, marrow)
    _paint_canal(signal, spine, plane, posterior)
    label = np.zeros(plane.s.shape, np.uint8)
    _paint_sacrum(signal, label, plane, marrow)
    _paint_column(signal, label, spine, plane, depth, width, marrow)
    return np.clip(signal, 0, None), label


def _profile(spine: Spine, sizes: NDArray[np.float64], s: Array) -> Array:
    middles = (spine.bounds[1::2] + spine.bounds[2::2]) / 2
    profile: Array = np.interp(s, middles, sizes).astype(np.float32)
    return profile


def _smooth_step(x: Array, softness: float) -> Array:
    step: Array = (1 / (1 + np.exp(-np.clip(x / softness, -30, 30)))).astype(np.float32)
    return step


def _background(plane: Plane, posterior: Array, fat_behind: float) -> Array:
    """Abdomen in front, muscle behind and beside, fat, skin, air."""
    v, w = plane.v, np.abs(plane.w)
    behind = v - posterior - _CANAL_DEPTH
    bowel = 75 + 55 * plane.coarse + 18 * plane.fine
    visceral_fat = FAT * 0.85 + 14 * plane.fine
    signal = np.where(plane.coarse > 0.35, visceral_fat, bowel).astype(np.float32)
    front = -v - posterior
    signal = np.where((front > 2) & (front < 9 + 3 * plane.coarse), visceral_fat, signal)  # prevertebral fat
    vessel = ((front - 13) / 8) ** 2 + ((plane.w - 9) / 9) ** 2  # aorta and vena cava: flow void
    cava = ((front - 14) / 8) ** 2 + ((plane.w + 12) / 9) ** 2
    signal = np.where((vessel < 1) | (cava < 1), VESSEL + 6 * plane.fine, signal)
    psoas = (w > 16) & (v < posterior + 12) & (v > -posterior - 8)
    signal = np.where(psoas, MUSCLE + 8 * plane.fine, signal)
    fatty = _smooth_step(plane.streaks - 0.75, 0.12)
    muscle = (MUSCLE + 9 * plane.fine) * (1 - fatty) + FAT * 0.8 * fatty
    signal = np.where(v > posterior + 4, muscle, signal)
    # The midline behind the canal: fat and ligaments between the spinous processes.
    ligament = 115 + 45 * plane.streaks + 12 * plane.fine
    signal = np.where((behind > 0) & (behind < 34) & (w < 5), ligament, signal)
    skin = 42 + fat_behind
    signal = np.where(behind > 40 + 2 * plane.coarse, FAT + 10 * plane.fine, signal)
    signal = np.where(behind > skin - 2, MUSCLE, signal)
    return np.where(behind > skin, AIR, signal).astype(np.float32)


def _paint_posterior(signal: Array, spine: Spine, plane: Plane, posterior: Array, marrow: float) -> None:
    """Spinous processes in the midline, laminae and facets beside it."""
    behind = plane.v - posterior - _CANAL_DEPTH
    w = np.abs(plane.w)
    for level in range(9):
        low, high = spine.bounds[2 * level + 1], spine.bounds[2 * level + 2]
        # Only the points that one of the three can reach.
        near = np.nonzero(
            (plane.s > low - 42) & (plane.s < high) & (behind > -_CANAL_DEPTH - 5) & (behind < 30) & (w < 25)
        )
        s, back, side = plane.s[near], behind[near], w[near]
        # They slope downwards; the thoracic ones more.
        drop = (0.35 if level < 5 else 0.75) * np.clip(back, 0, None)
        middle = low + 0.25 * (high - low) - drop
        half = 0.36 * (high - low) * (1 - 0.004 * back)
        reach = 30 if level else 20
        process = np.maximum(np.abs(s - middle) - half, np.maximum(-back, back - reach))
        process = np.maximum(process, side - 4.5)
        facet = np.hypot((s - low + 4) / 1.5, back - 4) - 7
        facet = np.maximum(facet, np.abs(side - 16) - 8)
        pedicle = np.maximum(np.abs(s - (low + 0.68 * (high - low))) - 6.5, np.abs(side - 15) - 4.5)
        pedicle = np.maximum(pedicle, np.abs(back + _CANAL_DEPTH - 5) - 9)
        inside = np.minimum(np.minimum(process, facet), pedicle)
        value = np.where(inside > -_RIM, CORTEX + 8, marrow * 0.95 + 10 * plane.fine[near])
        signal[near] = np.where(inside < 0, value, signal[near])


def _paint_canal(signal: Array, spine: Spine, plane: Plane, posterior: Array) -> None:
    """The dural sac with CSF, the cord down to the conus, the roots below it, epidural fat, ligaments."""
    middle = posterior + _CANAL_DEPTH / 2 + 1
    tapering = np.interp(plane.s, [-70, -25, 30], [0.25, 0.75, 1.0]).astype(np.float32)
    v, w = plane.v - middle, plane.w
    canal = (v / (_CANAL_DEPTH / 2)) ** 2 + (w / 12.5) ** 2
    inside = (canal < 1) & (plane.s > -75)
    signal[inside] = (FAT + 6 * plane.fine)[inside]
    sac = (v / (7.2 * tapering)) ** 2 + (w / (10 * tapering)) ** 2
    fluid = (sac < 1) & (plane.s > -62)
    # Discs that bulge press on the sac.
    signal[fluid] = (CSF + 5 * plane.fine - 14 * plane.coarse)[fluid]
    roots = fluid & (plane.s < spine.conus) & (v > 0.5) & (plane.streaks > 0.25)
    signal[roots] = (CSF * 0.62 + 12 * plane.streaks)[roots]
    thickness = np.clip((plane.s - spine.conus) / 18, 0, 1) ** 0.6
    cord = (v / (3.9 * thickness + 1e-3)) ** 2 + (w / (5.2 * thickness + 1e-3)) ** 2
    signal[fluid & (cord < 1)] = (CORD + 5 * plane.fine)[fluid & (cord < 1)]
    ligament = np.abs(plane.v - posterior - 0.8) < 0.9
    signal[ligament & (np.abs(w) < 12) & (plane.s > -40)] = CORTEX
    flavum = np.abs(canal - 1.12) < 0.12
    signal[flavum & (v > 0) & (np.abs(w) < 12)] = CORTEX + 10


def _paint_sacrum(signal: Array, label: NDArray[np.uint8], plane: Plane, marrow: float) -> None:
    """Five fused segments that taper downwards, with remnants of discs."""
    down = -plane.s
    share = np.clip(down / SACRUM_LENGTH, 0, 1)
    half = SACRUM_DEPTH / 2 * (1.1 - 0.75 * share)
    centre = 3.5 * share
    side = 52 * (1 - 0.8 * share)
    edge = np.maximum(np.abs(plane.v - centre) - half, np.abs(plane.w) - side)
    edge = np.maximum(edge, np.maximum(-down, down - SACRUM_LENGTH))
    bone = edge < 0
    value = np.where(edge > -_RIM, CORTEX, marrow * 1.04 + 11 * plane.fine + 8 * plane.coarse)
    # Borders of S1 to S5: the first remnant disc is the thickest.
    for place, thick in ((28.0, 1.6), (50.0, 1.0), (68.0, 0.8), (82.0, 0.7)):
        value = np.where(np.abs(down - place) < thick, ANNULUS + 18, value)
    signal[bone] = value[bone]
    label[bone] = 1


def _paint_column(
    signal: Array,
    label: NDArray[np.uint8],
    spine: Spine,
    plane: Plane,
    depth: Array,
    width: Array,
    marrow: float,
) -> None:
    """Bodies with waist, concave endplates and cortical rim; discs with nucleus and annulus fill what lies between."""
    element = np.searchsorted(spine.bounds, plane.s, side="right") - 1  # even: disc, odd: body
    inside = (element >= 0) & (element < 18)
    index = np.clip(element, 0, 17)
    low, high = spine.bounds[index], spine.bounds[index + 1]
    level = index // 2
    across = np.abs(plane.v) / (depth / 2)
    beside = np.abs(plane.w) / (width / 2)
    # Endplates bend into the bodies: the disc takes up to 9 % of a body's height in its middle.
    hollow = 0.09 * np.clip(1 - across**2, 0, 1) * np.clip(1 - beside**2, 0, 1)
    position = np.clip((plane.s - low) / (high - low), 0, 1)
    is_body = index % 2 == 1
    swallowed = is_body & (np.minimum(position, 1 - position) < hollow) & ~((index == 17) & (position > 0.5))
    upper = swallowed & (position > 0.5)
    disc_level = np.where(upper, np.minimum(level + 1, 8), level)
    waist = np.where(is_body, 1 - 0.09 * (1 - (2 * position - 1) ** 2), 1.0)
    radius = (across**4 + beside**3.2) ** 0.27 / waist
    edge_mm = (radius - 1) * depth / 2
    body = inside & is_body & ~swallowed & (edge_mm < 0)
    bulge = spine.bulge[disc_level]
    disc = inside & (~is_body | swallowed) & (edge_mm < np.where(swallowed, -0.5, bulge - 1.5))
    to_endplate = np.minimum(position - hollow, 1 - hollow - position) * (high - low)
    value = marrow + 13 * plane.fine + 9 * plane.coarse
    vein = (np.abs(position - 0.5) * (high - low) < 1.6) & (plane.v > depth / 5) & (np.abs(plane.w) < 5)
    value = np.where(vein, FAT * 0.85, value)  # basivertebral vein
    value = np.where((to_endplate < _RIM) | (edge_mm > -_RIM), CORTEX, value)
    signal[body] = value[body]
    label[body] = (2 + level)[body]
    worn = spine.degeneration[disc_level]
    nucleus = np.exp(-((across / 0.62) ** 4) - (beside / 0.7) ** 4)
    cleft = np.where(np.abs(position - 0.5) < 0.07, 0.8, 1.0)  # the intranuclear cleft of a healthy disc
    bright = (205 - 150 * worn) * np.where(worn < 0.5, cleft, 1.0)
    value = ANNULUS + nucleus * (bright - ANNULUS) + 8 * plane.fine
    signal[disc] = value[disc]
    label[disc] = (11 + disc_level)[disc]


def smooth_noise(rng: np.random.Generator, shape: tuple[int, ...], sigma: tuple[float, ...]) -> NDArray[np.float32]:
    """Return a smooth random field with mean 0 and standard deviation about 0.5, limited to -1.5 … 1.5."""
    field = ndimage.gaussian_filter(rng.standard_normal(shape, np.float32), sigma, mode="wrap")
    scaled: NDArray[np.float32] = np.clip(0.5 * field / max(float(field.std()), 1e-6), -1.5, 1.5).astype(np.float32)
    return scaled
