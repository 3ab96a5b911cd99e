"""Error of `spine-ignite measure` where the truth is known, and how far figures repeat where it is not.

- Solids: two bodies with a random wedge, tilt and slip, sampled at the centres of voxels of a random, oblique grid.
- Phantoms: the corners of each body follow from the vertebrae that the phantom was drawn from.
- With DATA, a folder of label volumes: how much figures change when voxels at the borders of structures change sides at
  random, when the volume is resampled to voxels of another size that are turned by a few degrees, and when every other
  sagittal slice is left out; and the mean of each figure by level, to be compared with what anatomy says.

    python benchmarks/measurements.py --out benchmarks/results/measurements.json
    python benchmarks/measurements.py DATA/test/label --scheme lumbar-vertebrae --cases 0
"""

from __future__ import annotations

import argparse
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spine_ignite.anatomy.figures import FIGURES
from spine_ignite.anatomy.measure_volume import Row, measure_volume
from spine_ignite.datasets.volume_files import volume_files
from spine_ignite.labels import LabelScheme, load_scheme
from spine_ignite.phantom import Phantom, PhantomOptions, make_phantom
from spine_ignite.phantom.anatomy import Vertebra
from spine_ignite.phantom.bodies import plates
from spine_ignite.phantom.points import Local
from spine_ignite.volumes.volume import Reading, read_label

Array = NDArray[np.float64]
Figures = dict[tuple[str, str], dict[str, float]]
Difference = tuple[str, str, float]


def figures(rows: Iterable[Row]) -> Figures:
    """Index rows by kind and level."""
    return {(row.kind, row.level): row.figures for row in rows}


def differences(found: Figures, truth: Figures) -> Iterator[Difference]:
    """Kind, figure and difference of what both have."""
    for key, values in truth.items():
        for name, value in values.items():
            error = found.get(key, {}).get(name, math.nan) - value
            if math.isfinite(error):
                yield key[0], name, float(error)


# Truth, from corners (back, up) in the sagittal plane: upper front, upper back, lower front, lower back.


def body_truth(corners: Array) -> dict[str, float]:
    """Figures of a body that do not need its middle."""
    upper_front, upper_back, lower_front, lower_back = corners
    return {
        "height_anterior_mm": length(upper_front - lower_front),
        "height_posterior_mm": length(upper_back - lower_back),
        "wedge_deg": rise(upper_back - upper_front) - rise(lower_back - lower_front),
        "depth_mm": (length(upper_back - upper_front) + length(lower_back - lower_front)) / 2,
    }


def segment_truth(above: Array, front: Array, back: Array) -> dict[str, float]:
    """Figures of what lies between a body and the endplate below it."""
    top, bottom = above[3] - above[2], back - front
    angle = math.radians((rise(top) + rise(bottom)) / 2)
    normal = np.array([-math.sin(angle), math.cos(angle)])
    slip = float((back - above[3]) @ bottom) / length(bottom)
    return {
        "height_anterior_mm": float((above[2] - front) @ normal),
        "height_posterior_mm": float((above[3] - back) @ normal),
        "slip_mm": slip,
        "slip_percent": 100 * slip / length(bottom),
        "angle_deg": rise(bottom) - rise(top),
        "segmental_angle_deg": rise(bottom) - rise(above[1] - above[0]),
    }


def length(vector: Array) -> float:
    return float(np.linalg.norm(vector))


def rise(vector: Array) -> float:
    """Degrees by which a direction rises to the back."""
    return math.degrees(math.atan2(vector[1], vector[0]))


