"""Columns of boxes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from spine_ignite.labels import load_scheme

Boxes = Callable[..., tuple[NDArray[np.uint8], NDArray[np.float64]]]
SCHEME = load_scheme("spine")
SPACING = (4.0, 1.5, 1.5)
BODY, GAP, LOWEST = 16, 6, 30  # rows
RIB = SCHEME.names.index("rib")


def _boxes(
    names: list[str],
    ribs: dict[int, str] | None = None,
    slices: int = 17,
    sacrum: bool = True,
    others: list[str] | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Boxes from the lowest up in RAS+ with these names, in half of their slices with others, and ribs at their sides.

    A rib fills 2 x 12 x 10 voxels.
    """
    labels = np.zeros((slices, LOWEST + len(names) * (BODY + GAP) + 12, 60), np.uint8)
    middle = slices // 2
    if sacrum:
        labels[middle - 3 : middle + 4, 4 : LOWEST - GAP, 20:40] = SCHEME.names.index("S")
    for number, (name, other) in enumerate(zip(names, others or names, strict=True)):
        low = LOWEST + number * (BODY + GAP)
        labels[middle - 3 : middle + 4, low : low + BODY, 20:42] = SCHEME.names.index(name)
        labels[middle + 1 : middle + 4, low : low + BODY, 20:42] = SCHEME.names.index(other)
        for side in (ribs or {}).get(number, ""):
            first = middle - 6 if side == "L" else middle + 5  # x grows to the right
            labels[first : first + 2, low + BODY - 10 : low + BODY + 2, 8:18] = RIB
    affine = np.diag([SPACING[0], SPACING[2], SPACING[1], 1.0])[:, [0, 2, 1, 3]]
    return labels, affine


@pytest.fixture
def boxes() -> Boxes:
    """What makes a label map in the scheme ``spine``, and its affine."""
    return _boxes
