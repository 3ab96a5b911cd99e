"""The two pictures of a case: grey values as a JPEG, outlines that can be clicked on, names."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spine_ignite.drawing.contours import css_color, image_uri, outline
from spine_ignite.labels import LabelScheme
from spine_ignite.review.reformation import STEP, Surface

_MARGIN = 7.0  # pixels between a name and the edge


@dataclass(frozen=True, slots=True)
class Shape:
    """A structure in a picture: its name, its colour, an SVG path, and where its name is written if it is."""

    name: str
    kind: str
    color: str
    path: str
    at: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture.

    Args:
        title: which.
        image: the URI of a JPEG; empty without an image.
        size: rows and columns in pixels.
        shapes: what is labelled.
        knots: RAS+ mm of the left edge, every ``step`` pixels from above: ``x,y,z;x,y,z…``.
        across: RAS+ mm of a pixel to the right.
        step: pixels between two knots.
    """

    title: str
    image: str
    size: tuple[int, int]
    shapes: tuple[Shape, ...]
    knots: str
    across: str
    step: int = STEP


def draw(surface: Surface, title: str, scheme: LabelScheme) -> Picture:
    """Draw a picture along the column; vertebrae and the sacrum have their names written on them."""
    rows, columns = surface.labels.shape
    shapes = []
    for index in np.unique(surface.labels).tolist():
        if index == 0:
            continue
        entry = scheme.classes[index]
        mask = surface.labels == index
        at = None
        if entry.kind in ("vertebra", "sacrum"):
            y, x = (float(place.mean()) + 0.5 for place in np.nonzero(mask))
            at = (round(x, 1), round(min(max(y, _MARGIN), rows - _MARGIN), 1))
        shapes.append(Shape(entry.name, entry.kind, css_color(entry), outline(mask), at))
    return Picture(
        title,
        "" if surface.image is None else image_uri(surface.image, "jpeg"),
        (rows, columns),
        tuple(shapes),
        ";".join(",".join(f"{mm:.1f}" for mm in knot) for knot in surface.knots),
        ",".join(f"{mm:.4f}" for mm in surface.across),
    )
