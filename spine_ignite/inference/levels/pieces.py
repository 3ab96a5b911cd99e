"""The pieces of a column: vertebrae, discs and the sacrum, whatever they are named."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from spine_ignite.inference.levels.curve import Curve

Floats = NDArray[np.float64]
Box = tuple[slice, slice, slice]
Kind = Literal["vertebra", "disc", "sacrum"]


@dataclass(frozen=True, slots=True)
class Instance:
    """One piece of the column.

    Args:
        id: its value in :attr:`Found.ids`.
        kind: what it is taken for.
        centroid: ``(3,)`` in RAS+ mm.
        middle: that of its inside: of a vertebra the middle of its body.
        volume: ml.
        height: of its middle along the curve, mm.
        extent: of its inside along the curve, from and to, mm.
        cut: whether the field of view cuts it off above, below, in front or behind.
    """

    id: int
    kind: Kind
    centroid: Floats
    middle: Floats
    volume: float
    height: float
    extent: tuple[float, float]
    cut: bool


@dataclass(frozen=True)
class Found:
    """The pieces of a column.

    Args:
        ids: number of the piece that each voxel of the box belongs to, 0 for none.
        box: the part of the volume that holds all that is labelled.
        affine: indices of the box's voxels to RAS+ mm.
        vertebrae: from the lowest up.
        discs: from the lowest up.
        sacrum: None if there is none.
        curve: the line of the column; None without one.
        room: mm from the middle of the lowest vertebra down to the edge of the image, and from that of the highest up.
    """

    ids: NDArray[np.int16]
    box: tuple[slice, slice, slice]
    affine: Floats
    vertebrae: list[Instance] = field(default_factory=list)
    discs: list[Instance] = field(default_factory=list)
    sacrum: Instance | None = None
    curve: Curve | None = None
    room: tuple[float, float] = (0.0, 0.0)

    @property
    def instances(self) -> list[Instance]:
        """All of them, in the order of their numbers."""
        sacrum = [] if self.sacrum is None else [self.sacrum]
        return sorted([*sacrum, *self.vertebrae, *self.discs], key=lambda instance: instance.id)


def nothing_found(affine: Floats) -> Found:
    """Return what is found where there is nothing."""
    nowhere = slice(0, 0)
    return Found(np.zeros((0, 0, 0), np.int16), (nowhere, nowhere, nowhere), affine)
