"""Values of the label schemes in which phantoms are labelled."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

_LUMBAR = tuple(f"L{n}" for n in range(5, 0, -1))
_THORACIC = tuple(f"T{n}" for n in range(12, 0, -1))
_BODIES = ("L6", *_LUMBAR, "T13", *_THORACIC)
_DISCS = (
    "L6/S", "L5/S", "L5/L6", "L4/L5", "L3/L4", "L2/L3", "L1/L2", "T12/L1", "T13/L1", "T12/T13",
    *(f"T{n}/T{n + 1}" for n in range(11, 0, -1)),
)  # fmt: skip
_ALL = ("background", "S", *_BODIES, *_DISCS, "canal", "cord", "rib")
SPINE_VALUES = {name: value for value, name in enumerate(_ALL)}
"""Value of each structure in the scheme ``spine``, in which all is painted."""


@cache
def _table(scheme: str) -> NDArray[np.uint8]:
    from spine_ignite.labels import load_scheme

    classes = {c.name: c.value for c in load_scheme(scheme).classes}
    # What is usual takes the name that the scheme has; an L4 on the sacrum, say, has a disc that no scheme knows.
    return np.array([classes.get(name, 0) for name in SPINE_VALUES], np.uint8)


def in_scheme(label: NDArray[np.uint8], scheme: str) -> NDArray[np.uint8]:
    """Return labels of the scheme ``spine`` as those of another; what has no class there is background."""
    return label if scheme == "spine" else _table(scheme)[label]