def solid(rng: np.random.Generator, spacing: float) -> tuple[NDArray[np.uint8], Array, Figures]:
    """Two bodies (channels of ``spine``), an affine and the truth; slices of 1 to 4.5 mm, turned by some degrees."""
    wedges, tilts = rng.uniform(-8, 15, 2), np.cumsum(rng.uniform(-12, 15, 2))
    disc, slip = rng.uniform(5, 13), rng.uniform(-4, 9)
    size = rng.uniform([22, 28, 38], [30, 38, 54], (2, 3))
    bodies = []
    for wedge, tilt, (height, depth, _), up in zip(wedges, tilts, size, (1, -1), strict=True):
        drop = math.tan(math.radians(wedge)) * depth / 2
        corners = np.array([[-1, height / 2], [1, height / 2], [-1, -height / 2], [1, -height / 2]])
        corners[:, 0] *= depth / 2
        corners[:2, 1] += np.array([-drop, drop])
        angle = math.radians(tilt)
        turned = corners @ np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
        bodies.append(turned + np.array([-slip * (up > 0), up * (height + disc) / 2]))
    spacings = np.array([rng.uniform(1, 4.5), spacing, spacing])
    shape = np.round(np.array([64, 70, 96]) / spacings).astype(int)
    grid = (np.moveaxis(np.indices(shape), 0, -1) - (shape - 1) / 2) * spacings + rng.uniform(-0.5, 0.5, 3)
    local = grid @ turn(rng.normal(0, 5, 3))
    labels = np.zeros(shape, np.uint8)
    for index, corners, (_, _, width) in zip((4, 5), bodies[::-1], size[::-1], strict=True):
        inside = np.abs(local[..., 0]) < width / 2
        ring = corners[[0, 1, 3, 2]]
        for one, two in zip(ring, np.roll(ring, -1, axis=0), strict=True):
            edge = two - one
            inside &= edge[0] * (local[..., 2] - one[1]) < edge[1] * (local[..., 1] - one[0])
        labels[inside] = index
    truth = {("vertebra", name): body_truth(body) for name, body in zip(("L3", "L4"), bodies, strict=True)}
    for name, (_, _, width) in zip(("L3", "L4"), size, strict=True):
        truth["vertebra", name]["width_mm"] = float(width)
    truth["disc", "L3/L4"] = segment_truth(bodies[0], bodies[1][0], bodies[1][1])
    return labels, np.diag([-spacings[0], -spacings[1], spacings[2], 1.0]), truth


def turn(degrees: Array) -> Array:
    """A product of rotations about the three axes."""
    result = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        one, two = (other for other in range(3) if other != axis)
        step = np.eye(3)
        step[[one, two], [one, two]] = math.cos(angle)
        step[one, two], step[two, one] = -math.sin(angle), math.sin(angle)
        result = result @ step
    return result


def phantom_corners(vertebra: Vertebra) -> Array:
    """Corners of a phantom's body in its mid-sagittal plane ``(4, 2)``: back and up in the patient's axes."""
    down, up = vertebra.lips
    half = vertebra.depth / 2
    corners = []
    # In the midline the posterior wall is 7 % nearer; lips add to the depth.
    for lip, upper in ((up, True), (down, False)):
        for b in (-half - lip, (half + lip) / 1.07):
            at = Local(*(np.array([value], np.float32) for value in (0.0, b, 0.0)))
            bottom, top, _, _ = plates(vertebra, at)
            point = vertebra.centre + b * vertebra.axes[1] + float((top if upper else bottom)[0]) * vertebra.axes[2]
            corners.append(point[1:])
    return np.array(corners)


def phantom_truth(phantom: Phantom) -> Figures:
    """Figures that follow from the person that a phantom was drawn from."""
    spine = phantom.spine
    corners = {vertebra.name: phantom_corners(vertebra) for vertebra in spine.vertebrae}
    sacrum = phantom_corners(spine.plate)
    found: Figures = {("vertebra", name): body_truth(body) for name, body in corners.items()}
    below = "S"
    for name, body in corners.items():
        floor = sacrum if below == "S" else corners[below]
        found["disc", f"{name}/{below}"] = segment_truth(body, floor[0], floor[1])
        below = name
    slope = rise(sacrum[1] - sacrum[0])
    found["column", "L1-S1"] = {"lordosis_deg": slope - rise(corners["L1"][1] - corners["L1"][0])}
    return found


def repeated(labels: NDArray[np.uint8], affine: Array, rng: np.random.Generator) -> dict[str, tuple[Any, Array]]:
    """The same label volume as others might have it."""
    border = ndimage.grey_dilation(labels, (3, 3, 1)) != ndimage.grey_erosion(labels, (3, 3, 1))
    moved = np.stack(
        [rng.integers(-1, 2, labels.shape), rng.integers(-1, 2, labels.shape), np.zeros(labels.shape, int)]
    )
    flips = border & (rng.uniform(size=labels.shape) < 0.25)
    places = np.indices(labels.shape) + moved * flips
    for axis, size in enumerate(labels.shape):
        np.clip(places[axis], 0, size - 1, out=places[axis])
    noisy = labels[tuple(places)]
    turned, other = on_another_grid(labels, affine, order=0)
    sparse = np.array(affine)
    sparse[:3, 2] *= 2
    return {
        "a quarter of the voxels at borders moved": (noisy, affine),
        "resampled to 1.3 x 1.2 mm, turned by 3 degrees": (turned, other),
        "every other slice": (np.ascontiguousarray(labels[:, :, ::2]), sparse),
    }


