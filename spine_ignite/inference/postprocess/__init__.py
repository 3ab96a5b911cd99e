"""Anatomical clean-up of a predicted volume, step by step.

A step is named by a string, see :data:`spine_ignite.config.postprocess.STEPS`; some may be restricted to classes, as in
``components:L5,L4``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from spine_ignite.config.postprocess import STEPS, check_step
from spine_ignite.errors import UsageError
from spine_ignite.inference.postprocess.cleaned import Cleaned
from spine_ignite.inference.postprocess.column import anchor_on_sacrum, name_discs
from spine_ignite.inference.postprocess.levels import order_levels
from spine_ignite.inference.postprocess.shapes import fill_holes, keep_largest
from spine_ignite.labels import LabelScheme

Indices = NDArray[np.uint8]
Affine = NDArray[np.float64]

_COLUMN: dict[str, Callable[[Indices, Affine, LabelScheme], Cleaned]] = {
    "levels": order_levels,
    "sacrum": anchor_on_sacrum,
    "discs": name_discs,
}
_SHAPES: dict[str, Callable[[Indices, Affine, Sequence[int]], Cleaned]] = {
    "components": keep_largest,
    "holes": fill_holes,
}


def clean(indices: Indices, affine: Affine, scheme: LabelScheme, steps: Sequence[str]) -> Cleaned:
    """Take the steps, in their own order, whatever the order in which they are given.

    Args:
        indices: class indices ``(I, J, K)``.
        affine: voxel indices to RAS+ mm.
        scheme: its vertebrae and discs are listed from the sacrum up, a disc below the vertebra of the same place.
        steps: their names.

    Raises:
        UsageError: there is no such step or class.
    """
    chosen = [_parse(step, scheme) for step in steps]
    messages = []
    for name, classes in sorted(chosen, key=lambda step: list(STEPS).index(step[0])):
        done = _COLUMN[name](indices, affine, scheme) if name in _COLUMN else _SHAPES[name](indices, affine, classes)
        indices = done.indices
        messages.append(done.message)
    return Cleaned(indices, "; ".join(messages))


def _parse(step: str, scheme: LabelScheme) -> tuple[str, list[int]]:
    name, _, classes = check_step(step).partition(":")
    structures = {c.name: c.index for c in scheme.classes[1:]}
    if not classes:
        return name, list(structures.values())
    unknown = [label for label in classes.split(",") if label not in structures]
    if unknown:
        raise UsageError(f"post-processing step '{step}': scheme '{scheme.name}' has no structure '{unknown[0]}'")
    return name, [structures[label] for label in classes.split(",")]


__all__ = ["Cleaned", "clean"]
