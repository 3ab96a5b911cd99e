"""All measurements of a label volume, level by level."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spine_ignite.anatomy.canal import canal_diameter, disc_signal_ratio
from spine_ignite.anatomy.column_order import Level, are_neighbours, order_levels, stands_on_sacrum
from spine_ignite.anatomy.frames import Array, Frame, unit
from spine_ignite.anatomy.sacra import fit_sacrum
from spine_ignite.anatomy.segments import Figures, body_figures, lordosis, segment_figures, segment_frame
from spine_ignite.anatomy.surfaces import Mask, Region, regions
from spine_ignite.anatomy.vertebral_body import Body, Endplate, fit_body
from spine_ignite.labels import LabelClass, LabelScheme
from spine_ignite.labels.scheme import IGNORE
from spine_ignite.volumes.geometry import sagittal_axis

_NEAREST = 15.0  # mm; a disc's centre is this close to the middle between its vertebrae
_ROUGH = 1.5  # mm; endplates that fit worse are no smooth surfaces
_LEVEL = 10.0  # mm above and below a level
_SIDES = "cut off at the side"
_MIRRORED = "the canal lies in front of the bodies: the volume is mirrored"


@dataclass(frozen=True)
class Row:
    """A vertebra, what lies between two, the sacrum, or the whole column.

    Args:
        level: ``L4``, ``L4/L5``, ``S``, ``L1-S1``.
        kind: vertebra, disc, sacrum, column.
        figures: by name, see :data:`spine_ignite.anatomy.figures.FIGURES`; what is not measured is absent or NaN.
        flags: what keeps figures from being measured, or doubt about them.
    """

    level: str
    kind: str
    figures: Figures = field(default_factory=dict)
    flags: tuple[str, ...] = ()


def measure_volume(
    indices: NDArray[np.uint8], affine: NDArray[np.float64], scheme: LabelScheme, image: NDArray[Any] | None = None
) -> list[Row]:
    """Measure every vertebra, disc and angle of a label volume.

    All is done in mm on the patient's axes, so that grids may be oblique and anisotropic. What the field of view cuts
    off is flagged and not measured.

    Args:
        indices: class indices ``(I, J, K)``; voxels to be ignored belong to nothing.
        affine: voxel indices to RAS+ mm.
        scheme: what they mean.
        image: intensities on the same grid, for the signal of discs.

    Returns:
        The rows from the head down, the whole column last.

    Raises:
        DataError: the affine is singular, or the volume is upside down.
    """
    known = np.where(indices == IGNORE, 0, indices)
    return _Volume(known, np.asarray(affine, float), scheme, image).rows()


class _Volume:
    """A label volume while it is measured."""

    def __init__(
        self, indices: NDArray[np.uint8], affine: Array, scheme: LabelScheme, image: NDArray[Any] | None
    ) -> None:
        self.indices, self.affine, self.scheme, self.image = indices, affine, scheme, image
        lateral = sagittal_axis(affine)
        self.left = unit(-affine[:3, lateral] * np.sign(affine[0, lateral]))
        self.regions = regions(indices, affine, lateral)
        canal = self._mask("canal", "cord")
        self.canal = next(iter(regions(canal.astype(np.uint8), affine, lateral).values()), None)
        sacrum = self._found("sacrum")
        self.sacrum = sacrum[0] if sacrum else None
        vertebrae = {c.name: self.regions[c.index] for c in self._found("vertebra")}
        self.levels = order_levels(vertebrae, self.regions[self.sacrum.index] if self.sacrum else None)
        self.bodies = {level.name: fit_body(level.region, level.up, self.left) for level in self.levels}
        self.discs = {c.index for c in self._found("disc")}

    def rows(self) -> list[Row]:
        result: list[Row] = []
        for place, level in enumerate(self.levels):
            result.append(self._vertebra(level))
            below = self.levels[place + 1] if place + 1 < len(self.levels) else None
            if below is not None and are_neighbours(level.name, below.name):
                result.append(self._segment(level, below.name, self.bodies[below.name]))
        result += self._bottom()
        result += [self._disc(index) for index in sorted(self.discs, key=self._height)]
        return result

    def _bottom(self) -> Iterable[Row]:
        """The segment on the sacrum, the sacrum, and the lordosis."""
        if self.sacrum is None:
            return []
        last = self.levels[-1] if self.levels and stands_on_sacrum(self.levels[-1].name) else None
        body = self.bodies[last.name] if last else None
        region = self.regions[self.sacrum.index]
        volume, cut = _volume(region)
        plate = fit_sacrum(region, body) if isinstance(body, Body) else "no measured vertebra above it"
        rows = [self._segment(last, self.sacrum.name, plate)] if last else []
        if isinstance(plate, str):
            return [*rows, Row(self.sacrum.name, "sacrum", {"volume_ml": volume}, (plate, *cut))]
        rows.append(Row(self.sacrum.name, "sacrum", {"depth_mm": plate.depth, "volume_ml": volume}, cut))
        first = self.bodies.get("L1")
        if isinstance(first, Body) and isinstance(body, Body):
            left = unit(first.frame.left + body.frame.left)
            rows.append(Row("L1-S1", "column", {"lordosis_deg": lordosis(first, plate, left)}))
        return rows

    def _vertebra(self, level: Level) -> Row:
        body = self.bodies[level.name]
        if isinstance(body, str):
            return Row(level.name, "vertebra", {}, (body,))
        volume, cut = _volume(level.region)
        figures = {**body_figures(body), "volume_ml": volume}
        flags = list(cut)
        if body.rms > _ROUGH:
            flags.append("irregular endplates")
        if self.canal is not None:
            figures["canal_ap_mm"] = canal_diameter(self.canal, body.frame)
            if self._canal_in_front(body.frame):
                flags.append(_MIRRORED)
        return Row(level.name, "vertebra", figures, tuple(flags))

    def _segment(self, above: Level, name: str, below: Body | Endplate | str) -> Row:
        level, upper = f"{above.name}/{name}", self.bodies[above.name]
        if isinstance(upper, str) or isinstance(below, str):
            lacking = f"{above.name if isinstance(upper, str) else name} is not measured"
            # Its disc may lie in the field of view all the same.
            named = [index for index in self.discs if self.scheme.classes[index].name == level]
            if not named:
                return Row(level, "disc", {}, (lacking,))
            self.discs.discard(named[0])
            volume, cut = _volume(self.regions[named[0]])
            return Row(level, "disc", {"volume_ml": volume}, (lacking, *cut))
        frame = segment_frame(upper, below)
        figures = segment_figures(upper, below)
        flags: tuple[str, ...] = ()
        if self.canal is not None:
            figures["canal_ap_mm"] = canal_diameter(self.canal, frame)
        disc = self._disc_at(frame.origin)
        if disc is not None:
            self.discs.discard(disc)
            figures["volume_ml"], flags = _volume(self.regions[disc])
            if self.image is not None:
                depth = figures["depth_mm"]
                mask, fluid = self.indices == disc, self._mask("canal")
                figures["signal_ratio"] = disc_signal_ratio(self.image, mask, fluid, self.affine, frame, depth)
        return Row(level, "disc", figures, flags)

    def _disc(self, index: int) -> Row:
        """A disc of which no neighbours are measured."""
        volume, cut = _volume(self.regions[index])
        return Row(self.scheme.classes[index].name, "disc", {"volume_ml": volume}, (*cut, "no measured neighbours"))

    def _disc_at(self, point: Array) -> int | None:
        distances = {
            index: float(np.linalg.norm(self.regions[index].voxels().mean(axis=0) - point)) for index in self.discs
        }
        nearest = min(distances, key=distances.__getitem__, default=None)
        return nearest if nearest is not None and distances[nearest] < _NEAREST else None

    def _canal_in_front(self, frame: Frame) -> bool:
        assert self.canal is not None
        local = frame.local(self.canal.voxels())
        here = np.abs(local[:, 2]) < _LEVEL
        return bool(here.any() and local[here, 1].mean() < 0)

    def _height(self, index: int) -> float:
        return -float(self.regions[index].voxels()[:, 2].mean())

    def _found(self, kind: str) -> list[LabelClass]:
        return [c for c in self.scheme.classes if c.kind == kind and c.index in self.regions]

    def _mask(self, *kinds: str) -> Mask:
        wanted = [c.index for c in self.scheme.classes if c.kind in kinds]
        return np.isin(self.indices, wanted)


def _volume(region: Region) -> tuple[float, tuple[str, ...]]:
    """Volume in ml of what the field of view holds whole; else NaN, and why."""
    if region.touches(region.mask, lateral=False):
        return math.nan, ("cut off by the field of view",)
    if region.touches(region.mask, lateral=True):
        return math.nan, (_SIDES,)
    return float(region.mask.sum()) * region.voxel_ml, ()
