"""Vertebrae, discs and the sacrum as pieces of a label map, in the order of the column, whatever they are named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spine_ignite.inference.levels.boxes import around, connected, labelled_box, voxels_of
from spine_ignite.inference.levels.curve import fit_curve
from spine_ignite.inference.levels.depths import depths
from spine_ignite.inference.levels.hills import Blocks, find_blocks
from spine_ignite.inference.levels.pieces import Box, Found, Instance, Kind, nothing_found
from spine_ignite.labels import LabelScheme
from spine_ignite.volumes.geometry import head_foot_axis, sagittal_axis

Indices = NDArray[np.uint8]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_KINDS = {"vertebra": 1, "disc": 2, "sacrum": 3}
# The inside of a vertebra is what lies deeper than this share of the deepest voxels, and no more than so many mm: deep
# enough to part bodies that touch, and bodies from their arches, which are thinner.
_DEEP, _DEEPEST = 0.4, 5.0
_THIN = 2.5  # mm: what is nowhere deeper is no vertebra, which is at least a centimetre high
_MOST_POINTS = 20_000  # that the curve is fitted to
_WHOLE = 0.8  # an atom with this share of its inside in one vertebra belongs to it as it is
_ROOM = 0.15  # of a vertebra's height: what lies closer to it is a part of it
_SLIVER = 0.02  # of the median vertebra: what is smaller is no vertebra of its own
_STRAY = 0.05  # of the median vertebra: a disc of less says nothing
_REACH = 1.2  # usual distances from the nearest vertebra: a disc that is further away is none
_CORNERS = np.ones((3, 3, 3), bool)


def find_instances(indices: Indices, affine: Floats, scheme: LabelScheme) -> Found:
    """Cut a label map into the pieces of the column.

    What a network calls a piece is evidence, see :mod:`~spine_ignite.inference.levels.evidence`, but may differ from
    slice to slice and from half to half, and neighbours may have one name and touch. So vertebrae are told apart along
    the column: by the profile of the area of their insides over the heights along the curve, see
    :mod:`~spine_ignite.inference.levels.hills`. A connected piece of one class that lies in one vertebra with most of
    its inside belongs to it whole; others are cut across the column.

    Args:
        indices: class indices ``(I, J, K)``.
        affine: voxel indices to RAS+ mm.
        scheme: says which class is of which kind.
    """
    table = np.zeros(256, np.uint8)  # what is to be ignored too
    table[: scheme.num_classes] = [_KINDS.get(c.kind, 0) for c in scheme.classes]
    box = labelled_box(indices, table)
    if box is None:
        return nothing_found(affine)
    inside = np.ascontiguousarray(indices[box])
    kinds = table.take(inside)
    if not (kinds == 1).any():
        return nothing_found(affine)
    return _Finder(inside, kinds, affine, box, indices.shape).find()


class _Finder:
    """Works in the box around what is labelled; places are in RAS+ mm."""

    def __init__(self, indices: Indices, kinds: Indices, affine: Floats, box: Box, shape: tuple[int, ...]) -> None:
        self.indices, self.kinds, self.affine, self.box, self.shape = indices, kinds, affine, box, shape
        self.axis = sagittal_axis(affine)
        self.spacing = np.linalg.norm(affine[:3, :3], axis=0)
        self.millilitre = abs(float(np.linalg.det(affine[:3, :3]))) / 1000
        self.offset = np.array([part.start for part in box])

    def find(self) -> Found:
        vertebra = self.kinds == 1
        deep = self._inside(vertebra)
        if not deep.any():
            return nothing_found(self.affine)
        self.curve = fit_curve(self._fitting_points(deep))
        # What is no vertebra has no height that is asked for.
        self.height = np.full(self.kinds.shape, np.nan)
        labelled = self.kinds > 0
        self.height[labelled] = self.curve.heights(self._places(voxels_of(labelled)))
        area = self.millilitre * 1000
        blocks = find_blocks(self.height[deep], self.height[self.kinds == 2], area)
        local = np.zeros(self.kinds.shape, np.int16)
        self._assign_vertebrae(local, vertebra, deep, blocks)
        vertebrae = self._vertebrae(local, deep)
        spacing = _spacing(vertebrae)
        sacrum = self._sacrum(local, len(vertebrae) + 1)
        discs = self._discs(local, vertebrae, spacing, len(vertebrae) + (1 if sacrum is None else 2))
        moved = self.affine.copy()
        moved[:3, 3] += moved[:3, :3] @ self.offset
        room = self._room(vertebrae) if vertebrae else (0.0, 0.0)
        return Found(local, self.box, moved, vertebrae, discs, sacrum, self.curve, room)

    def _places(self, voxels: tuple[NDArray[np.intp], ...]) -> Floats:
        places: Floats = (np.stack(voxels, axis=1) + self.offset) @ self.affine[:3, :3].T + self.affine[:3, 3]
        return places

    def _inside(self, vertebra: Bools) -> Bools:
        """Return the voxels deep in a vertebra: far, in the sagittal plane, from its edge and from another name.

        Names that change from voxel to voxel leave no such place: then from its edge alone. None where there is none.
        """
        inner = vertebra.copy()
        for axis in range(3):
            if axis != self.axis:
                low = tuple(slice(None, -1) if a == axis else slice(None) for a in range(3))
                high = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
                other = self.indices[low] != self.indices[high]
                inner[low] &= ~other
                inner[high] &= ~other
        for mask in (inner, vertebra):
            depth = depths(mask, self.spacing, self.axis)
            usual = float(np.quantile(depth[mask], 0.98)) if mask.any() else 0.0
            if usual >= _THIN:
                deep: Bools = depth > min(_DEEPEST, _DEEP * usual)
                return deep
        return np.zeros_like(vertebra)

    def _fitting_points(self, deep: Bools) -> Floats:
        voxels = voxels_of(deep | (self.kinds > 1))
        step = 1 + len(voxels[0]) // _MOST_POINTS
        return self._places(tuple(axis[::step] for axis in voxels))

    def _assign_vertebrae(self, local: NDArray[np.int16], vertebra: Bools, deep: Bools, blocks: Blocks) -> None:
        """Give voxels of vertebrae the number of their block, from 1; what lies beyond the blocks further numbers."""
        left = np.zeros(vertebra.shape, bool)
        for index, place in enumerate(ndimage.find_objects(np.where(vertebra, self.indices, 0)), 1):
            if place is None:
                continue
            views = [array[place] for array in (local, left, deep, self.height)]
            for box, atom in connected(self.indices[place] == index, corners=False):
                _assign_atom(atom, *(view[box] for view in views), blocks=blocks)
        self._assign_rest(local, left)

    def _assign_rest(self, local: NDArray[np.int16], left: Bools) -> None:
        """Pieces without an inside join the vertebra that they touch; others are vertebrae of their own, or nothing."""
        if not left.any():
            return
        sizes = np.bincount(local[local > 0])[1:]
        least = _SLIVER * float(np.median(sizes[sizes > 0])) if sizes.any() else 0
        spans = [self._span(local, number, box) for number, box in enumerate(ndimage.find_objects(local), 1)]
        following = len(sizes) + 1
        for box, inside in connected(left):
            wide = tuple(slice(max(0, part.start - 1), part.stop + 1) for part in box)
            piece = np.zeros(local[wide].shape, bool)
            piece[tuple(slice(b.start - w.start, b.stop - w.start) for b, w in zip(box, wide, strict=True))] = inside
            touched = local[wide][ndimage.binary_dilation(piece, _CORNERS) & (local[wide] > 0)]
            if len(touched):
                local[wide][piece] = np.bincount(touched).argmax()
                continue
            middle = float(np.median(self.height[wide][piece]))
            beside = [place for place, (low, high) in enumerate(spans, 1) if low <= middle <= high]
            if beside or _is_close(middle, spans):
                local[wide][piece] = beside[0] if beside else _nearest(middle, spans)
            elif piece.sum() > least:
                local[wide][piece] = following
                following += 1

    def _span(self, local: NDArray[np.int16], number: int, box: Box | None) -> tuple[float, float]:
        if box is None:
            return np.inf, -np.inf
        low, high = np.quantile(self.height[box][local[box] == number], [0.02, 0.98])
        return float(low), float(high)

    def _vertebrae(self, local: NDArray[np.int16], deep: Bools) -> list[Instance]:
        """Describe the vertebrae, and number them from the lowest up."""
        unordered = []
        for number, box in enumerate(ndimage.find_objects(local), 1):
            if box is not None:
                inside = local[box] == number
                core = inside & deep[box]
                unordered.append(self._describe("vertebra", number, box, inside, core if core.any() else inside))
        ordered = sorted(unordered, key=lambda instance: instance.height)
        table = np.zeros(local.max(initial=0) + 1, np.int16)
        for place, instance in enumerate(ordered, 1):
            table[instance.id] = place
        owned = local > 0
        local[owned] = table[local[owned]]
        return [_numbered(instance, place) for place, instance in enumerate(ordered, 1)]

    def _describe(self, kind: Kind, number: int, box: Box, inside: Bools, core: Bools) -> Instance:
        voxels = voxels_of(inside)
        shift = np.array([part.start for part in box])
        centroid, middle = (
            self.affine[:3, :3] @ (np.mean(places, axis=1) + shift + self.offset) + self.affine[:3, 3]
            for places in (voxels, voxels_of(core))
        )
        low, height, high = np.quantile(self.height[box][core], [0.05, 0.5, 0.95])
        cut = any(
            axis != self.axis
            and (
                (part.start + whole.start == 0 and inside.take(0, axis).any())
                or (part.stop + whole.start == size and inside.take(-1, axis).any())
            )
            for axis, (part, whole, size) in enumerate(zip(box, self.box, self.shape, strict=True))
        )
        volume = len(voxels[0]) * self.millilitre
        return Instance(number, kind, centroid, middle, volume, float(height), (float(low), float(high)), bool(cut))

    def _sacrum(self, local: NDArray[np.int16], number: int) -> Instance | None:
        pieces = connected(self.kinds == 3)
        if not pieces:
            return None
        box, inside = max(pieces, key=lambda piece: np.count_nonzero(piece[1]))
        local[box][inside] = number
        return self._describe("sacrum", number, box, inside, inside)

    def _discs(self, local: NDArray[np.int16], vertebrae: list[Instance], spacing: float, first: int) -> list[Instance]:
        """Find discs: what lies between the middles of two vertebrae, and at one height, is one."""
        middles = np.array([vertebra.height for vertebra in vertebrae])
        groups: dict[int, list[tuple[float, int, Box, Bools]]] = {}
        for box, inside in connected(self.kinds == 2):
            places = np.searchsorted(middles, self.height[box][inside])
            shares = np.bincount(places)
            whole = shares.max() >= _WHOLE * shares.sum()
            for place in [int(shares.argmax())] if whole else np.flatnonzero(shares).tolist():
                part = inside.copy()
                if not whole:
                    part[inside] = places == place
                height = float(np.median(self.height[box][part]))
                groups.setdefault(place, []).append((height, int(part.sum()), box, part))
        least = _STRAY * float(np.median([vertebra.volume for vertebra in vertebrae])) / self.millilitre / 3
        discs: list[Instance] = []
        for _, group in sorted(groups.items()):
            for cluster in _clusters(group, spacing / 2):
                sizes = [size for _, size, _, _ in cluster]
                height = float(np.average([item[0] for item in cluster], weights=sizes))
                if sum(sizes) < least or min(abs(middles - height)) > spacing * _REACH:
                    continue
                number = first + len(discs)
                for _, _, box, part in cluster:
                    local[box][part] = number
                box = around([box for _, _, box, _ in cluster])
                inside = local[box] == number
                discs.append(self._describe("disc", number, box, inside, inside))
        return discs

    def _room(self, vertebrae: list[Instance]) -> tuple[float, float]:
        """Return mm from the lowest and the highest vertebra to the image's edge below and above."""
        axis = head_foot_axis(self.affine)
        inverse = np.linalg.inv(self.affine)
        low, high = (
            float((inverse[:3, :3] @ vertebra.centroid + inverse[:3, 3])[axis]) + 0.5
            for vertebra in (vertebrae[0], vertebrae[-1])
        )
        size = self.shape[axis]
        below, above = (low, size - high) if self.affine[2, axis] > 0 else (size - low, high)
        return below * float(self.spacing[axis]), above * float(self.spacing[axis])


