"""Thirty inputs that are no lumbar spine as a network was trained on, made from phantoms and shapes.

A volume is ``(slices left, rows down, columns back)`` with an affine that says so, unless the point is that it lies.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spine_ignite.phantom import Exam, PhantomOptions
from spine_ignite.phantom.tissues import Signals, Tissue

Image = NDArray[np.float32]
Affine = NDArray[np.float64]
Input = tuple[str, Image, Affine]
_SHAPE, _SPACING = (13, 240, 240), (4.0, 1.1, 1.1)
# Hounsfield units of the tissues: air and lung, fat, water and soft tissue, marrow, compact bone.
_HOUNSFIELD = {Tissue.AIR: -1000, Tissue.LUNG: -800, Tissue.FAT: -100, Tissue.SKIN: 20, Tissue.CSF: 10} | {
    Tissue.FLUID: 10, Tissue.MARROW: 170, Tissue.POSTERIOR: 190, Tissue.OEDEMA: 150, Tissue.FATTY: 110,
    Tissue.CORTEX: 900, Tissue.NUCLEUS: 80, Tissue.ANNULUS: 95, Tissue.WORN: 75, Tissue.BOWEL: 20,
}  # fmt: skip


def foreign_inputs(seed: int = 0) -> Iterator[Input]:
    """Yield name, image and affine of each."""
    for part in (_noises, _shapes, _turned_spines, _other_planes, _single_slices, _cervical, _other_contrasts):
        yield from part(seed)


def sagittal(spacing: tuple[float, float, float], shape: tuple[int, ...]) -> Affine:
    """Return the affine of slices to the left, rows down, columns back."""
    affine = np.zeros((4, 4))
    affine[0, 0], affine[2, 1], affine[1, 2], affine[3, 3] = -spacing[0], -spacing[1], -spacing[2], 1
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return affine


def exam(seed: int, number: int, contrast: str, num_slices: int | None = None, variety: float = 0.0) -> Exam:
    """Draw a lumbar phantom."""
    return Exam(seed, 1, number, num_slices, PhantomOptions(contrast, "lumbar", variety, "spine"))  # type: ignore[arg-type]


def photographed(drawn: Exam) -> tuple[Image, Affine]:
    """Render all slices."""
    image = np.stack([drawn.slice(place)[0] for place in range(drawn.num_slices)]).astype(np.float32)
    return image, sagittal(drawn.scan.spacing, image.shape)


def _noises(seed: int) -> Iterator[Input]:
    rng = np.random.default_rng((seed, 1))
    affine = sagittal(_SPACING, _SHAPE)
    white = rng.standard_normal(_SHAPE).astype(np.float32)
    yield "white noise", white, affine
    yield "noise of magnitude images", np.hypot(white, rng.standard_normal(_SHAPE)).astype(np.float32), affine
    yield "smooth noise", ndimage.gaussian_filter(white, (0.8, 5, 5)), affine
    clouds = sum(s * ndimage.gaussian_filter(rng.standard_normal(_SHAPE), (s / 4, s, s)) for s in (1, 3, 9, 27))
    yield "clouds of all sizes", np.asarray(clouds, np.float32), affine
    yield "salt and pepper", (rng.random(_SHAPE) < 0.05).astype(np.float32), affine
    yield "constant", np.full(_SHAPE, 100, np.float32), affine


def _grid() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return mm to the left, down and back from the middle."""
    i, j, k = ((np.arange(n) - (n - 1) / 2) * mm for n, mm in zip(_SHAPE, _SPACING, strict=True))
    return i[:, None, None], j[None, :, None], k[None, None, :]


def _scanned(signal: NDArray[np.floating], rng: np.random.Generator, noise: float = 0.02) -> Image:
    blurred = ndimage.gaussian_filter(signal, (0, 0.7, 0.7))
    shape = (2, *signal.shape)
    real, other = rng.standard_normal(shape) * noise
    image: Image = np.hypot(blurred + real, other).astype(np.float32) * 1000
    return image


