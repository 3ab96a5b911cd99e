"""Anatomical clean-up of a predicted volume, step by step.

A step is named by a string, see :class:`spine_ignite.config.postprocess.Step`; some may be restricted to classes, as in
``components:L5,L4``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spine_ignite.config.postprocess import LEVELS, Step, parse_step, steps, takes_classes
from spine_ignite.errors import RunError, UsageError
from spine_ignite.inference.postprocess.cleaned import Cleaned
from spine_ignite.labels import LabelScheme
from spine_ignite.registry import Chosen, load_registry

Indices = NDArray[np.uint8]
Affine = NDArray[np.float64]


def clean(
    indices: Indices,
    affine: Affine,
    scheme: LabelScheme,
    chosen: Sequence[str],
    probabilities: NDArray[np.floating] | None = None,
) -> Cleaned:
    """Take steps in their own order, whatever the order in which they are given.

    Args:
        indices: class indices ``(I, J, K)``.
        affine: voxel indices to RAS+ mm.
        scheme: its vertebrae and discs are listed from the sacrum up, a disc below the vertebra of the same place.
        chosen: the steps.
        probabilities: of each class at the voxels that are not background, in the array's order ``(M, classes)``, for
            the step ``levels``, which knows more with them.

    Raises:
        UsageError: there is no such step or class.
        RunError: a plugin's step fails.
    """
    order = list(steps())
    each = dict.fromkeys(parse_step(text) for text in chosen)  # once, however often it is named
    parsed = sorted(each, key=lambda step: order.index(step.component.name))
    ready = [(_choose(step), _classes(step, scheme)) for step in parsed]
    messages, column = [], None
    for step, given in ready:
        if step.component.name == LEVELS:
            given["probabilities"] = probabilities
        done = _checked(step, step(indices, affine, scheme, **given), indices, scheme)
        indices, column = done.indices, done.column or column
        messages.append(done.message)
    return Cleaned(indices, "; ".join(messages), column)


def _choose(step: Step) -> Chosen:
    chosen = load_registry().choose("cleanup-step", step.name)
    options = {name: value for name, value in chosen.options.items() if name != "classes"}  # given as indices
    return replace(chosen, options=options)


def _classes(step: Step, scheme: LabelScheme) -> dict[str, Any]:
    """Return the indices of the classes that a step is to clean, as its argument."""
    if not takes_classes(step.component):
        return {}
    structures = {c.name: c.index for c in scheme.classes[1:]}
    for label in step.classes:
        if label not in structures:
            raise UsageError(f"post-processing step '{step.name}': scheme '{scheme.name}' has no structure '{label}'")
    return {"classes": [structures[label] for label in step.classes or structures]}


def _checked(step: Chosen, done: Any, before: Indices, scheme: LabelScheme) -> Cleaned:
    """Refuse what cannot be written: a plugin's step is not believed."""
    if isinstance(done, Cleaned) and isinstance(done.indices, np.ndarray):
        found = done.indices
        if found.shape == before.shape and found.dtype == np.uint8 and found.max(initial=0) < scheme.num_classes:
            return done
    raise RunError(
        f"{step} must give a Cleaned with class indices (uint8, below {scheme.num_classes}) of shape {before.shape}; "
        "report this to its author, or leave it out"
    )


__all__ = ["Cleaned", "clean"]
