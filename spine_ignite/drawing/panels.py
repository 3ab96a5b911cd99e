"""Slices as RGB pictures: image, reference and prediction side by side."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spine_ignite.labels import IGNORE, LabelScheme


def gray(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Return an image ``(H, W)`` as RGB ``(H, W, 3)``, from its 1st to its 99th percentile."""
    low, high = np.percentile(image, (1, 99))
    scaled = (np.asarray(image, np.float32) - low) / max(float(high - low), 1e-6)
    return np.repeat((255 * scaled.clip(0, 1)).astype(np.uint8)[..., None], 3, axis=2)


def overlay(
    image: NDArray[Any], label: NDArray[np.uint8], scheme: LabelScheme, opacity: float = 0.5
) -> NDArray[np.uint8]:
    """Return an image ``(H, W)`` with the classes ``(H, W)`` in the scheme's colours, as RGB; what is ignored is white.

    Args:
        image: grey values.
        label: class indices.
        scheme: their colours.
        opacity: of the colours.
    """
    base = gray(image).astype(np.float32)
    known = np.array([c.color for c in scheme.classes], np.float32)
    colors = np.append(known, [[255, 255, 255]], axis=0)[np.where(label == IGNORE, len(known), label)]
    share = np.where(label > 0, opacity, 0.0)[..., None]
    blended: NDArray[np.uint8] = (base * (1 - share) + colors * share).round().astype(np.uint8)
    return blended


def side_by_side(
    image: NDArray[Any], reference: NDArray[np.uint8], prediction: NDArray[np.uint8], scheme: LabelScheme
) -> NDArray[np.uint8]:
    """Return image, reference and prediction next to each other: RGB ``(H, 3 W, 3)``."""
    panels = [gray(image), overlay(image, reference, scheme), overlay(image, prediction, scheme)]
    return np.concatenate(panels, axis=1)
