"""The scan: partial volume, coil, noise, and how the volume is stored."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from nibabel.orientations import axcodes2ornt
from numpy.typing import NDArray
from scipy import ndimage

from spine_ignite.phantom.anatomy import Spine
from spine_ignite.phantom.arches import paint_arches, paint_canal, paint_longitudinal_ligaments
from spine_ignite.phantom.bodies import paint_bodies
from spine_ignite.phantom.pelvis import Pelvis, draw_pelvis, paint_pelvis
from spine_ignite.phantom.people import draw_spine
from spine_ignite.phantom.phantom_options import PhantomOptions
from spine_ignite.phantom.points import Array, Plane, Points
from spine_ignite.phantom.scan import Scan, plan_scan
from spine_ignite.phantom.surroundings import Body, draw_body, paint_surroundings
from spine_ignite.phantom.textures import KINDS, texture
from spine_ignite.phantom.tissues import Signals, draw_signals
from spine_ignite.phantom.values import SPINE_VALUES, in_scheme

# How scanners and converters store sagittal volumes: where the axes of the array point.
_ORIENTATIONS = ("PSR", "ASL", "LPS", "RAS", "PIR", "SAL")
_TABLE = 3.0  # mm between the points of the table of smooth coordinates


@dataclass(frozen=True)
class Phantom:
    """A synthetic exam.

    Args:
        image: int16 ``(I, J, K)``.
        label: uint8 of the same shape, values of the scheme that was asked for.
        affine: voxel indices to RAS+ mm.
        spine: the person.
    """

    image: NDArray[np.int16]
    label: NDArray[np.uint8]
    affine: NDArray[np.float64]
    spine: Spine


@dataclass(frozen=True)
class _Camera:
    """What turns signal into an image: coil, blur, noise, scale.

    Args:
        falloff: strength of the surface coil's fall towards the front, per 100 mm.
        lengthwise: fall towards the ends of the field of view.
        centre: share of the height where the coil is strongest.
        band: strength of a saturation band in front, and its place in mm in front of the field's middle.
        blur: of the picture, in voxels.
        noise: standard deviation, as a share of the brightest tissue.
        gain: of the stored values.
        offset: that stored values begin with.
        eight_bits: stored values end at 255.
    """

    falloff: float
    lengthwise: float
    centre: float
    band: tuple[float, float]
    blur: float
    noise: float
    gain: float
    offset: float
    eight_bits: bool


class Exam:
    """A person in a scanner: everything is drawn, and slices are rendered on request, each for itself.

    Args:
        seed: of the dataset.
        split: 0 for training, 1 for test.
        number: of the case.
        num_slices: of the volume; drawn where it is None.
        options: what it shows.
    """

    def __init__(
        self,
        seed: int,
        split: int = 0,
        number: int = 0,
        num_slices: int | None = None,
        options: PhantomOptions = PhantomOptions(),  # noqa: B008 (frozen)
    ) -> None:
        rng = np.random.default_rng((seed, split, number))
        self.options = options
        self.spine = draw_spine(rng, options.variety)
        self.body: Body = draw_body(rng, self.spine, options.variety)
        self.pelvis: Pelvis = draw_pelvis(rng, self.spine, options.variety)
        self.signals: Signals = draw_signals(rng, options.contrast, options.variety)
        self.scan: Scan = plan_scan(rng, self.spine, options.view, options.variety, num_slices)
        self._camera = _draw_camera(rng, options.variety)
        self._grain = int(rng.integers(2**31))
        self._store = np.random.default_rng((seed, split, number, 1))
        self._table = _Table(self.spine, self.scan)

    @property
    def num_slices(self) -> int:
        """Number of slices of the volume, from right to left."""
        return self.scan.size[0]

    def slice(self, index: int) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
        """Render one slice: image and label ``(rows, columns)``, rows to the feet, columns to the back.

        It is the same alone as in the volume.
        """
        # Soft tissue is painted once a slice; what is to be found, on planes through its thickness.
        middle = self._plane(index, 0.0, None)
        paint_surroundings(middle, self.spine, self.body, self.signals)
        offsets = (-1 / 3, 0.0, 1 / 3) if self.scan.spacing[0] > 2 else (-0.25, 0.25)
        planes = [self._plane(index + offset, 0.9 * offset, middle) for offset in offsets]
        for plane in planes:
            self._paint_bones(plane)
        signal = sum(plane.signal for plane in planes) / np.float32(len(planes))
        label = planes[len(planes) // 2].label
        if len(planes) == 3:
            label = np.where(planes[0].label == planes[2].label, planes[0].label, label)
        return self._photograph(np.asarray(signal), index), in_scheme(label, self.options.scheme)

    def _plane(self, place: float, shift: float, like: Plane | None) -> Plane:
        """The points of a plane, with the textures and the signal of another."""
        x, y, z = self.scan.points(place, shift)
        s, v, w = self._table.coordinates(x, y, z)
        shape = (x.shape[0], x.shape[1])
        label = np.zeros(shape, np.uint8)
        if like is not None:
            return Plane(x, y, z, s, v, w, like.fine, like.coarse, like.streaks, like.signal.copy(), label)
        fine, coarse, streaks = (texture(kind, self._grain + n, place, shape) for n, kind in enumerate(KINDS))
        return Plane(x, y, z, s, v, w, fine, coarse, streaks, np.zeros(shape, np.float32), label)

    def _paint_bones(self, plane: Plane) -> None:
        aside = np.abs(plane.w)
        if float(aside.min()) > 110:
            return
        low = Points(plane, (plane.s < 60) & (plane.s > -160) & (plane.v > -60) & (plane.v < 60) & (aside < 110))
        if len(low):
            paint_pelvis(low, self.spine, self.pelvis, self.signals, SPINE_VALUES["S"])
            low.store()
        near = Points(plane, (plane.s > -90) & (plane.v > -34) & (plane.v < 88) & (aside < 100))
        if len(near):
            paint_canal(near, self.spine, self.signals, SPINE_VALUES["canal"], SPINE_VALUES["cord"])
            paint_longitudinal_ligaments(near, self.spine, self.signals)
            paint_arches(near, self.spine, self.signals, SPINE_VALUES["rib"])
            paint_bodies(near, self.spine, self.signals, SPINE_VALUES)
            near.store()

    def _photograph(self, signal: Array, index: int) -> NDArray[np.int16]:
        camera = self._camera
        rows, columns = signal.shape
        y = (np.arange(columns) - (columns - 1) / 2) * self.scan.spacing[2]
        row = np.linspace(0, 1, rows) - camera.centre
        receive = np.exp(camera.falloff * y / 100) / (1 + camera.lengthwise * row[:, None] ** 2 * 4)
        strength, place = camera.band
        receive = receive * (1 - strength / (1 + np.exp((y + place) / 6)))
        clouds = texture("coarse", self._grain + 9, index / 8, (rows // 12 + 2, columns // 12 + 2))
        receive = receive * (1 + 0.12 * ndimage.zoom(clouds, 12, order=1)[:rows, :columns])
        seen = ndimage.gaussian_filter(signal, camera.blur) * receive.astype(np.float32)
        rng = np.random.default_rng((self._grain, index))
        real = seen + camera.noise * rng.standard_normal(seen.shape, np.float32)
        magnitude = np.hypot(real, camera.noise * rng.standard_normal(seen.shape, np.float32))  # Rician
        stored = magnitude * camera.gain + camera.offset
        if camera.eight_bits:
            stored = np.clip(stored, 0, 255)
        return np.asarray(np.round(np.minimum(stored, 32767)).astype(np.int16))


class _Table:
    """Smooth coordinates by bilinear interpolation in a table of the sagittal plane."""

    def __init__(self, spine: Spine, scan: Scan) -> None:
        reach = np.array([(n - 1) / 2 * d for n, d in zip(scan.size, scan.spacing, strict=True)])
        span = np.abs(scan.turn.T) @ reach + 8
        self._corner = scan.centre[2] - span[2], scan.centre[1] - span[1]
        z = self._corner[0] + np.arange(int(2 * span[2] / _TABLE) + 2) * _TABLE
        y = self._corner[1] + np.arange(int(2 * span[1] / _TABLE) + 2) * _TABLE
        s, v = spine.flat(*np.meshgrid(z, y, indexing="ij"))
        self._s, self._v = s.astype(np.float32), v.astype(np.float32)
        self._spine = spine

    def coordinates(self, x: Array, y: Array, z: Array) -> tuple[Array, Array, Array]:
        """Return ``s, v, w`` at points of a plane; where they are smooth, every fourth point is enough."""
        rows, columns = (_between(n, 4) for n in x.shape)
        sparse = [field[np.ix_(rows[0], columns[0])] for field in (x, y, z)]
        place = np.stack([(sparse[2] - self._corner[0]) / _TABLE, (sparse[1] - self._corner[1]) / _TABLE])
        s, v = (ndimage.map_coordinates(table, place, order=1, mode="nearest") for table in (self._s, self._v))
        w = sparse[0] - np.interp(s, self._spine.arc, self._spine.curve[:, 0]).astype(np.float32)
        return (
            np.asarray(rows[1] @ s @ columns[1].T),
            np.asarray(rows[1] @ v @ columns[1].T),
            np.asarray(rows[1] @ w @ columns[1].T),
        )


@cache
def _between(count: int, step: int) -> tuple[NDArray[np.intp], Array]:
    """Every ``step``-th of some points, and the weights that interpolate all from them, ``(count, chosen)``."""
    chosen = np.minimum(np.arange(0, count + step - 1, step), count - 1)
    chosen = np.unique(chosen)
    weights = np.stack([np.interp(np.arange(count), chosen, row) for row in np.eye(len(chosen))], axis=1)
    return chosen, weights.astype(np.float32)


def _draw_camera(rng: np.random.Generator, variety: float) -> _Camera:
    if not variety:
        return _Camera(
            rng.uniform(0.25, 0.6),
            rng.uniform(0.1, 0.35),
            rng.uniform(0.35, 0.65),
            (0.0, 0.0),
            0.45,
            rng.uniform(0.012, 0.03),
            rng.uniform(400, 1200),
            0.0,
            False,
        )
    band = (rng.uniform(0.5, 1.0), rng.uniform(10, 60)) if rng.uniform() < 0.2 else (0.0, 0.0)
    eight = rng.uniform() < 0.3
    return _Camera(
        float(rng.choice([rng.uniform(-0.1, 0.5), rng.uniform(0.5, 1.4)])),
        float(rng.uniform(0, 1.0)),
        float(rng.uniform(0.25, 0.75)),
        band,
        float(rng.uniform(0.3, 1.1)),
        float(np.exp(rng.uniform(np.log(0.006), np.log(0.07)))),
        float(rng.uniform(90, 170) if eight else rng.uniform(150, 2500)),
        float(rng.uniform(0, 35) if eight and rng.uniform() < 0.5 else 0),
        bool(eight),
    )


def make_phantom(
    seed: int,
    split: int = 0,
    number: int = 0,
    num_slices: int | None = None,
    options: PhantomOptions = PhantomOptions(),  # noqa: B008 (frozen)
) -> Phantom:
    """Make an exam that depends on its numbers and options alone.

    Args:
        seed: of the dataset.
        split: 0 for training, 1 for test.
        number: of the case.
        num_slices: number of slices; drawn where it is None, 11 to 15 in plain scans.
        options: what it shows; plain T2-weighted lumbar spines with MRSpineSeg labels by default.
    """
    exam = Exam(seed, split, number, num_slices, options)
    slices = [exam.slice(index) for index in range(exam.num_slices)]
    image, label = np.stack([image for image, _ in slices]), np.stack([label for _, label in slices])
    return _stored(exam._store, image, label, exam.scan, exam.spine)


def _stored(
    rng: np.random.Generator, image: NDArray[np.int16], label: NDArray[np.uint8], scan: Scan, spine: Spine
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