def _ball(radii: tuple[float, float, float], centre: tuple[float, float, float] = (0, 0, 0)) -> NDArray[np.float64]:
    """Return where a point lies to an ellipsoid: 1 on it, less inside."""
    parts = [((axis - c) / r) ** 2 for axis, c, r in zip(_grid(), centre, radii, strict=True)]
    return np.sqrt(parts[0] + parts[1] + parts[2])


def _shapes(seed: int) -> Iterator[Input]:
    rng = np.random.default_rng((seed, 2))
    affine = sagittal(_SPACING, _SHAPE)
    yield "a brain, T1", _scanned(_brain(rng, skin=0.9, bone=0.15, fluid=0.15, grey=0.5, white=0.75), rng), affine
    yield "a brain, T2", _scanned(_brain(rng, skin=0.6, bone=0.1, fluid=1.0, grey=0.6, white=0.4), rng), affine
    yield "a knee, T1", _scanned(_knee(rng, fat=0.9, muscle=0.35, bone=0.75, cartilage=0.5), rng), affine
    yield "a knee, fat suppressed", _scanned(_knee(rng, fat=0.15, muscle=0.4, bone=0.2, cartilage=0.9), rng), affine
    bottle = np.where((np.hypot(_grid()[0], _grid()[2]) < 60) & (np.abs(_grid()[1]) < 90), 0.8, 0.0)
    yield "a bottle of water", _scanned(bottle, rng), affine
    yield "a ladder of blocks", _scanned(_ladder(), rng), affine
    beside = exam(seed, 3, "t2")
    beside.scan = replace(beside.scan, centre=beside.scan.centre + np.array([75.0, 0, 0]))
    yield "a flank without a spine", *photographed(beside)


def _brain(
    rng: np.random.Generator, skin: float, bone: float, fluid: float, grey: float, white: float
) -> NDArray[np.float64]:
    """A head: skin, skull, fluid, folded cortex about white matter, ventricles, a brain stem and the neck."""
    folds = ndimage.gaussian_filter(rng.standard_normal(_SHAPE), (0.5, 3, 3))
    depth = _ball((70, 75, 95), (0, -15, 0)) + 0.35 * folds
    signal = np.where(_ball((85, 92, 112), (0, -15, 0)) < 1, skin, 0.0)
    signal[_ball((80, 86, 106), (0, -15, 0)) < 1] = bone
    signal[_ball((75, 80, 100), (0, -15, 0)) < 1] = fluid
    signal[depth < 1] = grey
    signal[depth < 0.85] = white
    signal[_ball((20, 12, 35), (0, -15, 0)) < 1] = fluid
    left, down, back = _grid()
    stem = (np.hypot(left, back - 15 - 0.1 * down) < 12) & (down > 20)
    signal[stem] = white
    neck = (np.abs(back - 10) < 45) & (down > 75) & (np.abs(left) < 60) & ~stem
    signal[np.broadcast_to(neck, _SHAPE)] = 0.5 * (skin + grey)
    return signal


def _knee(rng: np.random.Generator, fat: float, muscle: float, bone: float, cartilage: float) -> NDArray[np.float64]:
    """Two bones that meet with cartilage, the kneecap, muscles and fat about them."""
    left, down, back = _grid()
    signal = np.where((np.hypot(left, back) < 62) & (np.abs(down) < 200), fat, 0.0)
    signal[np.broadcast_to(np.hypot(left, back - 25) < 28, _SHAPE)] = muscle
    for inner, value in ((0, 0.05), (2.5, bone)):
        shaft = (np.hypot(left, back + 8) < 19 - inner) & ((down < -15) | (down > 15))
        signal[np.broadcast_to(shaft, _SHAPE)] = value
        for where in ((0, -22, 0), (0, 24, -2)):
            signal[_ball((40 - inner, 21 - inner, 32 - inner), where) < 1] = value
        signal[_ball((22 - inner, 24 - inner, 11 - inner), (0, -25, -45)) < 1] = value
    joint = (np.hypot(left, back) < 30) & (np.abs(down - 1) < 2.5)
    signal[np.broadcast_to(joint, _SHAPE)] = cartilage
    return signal + 0.03 * ndimage.gaussian_filter(rng.standard_normal(_SHAPE), 1)


