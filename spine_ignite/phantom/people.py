"""Draws people: sizes, curvature, wear, variants, and what else is found in spines."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import CubicSpline

from spine_ignite.phantom.anatomy import USUAL, Array, Disc, Spine, Vertebra

# From L5 up to T1, mm. Lumbar sizes are means of living adults (Zhou et al., Eur Spine J 2000;9:242: height 27 to 29,
# depth 34 to 36, width 41 to 52); thoracic ones fall as those of Panjabi et al., Spine 1991;16:888, table 2, from where
# the lumbar ones end: living people are about a tenth larger than its specimens.
_HEIGHT = (28.5, 28.5, 29.0, 28.8, 28.0, 26.8, 25.2, 23.8, 22.6, 21.7, 21.0, 20.0, 18.8, 18.6, 18.2, 18.0, 16.4)
_DEPTH = (35.5, 36.0, 35.8, 34.8, 34.0, 33.8, 33.4, 32.5, 31.5, 30.3, 29.5, 28.2, 26.8, 25.8, 24.6, 21.8, 20.2)
_WIDTH = (52.0, 50.0, 47.5, 45.5, 44.0, 43.0, 40.0, 36.5, 34.5, 33.0, 31.5, 30.0, 29.0, 29.0, 29.0, 30.0, 32.0)
# The disc below each: lumbar 8 to 12 mm (Zhou et al. 2000), thoracic 3 to 6 mm
# (Fletcher et al., Eur Spine J 2015, doi 10.1007/s00586-015-3925-y).
_DISC = (9.5, 11.0, 10.5, 9.5, 8.5, 7.0, 6.2, 5.6, 5.2, 4.8, 4.5, 4.4, 4.3, 4.2, 4.2, 4.2, 4.3)
# Angle of each body against the vertical, degrees, forwards positive: a lordosis L1-S1 of about 50 and a kyphosis
# T4-T12 of about 30 degrees: those who stand have 60 and 41, with a sacral slope of 41 (Vialle et al., J Bone Joint
# Surg Am 2005;87:260), and all three are flatter in those who lie.
_TILT = (24.0, 11.0, 1.0, -6.0, -10.0, -11.0, -9.0, -6.0, -3.0, 0.0, 3.0, 7.0, 11.0, 15.0, 18.0, 21.0, 24.0)

# How often, in a person of full variety. Transitional lumbosacral vertebrae are found in 4 to 30 % (Konin and Walz,
# AJNR 2010;31:1778), and a column with one vertebra more or less in about a tenth (Tins and Balain, Insights Imaging
# 2016, doi 10.1007/s13244-016-0468-7). Haemangiomas are found in a quarter of all people, Schmorl nodes and Modic
# changes in about a third of those who come for MRI, slips in a tenth. Fractures, fusion and scoliosis are more
# frequent here than in a clinic, so that a network meets them.
RATES = {
    "L6": 0.05,
    "sacralised L5": 0.05,
    "T13": 0.02,
    "no T12": 0.02,
    "scoliosis": 0.15,
    "slip": 0.10,
    "fracture": 0.15,
    "fused disc": 0.04,
    "haemangioma": 0.25,
    "modic": 0.3,
    "schmorl": 0.3,
}


def draw_spine(rng: np.random.Generator, variety: float = 0.0) -> Spine:
    """Draw a person: size, curvature, wear, and with variety what ``RATES`` lists."""
    findings = tuple(name for name, rate in RATES.items() if rng.uniform() < rate * variety)
    names, source = _levels(findings)
    count = len(names)
    scale = rng.uniform(0.9, 1.08) if not variety else rng.uniform(0.84, 1.12)
    height, depth, width = (
        np.array(sizes)[source] * scale * rng.normal(1, spread, count)
        for sizes, spread in ((_HEIGHT, 0.025), (_DEPTH, 0.03), (_WIDTH, 0.03))
    )
    depth, width = depth * rng.normal(1, 0.04), width * rng.normal(1, 0.04)
    discs = _draw_discs(rng, names, np.array(_DISC)[source] * scale, findings, variety)
    tilt = _draw_tilt(rng, source, variety)
    crush = _fractures(rng, count, findings, height)
    for bent in np.flatnonzero(crush[:, 0]):  # the column bends forwards over a wedge
        tilt[bent + 1 :] += 0.6 * np.degrees(np.arctan2(crush[bent, 0] - crush[bent, 2], depth[bent]))
    lean, turn = _scoliosis(rng, count, findings, variety)
    slips = np.zeros(count)
    if "slip" in findings:
        slips[int(rng.choice(4, p=[0.45, 0.4, 0.1, 0.05]))] = rng.choice([-1, 0.5], p=[0.75, 0.25]) * rng.uniform(
            2.5, 11
        )
    slope = tilt[0] + rng.uniform(10, 18)
    plate = _vertebra("S", np.zeros(3), (slope, 0.0, 0.0), 0.0, depth[0] * 0.97, width[0] * 1.02, hollow=(0.0, 1.2))
    position, before = np.zeros(3), plate.axes
    vertebrae = []
    for level in range(count):
        axes = _axes(tilt[level], lean[level], turn[level])
        between = before[2] + axes[2]
        position = position + between / np.linalg.norm(between) * discs[level].height + slips[level] * axes[1]
        centre = position + axes[2] * height[level] / 2
        position, before = centre + axes[2] * (height[level] / 2 - crush[level].mean()), axes
        vertebrae.append(
            _draw_vertebra(
                rng,
                names[level],
                centre,
                axes,
                (height[level], depth[level], width[level]),
                discs,
                level,
                findings,
                crush[level],
                variety,
            )
        )
    arc, curve, middles = _curve(rng, plate, vertebrae, scale)
    conus = float(np.interp(names.index("L1") + 0.5, np.arange(count), middles) + rng.normal(-8, 9))
    return Spine(tuple(vertebrae), discs, plate, middles, arc, curve, conus, findings)


def _levels(findings: tuple[str, ...]) -> tuple[list[str], list[int]]:
    """Names from the lowest up, and of which usual vertebra each takes its sizes."""
    names, source = list(USUAL), list(range(len(USUAL)))
    if "L6" in findings:
        names, source = ["L6", *names], [0, *source]
    elif "sacralised L5" in findings:
        names, source = names[1:], source[1:]
    if "T13" in findings:
        place = names.index("T12")
        names, source = [*names[:place], "T13", *names[place:]], [*source[:place], source[place], *source[place:]]
    elif "no T12" in findings:
        place = names.index("T12")
        del names[place], source[place]
    return names, source


def _axes(tilt: float, lean: float, turn: float) -> Array:
    """Rows: left, back, up, after a turn about the column, a lean to the left and a tilt forwards, degrees."""
    t, n, r = np.radians([tilt, lean, turn])
    turned = np.array([[np.cos(r), np.sin(r), 0], [-np.sin(r), np.cos(r), 0], [0, 0, 1]])
    leant = np.array([[np.cos(n), 0, -np.sin(n)], [0, 1, 0], [np.sin(n), 0, np.cos(n)]])
    tilted = np.array([[1, 0, 0], [0, np.cos(t), np.sin(t)], [0, -np.sin(t), np.cos(t)]])
    return np.asarray(turned @ leant @ tilted)


def _draw_discs(
    rng: np.random.Generator, names: list[str], heights: Array, findings: tuple[str, ...], variety: float
) -> tuple[Disc, ...]:
    count = len(names)
    heights = heights * rng.normal(1, 0.08, count)
    # The lower the disc, the more often it is worn (Cheung et al., Spine 2009;34:934).
    age = rng.uniform(0.3, 1.7) if variety else 1.0
    worn = np.clip(
        rng.beta(0.9, 1.6, count) * np.interp(np.arange(count), [0, 3, 8, 16], [1.35, 1.15, 0.7, 0.6]) * age, 0, 1
    )
    narrow = 1 - (0.4 + 0.25 * variety * rng.uniform(0, 1, count)) * worn**2
    bulge = rng.uniform(0, 1.2, count) + 3.0 * worn**2 * rng.uniform(0, 1, count)
    herniation = np.where(rng.uniform(0, 1, count) < 0.25 * worn, rng.uniform(2, 6, count), 0.0)
    herniation = herniation * (np.arange(count) < 6)
    fused = np.zeros(count, bool)
    if "fused disc" in findings:
        fused[int(rng.integers(0, 7))] = True
    lower = ["S", *names[:-1]]
    return tuple(
        Disc(f"{upper}/{below}", float(h * n), float(w), float(b), float(e), bool(f))
        for upper, below, h, n, w, b, e, f in zip(
            names, lower, heights, narrow, worn, bulge, herniation, fused, strict=True
        )
    )


def _draw_tilt(rng: np.random.Generator, source: list[int], variety: float) -> Array:
    places = np.interp(np.arange(len(source)), np.arange(len(source)), source)
    tilt = np.interp(places, np.arange(len(_TILT)), _TILT)
    if len(source) > 1 and source[0] == source[1]:  # L6 goes on with the curve
        tilt[0] += 8
    factor = rng.uniform(0.6, 1.35) if not variety else rng.uniform(0.25, 1.5)
    kyphosis = rng.uniform(0.6, 1.4)
    upper = np.arange(len(source)) > 6
    tilt = np.where(upper, -8 * factor + (tilt + 8) * kyphosis, tilt * factor)
    return np.asarray(tilt + rng.normal(0, 1.5, len(source)) + rng.normal(0, 3))


def _fractures(rng: np.random.Generator, count: int, findings: tuple[str, ...], height: Array) -> Array:
    """Loss of height at front, middle and back, ``(levels, 3)`` mm: wedge, biconcave and crush.

    The kinds are those of Genant et al., J Bone Miner Res 1993;8:1137.
    """
    crush = np.zeros((count, 3))
    if "fracture" in findings:
        likely = np.exp(-0.5 * ((np.arange(count) - 5) / 2.5) ** 2)  # about T12
        for level in rng.choice(count, int(rng.integers(1, 4)), replace=False, p=likely / likely.sum()):
            shape = [(1.0, 0.5, 0.05), (0.35, 1.0, 0.1), (1.0, 1.0, 0.8)][int(rng.integers(3))]
            crush[level] = np.array(shape) * rng.uniform(0.2, 0.6) * height[level]
    return crush


def _scoliosis(rng: np.random.Generator, count: int, findings: tuple[str, ...], variety: float) -> tuple[Array, Array]:
    """Lean to the left and turn of each vertebra, degrees: into the convexity (Stokes, J Orthop Res 1989;7:702)."""
    places = np.arange(count)
    strength = rng.uniform(3, 11) if "scoliosis" in findings else rng.uniform(0, 1.5)
    lean = strength * np.sin(rng.uniform(0, 2 * np.pi) + places * rng.uniform(0.35, 0.8))
    lean = lean * np.clip(places / 2 + 0.3, 0, 1)
    shift = np.cumsum(lean)
    turn = np.gradient(np.gradient(shift)) if count > 2 else shift
    return lean, np.asarray(rng.uniform(0.6, 1.6) * turn * (1 if variety else 0))


def _vertebra(
    name: str,
    centre: Array,
    angles: tuple[float, float, float],
    height: float,
    depth: float,
    width: float,
    hollow: tuple[float, float],
) -> Vertebra:
    nothing = (0.0, 0.0, 0.0, 0.0)
    return Vertebra(
        name,
        centre,
        _axes(*angles),
        height,
        float(depth),
        float(width),
        0.0,
        hollow,
        (0.0, 0.0, 0.0),
        (0.0, 0.0),
        nothing,
        (0, 0),
        0.0,
        nothing,
        1.0,
        0.0,
    )


def _draw_vertebra(
    rng: np.random.Generator,
    name: str,
    centre: Array,
    axes: Array,
    size: tuple[float, float, float],
    discs: tuple[Disc, ...],
    level: int,
    findings: tuple[str, ...],
    crush: Array,
    variety: float,
) -> Vertebra:
    height, depth, width = size
    lumbar = name.startswith("L")
    worn = [discs[level].worn, discs[min(level + 1, len(discs) - 1)].worn]
    lips = [float(max(0.0, w - 0.35) * rng.uniform(0, 6) * min(1.0, 0.4 + variety)) for w in worn]
    modic = [int(rng.integers(1, 3)) if "modic" in findings and w > 0.5 and rng.uniform() < 0.6 else 0 for w in worn]
    node = (0.0, 0.0, 0.0, 0.0)
    if "schmorl" in findings and rng.uniform() < 0.25:
        node = (rng.normal(0, 5), rng.normal(0, 5), rng.uniform(3.5, 6.5), rng.uniform(2.5, 6))
    spot = (0.0, 0.0, 0.0, 0.0)
    if "haemangioma" in findings and rng.uniform() < 0.2:
        spot = (
            rng.normal(0, 0.25 * width),
            rng.normal(0, 0.25 * depth),
            rng.normal(0, 0.2 * height),
            rng.uniform(3, 10),
        )
    # L5 is higher in front, thoracic bodies lower (Zhou et al. 2000; Panjabi et al. 1991).
    number = int(name[1:])
    wedge = 3.0 if name in ("L5", "L6") else 0.5 if lumbar and number > 2 else -1.0
    hollow = (rng.uniform(0.03, 0.1) * height, rng.uniform(0.03, 0.09) * height)
    ribs = not lumbar
    stump = 1.0 if ribs and number < 11 else rng.uniform(0.15, 0.7)
    rib = 90.0 * stump if ribs else rng.uniform(16, 26)
    if "T13" in findings and name == "T13":
        rib = rng.uniform(15, 45)
    return Vertebra(
        name, centre, axes, float(height), float(depth), float(width), float(wedge + rng.normal(0, 0.6)), hollow,
        (float(crush[0]), float(crush[1]), float(crush[2])), (lips[0], lips[1]), node, (modic[0], modic[1]),
        float(rng.normal(0, 0.35)), spot, 1.0 if lumbar else 0.5 if number > 10 else 0.0, float(rib),
    )  # fmt: skip


def _curve(
    rng: np.random.Generator, plate: Vertebra, vertebrae: list[Vertebra], scale: float
) -> tuple[Array, Array, Array]:
    """The middle line through sacrum, bodies and beyond."""
    slope = float(np.degrees(np.arctan2(-plate.axes[2, 1], plate.axes[2, 2])))
    # The sacrum leans back at first, then curls forwards to the coccyx, more in some people.
    low = -np.array([0.0, 20.0, 55.0, 85.0, 108.0, 143.0, 260.0]) * scale
    bend = rng.uniform(0.6, 1.3)
    angles = slope + bend * np.array([0.0, 6.0, -8.0, -32.0, -52.0, -75.0, -75.0])
    fine = np.arange(0.0, low[-1], -2.0)
    theta = np.radians(np.interp(-fine, -low, angles))
    below = np.cumsum(np.stack([0 * theta, np.sin(theta), -np.cos(theta)], axis=1) * 2.0, axis=0)[4::5]
    points = [*below[::-1], np.zeros(3)]
    for vertebra in vertebrae:
        half = vertebra.axes[2] * vertebra.height / 2
        points += [vertebra.centre - 0.8 * half, vertebra.centre, vertebra.centre + 0.6 * half]
    top = vertebrae[-1]
    points += [top.centre + top.axes[2] * step for step in (40.0, 80.0, 140.0)]
    nodes = np.array(points)
    chord = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(nodes, axis=0), axis=1))])
    chord -= chord[len(below)]
    # A spline through few nodes smooths slips out; the canal follows it.
    spline = CubicSpline(chord, _smoothed(nodes), bc_type="natural")
    arc = np.arange(chord[0], chord[-1], 0.5)
    middles = chord[len(below) + 2 :: 3][: len(vertebrae)]
    return arc, np.asarray(spline(arc)), np.asarray(middles)


def _smoothed(nodes: Array) -> Array:
    result = nodes.copy()
    result[1:-1] = 0.25 * nodes[:-2] + 0.5 * nodes[1:-1] + 0.25 * nodes[2:]
    return np.asarray(result)
