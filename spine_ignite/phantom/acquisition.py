"""The scan: field of view, partial volume, coil, noise, and how the volume is stored."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from nibabel.orientations import axcodes2ornt
from numpy.typing import NDArray
from scipy import ndimage

from spine_ignite.phantom.anatomy import Spine, draw_spine
from spine_ignite.phantom.rendering import Plane, render, smooth_noise

# How scanners and converters store sagittal volumes: where the axes of the array point.
_ORIENTATIONS = ("PSR", "ASL", "LPS", "RAS", "PIR", "SAL")
_FINE = 2  # points per voxel and in-plane axis
_THROUGH = 2  # planes per slice


@dataclass(frozen=True)
class Phantom:
    """A synthetic exam.

    Args:
        image: int16 ``(I, J, K)``.
        label: uint8 of the same shape, MRSpineSeg values.
        affine: voxel indices to RAS+ mm.
        spine: the person.
    """

    image: NDArray[np.int16]
    label: NDArray[np.uint8]
    affine: NDArray[np.float64]
    spine: Spine


@dataclass(frozen=True)
class _Scan:
    """Geometry of a scan: rows to the feet, columns to the back, slices to the left; mm."""

    spacing: tuple[float, float, float]  # slices, rows, columns
    size: tuple[int, int, int]
    top: float
    front: float


def make_phantom(seed: int, split: int = 0, number: int = 0, num_slices: int | None = None) -> Phantom:
    """Make an exam that depends on its three numbers alone.

    The field of view ends somewhere from T11 to above T9 and always holds the upper sacrum. Spacing is 1.0 to 1.5 mm in
    plane, 3.8 to 5 mm between slices.

    Args:
        seed: of the dataset.
        split: 0 for training, 1 for test.
        number: of the case.
        num_slices: number of slices; default 11 to 15.
    """
    rng = np.random.default_rng((seed, split, number))
    spine = draw_spine(rng)
    scan = _plan(rng, spine, num_slices)
    signal, label = _sample(rng, spine, scan)
    signal *= _coil(rng, scan)
    noise = rng.uniform(2.5, 6.0)
    real = signal + noise * rng.standard_normal(signal.shape, np.float32)
    magnitude = np.hypot(real, noise * rng.standard_normal(signal.shape, np.float32))  # Rician
    image = np.round(magnitude * rng.uniform(2.0, 6.0)).astype(np.int16)
    return _store(rng, image, label, scan, spine)


def _plan(rng: np.random.Generator, spine: Spine, num_slices: int | None) -> _Scan:
    spacing = (rng.uniform(3.8, 5.0), *(2 * [rng.uniform(1.0, 1.5)]))
    # Where the view ends: a third of the scans within T11 or T10, the others above T9 or within it.
    reach = float(np.interp(rng.uniform(), [0, 0.33, 1], [spine.bounds[13], spine.bounds[16], spine.bounds[-1] + 30]))
    top = float(np.interp(reach, spine.arc, spine.curve[:, 0]))
    bottom = float(np.interp(-rng.uniform(45, 75), spine.arc, spine.curve[:, 0]))
    inside = spine.curve[(spine.arc > -50) & (spine.arc < reach), 1]
    front = float(inside.min()) - rng.uniform(50, 65)
    back = float(inside.max()) + rng.uniform(62, 90)
    count = num_slices or int(rng.integers(11, 16))
    size = (count, round((top - bottom) / spacing[1]), round((back - front) / spacing[2]))
    return _Scan((float(spacing[0]), float(spacing[1]), float(spacing[2])), size, top, front)


def _sample(rng: np.random.Generator, spine: Spine, scan: _Scan) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Average the signal and take the most frequent label over the points of each voxel."""
    slices, rows, columns = scan.size
    z = scan.top - (np.arange(rows * _FINE) + 0.5) * scan.spacing[1] / _FINE
    y = scan.front + (np.arange(columns * _FINE) + 0.5) * scan.spacing[2] / _FINE
    s, v, sideways = spine.coordinates(*np.meshgrid(z, y, indexing="ij"))
    # Textures are as fine as the voxels; only the anatomy needs more points.
    per_mm = 1 / scan.spacing[1]
    fine = smooth_noise(rng, scan.size, (0.6, 0.9 * per_mm, 0.9 * per_mm))
    coarse = smooth_noise(rng, scan.size, (1.2, 7 * per_mm, 7 * per_mm))
    streaks = smooth_noise(rng, scan.size, (0.8, 9 * per_mm, 1.1 * per_mm))
    marrow, fat_behind = rng.uniform(85, 130), rng.uniform(8, 32)
    tilt = np.tan(np.radians(rng.normal(0, 1.5)))
    offset = rng.normal(0, 2)
    signal = np.empty(scan.size, np.float32)
    label = np.empty(scan.size, np.uint8)
    s, v = s.astype(np.float32), v.astype(np.float32)
    for number in range(slices):
        textures = [field[number].repeat(_FINE, axis=0).repeat(_FINE, axis=1) for field in (fine, coarse, streaks)]
        total = np.zeros(s.shape, np.float32)
        planes = []
        for sub in range(_THROUGH):
            left = (number - (slices - 1) / 2 + (sub + 0.5) / _THROUGH - 0.5) * scan.spacing[0]
            w = (left + offset - sideways + tilt * s).astype(np.float32)
            plane = Plane(s, v, w, *textures)
            value, classes = render(spine, plane, marrow, fat_behind)
            total += value
            planes.append(classes)
        signal[number] = _blocks(total).mean(axis=(1, 3)) / _THROUGH
        label[number] = _majority(np.stack(planes))
    return ndimage.gaussian_filter(signal, (0, 0.35, 0.35)), label


