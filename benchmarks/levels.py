"""Columns named right after names and shapes were spoilt, and the processor time that naming takes.

Reference masks are spoilt as networks spoil them: names that differ between slices or halves, a vertebra that is
missed, two that touch under one name, pieces beside the column, a field of view that is cut. Each mask is spoilt in
every way, with names alone to go by (no probabilities). A column is right if every vertebra that is left has the name
of the reference in most of its voxels, and nothing else is called a vertebra.

    python benchmarks/levels.py DATA --scheme mrspineseg --phantoms 20 --out benchmarks/results/levels.json
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from processes import write_json
from scipy import ndimage

from spine_ignite.inference.levels.column import name_column
from spine_ignite.inference.levels.sequence import SchemeLevels
from spine_ignite.labels import LabelScheme, load_scheme
from spine_ignite.phantom import PhantomOptions, make_phantom
from spine_ignite.volumes.geometry import head_foot_axis, sagittal_axis
from spine_ignite.volumes.volume import read_label

Indices = NDArray[np.uint8]
Affine = NDArray[np.float64]


class Spoiler:
    """Ways to spoil a mask; each returns what a network might have made of it, and what is then the truth."""

    def __init__(self, truth: Indices, affine: Affine, levels: SchemeLevels, seed: int) -> None:
        self.truth, self.affine, self.levels = truth, affine, levels
        self.rng = np.random.default_rng(seed)
        self.names = [index for index in levels.vertebrae.values() if (truth == index).any()]
        self.order = list(levels.vertebrae.values())
        self.axis = sagittal_axis(affine)

    def nothing(self) -> tuple[Indices, Indices]:
        """The mask as it is."""
        return self.truth, self.truth

    def shifted_slices(self) -> tuple[Indices, Indices]:
        """In up to 40 % of the slices the column is named one level off."""
        spoilt = np.moveaxis(self.truth.copy(), self.axis, 0)
        inside = np.flatnonzero(np.isin(spoilt, self.names).any(axis=(1, 2)))
        count = max(1, int(len(inside) * self.rng.uniform(0.1, 0.4)))
        for number in self._run(inside, count):
            spoilt[number] = self._shifted(spoilt[number], int(self.rng.choice([-1, 1])))
        return np.moveaxis(spoilt, 0, self.axis), self.truth

    def halves(self) -> tuple[Indices, Indices]:
        """The upper or lower half of a vertebra has its neighbour's name, in most slices."""
        spoilt = self.truth.copy()
        place = int(self.rng.integers(len(self.names)))
        voxels = np.nonzero(spoilt == self.names[place])
        height = (np.stack(voxels, 1) @ self.affine[:3, :3].T)[:, 2]
        up = bool(self.rng.integers(2))
        half = height > np.quantile(height, 0.6) if up else height < np.quantile(height, 0.4)
        other = self.order.index(self.names[place]) + (1 if up else -1)
        if 0 <= other < len(self.order):
            spoilt[tuple(axis[half] for axis in voxels)] = self.order[other]
        return spoilt, self.truth

    def patches(self) -> tuple[Indices, Indices]:
        """Blobs of other names all over the vertebrae."""
        field = ndimage.gaussian_filter(self.rng.standard_normal(self.truth.shape), self._sigma(8.0))
        spoilt = self.truth.copy()
        wrong = (field > np.quantile(field, 0.8)) & np.isin(spoilt, self.names)
        spoilt[wrong] = self._shifted(spoilt, int(self.rng.choice([-1, 1])))[wrong]
        return spoilt, self.truth

    def missing(self) -> tuple[Indices, Indices]:
        """A vertebra between two others was not found."""
        spoilt = self.truth.copy()
        if len(self.names) > 2:
            spoilt[spoilt == self.names[int(self.rng.integers(1, len(self.names) - 1))]] = 0
        return spoilt, spoilt

    def touching(self) -> tuple[Indices, Indices]:
        """Two neighbours touch, and have one name."""
        truth = self.truth.copy()
        place = int(self.rng.integers(len(self.names) - 1)) if len(self.names) > 1 else 0
        pair = np.isin(truth, self.names[place : place + 2])
        grown = np.moveaxis(pair, self.axis, 0)
        closed = np.moveaxis(np.stack([ndimage.binary_closing(p, iterations=6) for p in grown]), 0, self.axis)
        nearest = ndimage.distance_transform_edt(~pair, return_distances=False, return_indices=True)
        gap = closed & ~np.isin(truth, self.order)
        truth[gap] = truth[tuple(nearest)][gap]
        spoilt = truth.copy()
        spoilt[np.isin(spoilt, self.names[place : place + 2])] = self.names[place]
        return spoilt, truth

    def stray(self) -> tuple[Indices, Indices]:
        """Small pieces that are called vertebrae lie in front of the column."""
        spoilt = self.truth.copy()
        free = np.argwhere(spoilt == 0)
        for _ in range(3):
            centre = free[self.rng.integers(len(free))]
            distance = (np.stack(np.indices(spoilt.shape), -1) - centre) * np.linalg.norm(self.affine[:3, :3], axis=0)
            ball = (np.linalg.norm(distance, axis=-1) < self.rng.uniform(3, 8)) & (spoilt == 0)
            spoilt[ball] = self.rng.choice(self.names)
        return spoilt, self.truth

    def cut(self) -> tuple[Indices, Indices]:
        """The field of view ends within the column, above or below."""
        axis = head_foot_axis(self.affine)
        rows = np.flatnonzero(np.isin(self.truth, self.names).any(axis=tuple(a for a in range(3) if a != axis)))
        where = int(rows[0] + self.rng.uniform(0.15, 0.4) * len(rows))
        first = bool(self.rng.integers(2))
        part = [slice(None)] * 3
        part[axis] = slice(where, None) if first else slice(None, int(rows[-1]) - (where - int(rows[0])))
        cropped = self.truth[tuple(part)].copy()
        return cropped, cropped

    def _shifted(self, names: Indices, by: int) -> Indices:
        table = np.arange(256, dtype=np.uint8)
        for place, index in enumerate(self.order):
            table[index] = self.order[min(max(place + by, 0), len(self.order) - 1)]
        return table[names]

    def _run(self, inside: NDArray[np.intp], count: int) -> NDArray[np.intp]:
        """Slices at one side, or any."""
        if self.rng.integers(2):
            return self.rng.choice(inside, count, replace=False)
        return inside[:count] if self.rng.integers(2) else inside[-count:]

    def _sigma(self, mm: float) -> NDArray[np.float64]:
        return mm / np.linalg.norm(self.affine[:3, :3], axis=0)


