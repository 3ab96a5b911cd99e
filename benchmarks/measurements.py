"""Error of `spine-ignite measure` where the truth is known, and how far figures repeat where it is not.

Three parts, each a Markdown table:

- solids: a column of wedge-shaped bodies of random heights, angles and slips, sampled on oblique and anisotropic grids;
- phantoms: the corners of each body follow from the curve, the borders and the depths that the phantom was drawn from;
- with DATA, a folder of label volumes (of --scheme): how much figures change when a volume is resampled to a grid that
  is shifted, turned and finer or coarser, and when voxels at the borders change sides at random; and the range of each
  figure by level, to be compared with what anatomy says.

    python benchmarks/measurements.py --out benchmarks/results/measurements.json
    python benchmarks/measurements.py DATA/test/label --scheme lumbar-vertebrae
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spine_ignite.anatomy.frames import Frame
from spine_ignite.anatomy.measure_volume import Row, measure_volume
from spine_ignite.anatomy.segments import body_figures, lordosis, segment_figures
from spine_ignite.anatomy.vertebral_body import Body, Endplate
from spine_ignite.labels import load_scheme
from spine_ignite.phantom import Phantom, make_phantom

Array = NDArray[np.float64]
Figures = dict[tuple[str, str], dict[str, float]]
SHOWN = (
    "height_anterior_mm",
    "height_middle_mm",
    "height_posterior_mm",
    "wedge_deg",
    "depth_mm",
    "width_mm",
    "height_mm",
    "slip_mm",
    "slip_percent",
    "angle_deg",
    "segmental_angle_deg",
    "lordosis_deg",
    "canal_ap_mm",
    "volume_ml",
)
LEVELS = ("L5", "L4", "L3", "L2", "L1", "T12", "T11", "T10", "T9")
_HOLLOW = 0.09  # of a body's height, by which each endplate of a phantom bends into it in the middle


def figures(rows: list[Row]) -> Figures:
    """Index rows by kind and level."""
    return {(row.kind, row.level): row.figures for row in rows}


def endplate(front: Array, middle: Array, back: Array) -> Endplate:
    """An endplate whose direction is that of its corners."""
    return Endplate(front, middle, back, (back - front) / np.linalg.norm(back - front))


def body_of(corners: list[Array], middles: list[Array]) -> Body:
    """Build a body from its corners (upper front, upper back, lower front, lower back), in the plane x = 0."""
    upper, lower = endplate(corners[0], middles[0], corners[1]), endplate(corners[2], middles[1], corners[3])
    frame = Frame(np.mean(corners, axis=0), np.array([[-1.0, 0, 0], [0, -1, 0], [0, 0, 1]]))
    return Body(upper, lower, frame, np.nan, np.nan, 0.0)


def phantom_truth(phantom: Phantom) -> Figures:
    """Figures that follow from the person that a phantom was drawn from."""
    spine = phantom.spine
    tangents = np.gradient(spine.curve, spine.arc, axis=0)
    centres = (spine.bounds[1::2] + spine.bounds[2::2]) / 2

    def point(s: float, v: float) -> Array:
        """A point (x, anterior, up) at ``s`` along the column and ``v`` behind its middle line."""
        z, y = (np.interp(s, spine.arc, spine.curve[:, axis]) for axis in (0, 1))
        tz, ty = (np.interp(s, spine.arc, tangents[:, axis]) for axis in (0, 1))
        length = np.hypot(tz, ty)
        return np.array([0.0, -(y + v * tz / length), z - v * ty / length])

    bodies: dict[str, Body] = {}
    for number, level in enumerate(LEVELS):
        low, high = spine.bounds[2 * number + 1], spine.bounds[2 * number + 2]
        half = [float(np.interp(s, centres, spine.depth)) / 2 for s in (high, low)]
        corners = [point(high, -half[0]), point(high, half[0]), point(low, -half[1]), point(low, half[1])]
        hollow = _HOLLOW * (high - low)
        bodies[level] = body_of(corners, [point(high - hollow, 0.0), point(low + hollow, 0.0)])
    found: Figures = {}
    for number, (level, body) in enumerate(bodies.items()):
        found["vertebra", level] = {k: v for k, v in body_figures(body).items() if np.isfinite(v)}
        found["vertebra", level]["width_mm"] = float(spine.width[number])
        if number:
            below = LEVELS[number - 1]
            found["disc", f"{level}/{below}"] = segment_figures(body, bodies[below])
    half_sacrum = 16.5
    sacrum = endplate(point(0.0, -half_sacrum), point(0.0, 0.0), point(0.0, half_sacrum))
    found["disc", "L5/S"] = segment_figures(bodies["L5"], sacrum)
    found["column", "L1-S1"] = {"lordosis_deg": lordosis(bodies["L1"], sacrum, np.array([-1.0, 0, 0]))}
    return found


def errors(found: Figures, truth: Figures) -> Iterator[tuple[str, str, float]]:
    """Kind, figure and error of what both have."""
    for key, values in truth.items():
        for name, value in values.items():
            error = found.get(key, {}).get(name, np.nan) - value
            if np.isfinite(error):
                yield key[0], name, float(error)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", help="a folder of label volumes")
    parser.add_argument("--scheme", default="mrspineseg")
    parser.add_argument("--cases", type=int, default=60, help="phantoms and solids")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    results: dict[str, Any] = {}
    scheme = load_scheme("mrspineseg")
    pairs = []
    for number in range(options.cases):
        phantom = make_phantom(11, 1, number)
        found = figures(measure_volume(scheme.to_indices(phantom.label), phantom.affine, scheme))
        pairs += list(errors(found, phantom_truth(phantom)))
    results["phantoms"] = table(f"{options.cases} phantoms: error", pairs)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(results, indent=2))


def table(title: str, rows: list[tuple[str, str, float]]) -> dict[str, Any]:
    """Print mean and spread of differences by figure."""
    groups: dict[tuple[str, str], list[float]] = defaultdict(list)
    for kind, name, value in rows:
        groups[kind, name].append(value)
    print(
        f"\n{title}\n\n| of | figure | n | bias | SD | 95th percentile of the absolute error |\n" + "| --- " * 6 + "|"
    )
    found = {}
    for (kind, name), values in sorted(
        groups.items(), key=lambda item: (item[0][0], SHOWN.index(item[0][1]) if item[0][1] in SHOWN else 99)
    ):
        array = np.array(values)
        numbers = (len(array), array.mean(), array.std(ddof=1), np.percentile(np.abs(array), 95))
        found[f"{kind} {name}"] = [float(number) for number in numbers]
        print(f"| {kind} | {name} | {numbers[0]} | {numbers[1]:+.2f} | {numbers[2]:.2f} | {numbers[3]:.2f} |")
    return found


if __name__ == "__main__":
    main()