def on_another_grid(volume: NDArray[Any], affine: Array, order: int) -> tuple[NDArray[Any], Array]:
    """Resample a volume to voxels of 1.3 x 1.2 x the slices' own mm, turned by 3 degrees about each axis."""
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    thin = np.flatnonzero(lengths < 2)
    steps = lengths.copy()
    steps[thin] = [1.3, 1.2, 1.0][: len(thin)]
    shape = np.ceil(np.array(volume.shape) * lengths / steps).astype(int) + 8
    other = np.eye(4)
    other[:3, :3] = turn(np.array([3.0, 3.0, 3.0])) @ (affine[:3, :3] / lengths * steps)
    other[:3, 3] = affine[:3, :3] @ ((np.array(volume.shape) - 1) / 2) + affine[:3, 3]
    other[:3, 3] -= other[:3, :3] @ ((shape - 1) / 2 + 0.3)
    back = np.linalg.inv(affine) @ other
    return ndimage.affine_transform(volume, back[:3, :3], back[:3, 3], output_shape=tuple(shape), order=order), other


def known(cases: int) -> dict[str, Any]:
    """Errors where the truth is known."""
    spine = load_scheme("spine")
    results = {}
    for spacing in (0.5, 1.0, 1.5):
        rng = np.random.default_rng(7)
        rows: list[Difference] = []
        for _ in range(cases):
            labels, affine, truth = solid(rng, spacing)
            rows += differences(figures(measure_volume(labels, affine, spine)), truth)
        title = f"{cases} solids, {spacing} mm in plane: error"
        results[title] = table(title, rows)
    for variety in (0.0, 1.0):
        rows = []
        for number in range(cases):
            phantom = make_phantom(11, 1, number, None, PhantomOptions(variety=variety, scheme="spine"))
            found = figures(measure_volume(spine.to_indices(phantom.label), phantom.affine, spine))
            rows += differences(found, phantom_truth(phantom))
        title = f"{cases} phantoms, variety {variety:g}: error"
        results[title] = table(title, rows)
    return results


def real(folder: Path, scheme: LabelScheme) -> dict[str, Any]:
    """Repeatability, and means by level."""
    rng = np.random.default_rng(0)
    changes: dict[str, list[Difference]] = defaultdict(list)
    levels: list[Difference] = []
    for file in volume_files(folder):
        volume = read_label(file, Reading("any"))
        labels = scheme.to_indices(volume.array)
        first = figures(measure_volume(labels, volume.affine, scheme))
        levels += [
            (f"{kind} {level}", name, value) for (kind, level), row in first.items() for name, value in row.items()
        ]
        for what, (other, affine) in repeated(labels, volume.affine, rng).items():
            changes[what] += differences(figures(measure_volume(other, affine, scheme)), first)
    results = {what: table(f"{folder}: {what}: change", rows) for what, rows in changes.items()}
    finite = [row for row in levels if math.isfinite(row[2])]
    return {**results, "by level": table(f"{folder}: mean and SD", finite)}


def table(title: str, rows: list[Difference]) -> dict[str, list[float]]:
    """Print mean and spread by figure, in the figures' order."""
    order = list(FIGURES)
    groups: dict[tuple[str, str], list[float]] = defaultdict(list)
    for kind, name, value in rows:
        groups[kind, name].append(value)
    print(f"\n{title}\n\n| of | figure | n | mean | SD | 95th percentile of absolute values |")
    print("| --- | --- | --- | --- | --- | --- |")
    found = {}
    for kind, name in sorted(groups, key=lambda key: (key[0], order.index(key[1]))):
        values = np.array(groups[kind, name])
        spread = float(values.std(ddof=1)) if len(values) > 1 else 0.0
        numbers = [float(len(values)), float(values.mean()), spread, float(np.percentile(np.abs(values), 95))]
        found[f"{kind} {name}"] = numbers
        print(f"| {kind} | {name} | {len(values)} | {numbers[1]:+.2f} | {numbers[2]:.2f} | {numbers[3]:.2f} |")
    return found


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", help="a folder of label volumes")
    parser.add_argument("--scheme", default="mrspineseg", help="of DATA")
    parser.add_argument("--cases", type=int, default=60, help="solids of each spacing, and phantoms of each kind")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    results = known(options.cases) if options.cases else {}
    if options.data is not None:
        results |= real(options.data, load_scheme(options.scheme))
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