def _is_close(height: float, spans: list[tuple[float, float]]) -> bool:
    """Whether a place lies so close to a vertebra's that no other has room there."""
    return any(low - _ROOM * (high - low) < height < high + _ROOM * (high - low) for low, high in spans)


def _nearest(height: float, spans: list[tuple[float, float]]) -> int:
    """Return the number, from 1, of the vertebra that is nearest to a place along the column."""
    return 1 + min(range(len(spans)), key=lambda place: max(spans[place][0] - height, height - spans[place][1]))


def _assign_atom(
    atom: Bools, local: NDArray[np.int16], left: Bools, deep: Bools, height: Floats, *, blocks: Blocks
) -> None:
    """Give a connected piece of one class to a block, or each of its voxels to one; without an inside it is left."""
    core = atom & deep
    if not core.any():
        left |= atom
        return
    shares = np.bincount(blocks.of(height[core]), minlength=blocks.count)
    whole = shares.max() >= _WHOLE * shares.sum()
    local[atom] = shares.argmax() + 1 if whole else blocks.of(height[atom]) + 1


def _numbered(instance: Instance, number: int) -> Instance:
    return replace(instance, id=number)


def _spacing(vertebrae: list[Instance]) -> float:
    """Distance of neighbouring vertebrae in mm: the median, 35 if there is one alone."""
    steps = np.diff([vertebra.height for vertebra in vertebrae])
    return float(np.median(steps)) if len(steps) else 35.0


def _clusters(group: list[tuple[float, int, Box, Bools]], reach: float) -> list[list[tuple[float, int, Box, Bools]]]:
    """Group pieces by height: a step of more than ``reach`` begins another."""
    clusters: list[list[tuple[float, int, Box, Bools]]] = []
    for item in sorted(group, key=lambda piece: piece[0]):
        if clusters and item[0] - clusters[-1][-1][0] <= reach:
            clusters[-1].append(item)
        else:
            clusters.append([item])
    return clusters