def _ladder() -> NDArray[np.float64]:
    """Blocks above each other, with nothing that a spine has about them."""
    left, down, back = _grid()
    block = (np.abs((down + 500) % 36 - 18) < 13) & (np.abs(back) < 17) & (np.abs(left) < 22)
    return np.where(block, 0.8, 0.2) * np.ones(_SHAPE)


def _turned_spines(seed: int) -> Iterator[Input]:
    for number, contrast in ((0, "t2"), (1, "t1"), (2, "water")):
        image, affine = photographed(exam(seed, number, contrast))
        yield f"a spine upside down, {contrast}", image[:, ::-1].copy(), affine
        yield f"a spine with front and back mirrored, {contrast}", image[:, :, ::-1].copy(), affine
    mirror = np.diag([1.0, 1.0, -1.0, 1.0])
    yield "a spine whose affine says upside down", image, mirror @ affine
    yield "a spine turned by half a turn", image[:, ::-1, ::-1].copy(), affine


def _other_planes(seed: int) -> Iterator[Input]:
    """Stacks in other planes from a volume with equal voxels, wide enough for them."""
    drawn = exam(seed, 5, "t2", num_slices=110)
    scan = drawn.scan
    drawn.scan = replace(scan, spacing=(1.3, *scan.spacing[1:]))
    image, affine = photographed(drawn)
    axial = affine @ np.diag([1.0, 4.0, 1.0, 1.0])
    yield "an axial stack", image[:, ::4].copy(), axial
    # As a converter that lost the directions would write it: the axial slices called sagittal ones.
    wrong = np.ascontiguousarray(image[:, ::4].transpose(1, 2, 0))
    yield (
        "an axial stack that is called sagittal",
        wrong,
        sagittal((4 * scan.spacing[1], scan.spacing[2], 1.3), wrong.shape),
    )
    yield "a coronal stack", image[:, :, ::4].copy(), affine @ np.diag([1.0, 1.0, 4.0, 1.0])


def _single_slices(seed: int) -> Iterator[Input]:
    for number, contrast in ((6, "t2"), (7, "t1")):
        drawn = exam(seed, number, contrast)
        plane = drawn.slice(drawn.num_slices // 2)[0][None].astype(np.float32)
        yield f"a single slice, {contrast}", plane, sagittal(drawn.scan.spacing, plane.shape)


def _cervical(seed: int) -> Iterator[Input]:
    """Vertebrae of a neck: the upper part of a column, shrunk to half its size, without a sacrum, under a head."""
    for number, contrast in ((8, "t2"), (9, "t1")):
        image, affine = photographed(exam(seed, number, contrast))
        upper = image[:, : int(0.62 * image.shape[1])]
        rows = int(0.3 * upper.shape[1])
        column = np.linspace(-1, 1, upper.shape[2])[None, None]
        row = np.linspace(-1.0, 1.0, rows)[None, :, None]
        inside = np.hypot(column, 0.9 * (row + 0.2)) < 0.85
        head = np.where(inside, np.quantile(image, 0.7), np.quantile(image, 0.05)) * np.ones((len(image), 1, 1))
        yield (
            f"a cervical field of view, {contrast}",
            np.concatenate([head, upper], axis=1).astype(np.float32),
            (affine @ np.diag([0.55, 0.55, 0.55, 1.0])),
        )


def _other_contrasts(seed: int) -> Iterator[Input]:
    image, affine = photographed(exam(seed, 10, "t2"))
    yield "inverted grey values", image.max() - image, affine
    drawn = exam(seed, 11, "t2")
    units = np.array([_HOUNSFIELD.get(tissue, 45) for tissue in Tissue], np.float32)
    drawn.signals = Signals((units + 1000) / 1000, 0.01 * np.ones(len(units), np.float32), "ct")
    yield "as in computed tomography", *photographed(drawn)