def is_right(found: Indices, truth: Indices, levels: SchemeLevels) -> bool:
    """Whether each vertebra has its name in most of its voxels, and no other has this name."""
    order = list(levels.vertebrae.values())
    for index in order:
        here, called = truth == index, found == index
        if max(here.sum(), called.sum()) < 0.1 * np.bincount(truth.ravel())[1:].max():
            continue  # what is left of a vertebra at the edge of the field of view
        if not here.any() or (found[here] == index).mean() < 0.5 or truth[called].mean() == 0:
            return False
    return True


def masks(folders: list[Path], scheme: LabelScheme) -> Iterator[tuple[str, Indices, Affine, LabelScheme]]:
    for folder in folders:
        for path in sorted(folder.glob("*/label/*")):
            volume = read_label(path)
            yield folder.name, scheme.to_indices(volume.array), volume.affine, scheme


def phantoms(count: int, seed: int) -> Iterator[tuple[str, Indices, Affine, LabelScheme]]:
    scheme = load_scheme("spine")
    for number in range(count):
        phantom = make_phantom(seed, 0, number, None, PhantomOptions("t2", "lumbar", 1.0, "spine"))
        yield "phantoms", scheme.to_indices(phantom.label), phantom.affine, scheme


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="*", help="folders with train/label and test/label")
    parser.add_argument("--scheme", default="mrspineseg")
    parser.add_argument("--phantoms", type=int, default=20)
    parser.add_argument("--every", type=int, default=1, help="take each so many masks")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verbose", action="store_true", help="tell each column that is wrong")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    ways: list[Callable[[Spoiler], tuple[Indices, Indices]]] = [
        Spoiler.nothing, Spoiler.shifted_slices, Spoiler.halves, Spoiler.patches, Spoiler.missing,
        Spoiler.touching, Spoiler.stray, Spoiler.cut,
    ]  # fmt: skip
    right: dict[tuple[str, str], list[tuple[bool, bool, float, float]]] = defaultdict(list)
    sources = [*list(masks(options.data, load_scheme(options.scheme)))[:: options.every]]
    for number, (name, truth, affine, scheme) in enumerate([*sources, *phantoms(options.phantoms, options.seed)]):
        levels = SchemeLevels(scheme)
        for way in ways:
            spoilt, expected = way(Spoiler(truth, affine, levels, options.seed + number))
            start = time.process_time()
            column = name_column(spoilt, affine, scheme)
            seconds = time.process_time() - start
            good = is_right(column.indices, expected, levels)
            if options.verbose and not good:
                best = column.posterior.namings[0] if column.posterior else None
                print(name, number, way.__name__, best, [np.round(v.height) for v in column.found.vertebrae])
            right[name, way.__name__].append((is_right(spoilt, expected, levels), good, column.probability, seconds))
    rows = []
    print("| masks | spoilt by | columns | right before | right after | mean posterior | median CPU ms | most CPU ms |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for (name, way), found in right.items():
        before, after, posterior, seconds = zip(*found, strict=True)
        figures = [sum(before), sum(after), statistics.mean(posterior)]
        times = [1000 * statistics.median(seconds), 1000 * max(seconds)]
        rows.append([name, way, len(found), *figures, *times])
        shown = f"{figures[0]} | {figures[1]} | {figures[2]:.3f} | {times[0]:.0f} | {times[1]:.0f}"
        print(f"| {name} | {way.replace('_', ' ')} | {len(found)} | {shown} |", flush=True)
    write_json(options.out, rows)


if __name__ == "__main__":
    main()