def _blocks(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    rows, columns = plane.shape
    return plane.reshape(rows // _FINE, _FINE, columns // _FINE, _FINE)


def _majority(planes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Most frequent label of each voxel's points, ``(T, H, W)`` to ``(H / 2, W / 2)``."""
    depth, rows, columns = planes.shape
    blocks = planes.reshape(depth, rows // _FINE, _FINE, columns // _FINE, _FINE)
    best = np.zeros((rows // _FINE, columns // _FINE), np.int16)
    result = np.zeros(best.shape, np.uint8)
    for value in np.unique(planes):
        votes = (blocks == value).sum(axis=(0, 2, 4), dtype=np.int16)
        better = votes > best
        result[better] = value
        best = np.maximum(best, votes)
    return result


def _coil(rng: np.random.Generator, scan: _Scan) -> NDArray[np.float32]:
    """Sensitivity of a surface coil behind the back, and a smooth residue."""
    slices, rows, columns = scan.size
    column = np.linspace(0, 1, columns)
    row = np.linspace(-1, 1, rows)
    receive = 0.55 + 0.75 * column ** rng.uniform(1.0, 2.0)
    fall = 1 - rng.uniform(0.1, 0.35) * np.abs(row - rng.uniform(-0.3, 0.3)) ** 2
    residue = 1 + 0.1 * smooth_noise(rng, (slices, rows, columns), (3, rows / 5, columns / 4))
    return (fall[None, :, None] * receive[None, None, :] * residue).astype(np.float32)


def _store(
    rng: np.random.Generator, image: NDArray[np.int16], label: NDArray[np.uint8], scan: _Scan, spine: Spine
) -> Phantom:
    """Bring (slices left, rows down, columns back) into one of the usual orders, with its affine, slightly oblique."""
    axes = _ORIENTATIONS[int(rng.integers(len(_ORIENTATIONS)))]
    here = axcodes2ornt(("L", "I", "P"))
    there = axcodes2ornt(tuple(axes))
    order = [int(np.flatnonzero(here[:, 0] == world)[0]) for world in there[:, 0]]
    flips = tuple(axis for axis, source in enumerate(order) if here[source, 1] != there[axis, 1])
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, source in enumerate(order):
        affine[int(there[axis, 0]), axis] = there[axis, 1] * scan.spacing[source]
    angle = np.radians(rng.normal(0, 2))
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine[:3, :3] = turn @ affine[:3, :3]
    size = np.array([scan.size[source] for source in order])
    affine[:3, 3] = rng.normal(0, 15, 3) - affine[:3, :3] @ ((size - 1) / 2)
    arrays = [np.ascontiguousarray(np.flip(array.transpose(order), flips)) for array in (image, label)]
    return Phantom(arrays[0], arrays[1], affine, spine)
