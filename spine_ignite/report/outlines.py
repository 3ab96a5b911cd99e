"""A case as a picture: image, reference and prediction as outlines that stay sharp at any size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spine_ignite.drawing.contours import css_color, image_uri, outline
from spine_ignite.labels import IGNORE, LabelClass, LabelScheme
from spine_ignite.report.extremes import Indices, ShownCase

_MARGIN = 8.0  # mm between a name and the upper and lower edge, so that it is not cut off


@dataclass(frozen=True, slots=True)
class Outline:
    """A structure in a slice: its name, its colour as ``#rrggbb`` and an SVG path along its pixels, in pixels."""

    name: str
    color: str
    path: str


@dataclass(frozen=True, slots=True)
class Label:
    """A name written on the picture at ``x``, ``y`` mm; ``wrong`` if the reference calls that structure otherwise."""

    x: float
    y: float
    text: str
    wrong: bool


@dataclass(frozen=True, slots=True)
class Panel:
    """One of the views of a picture: outlines and names over the slice; ``beneath`` are paths to compare them with."""

    title: str
    outlines: tuple[Outline, ...] = ()
    labels: tuple[Label, ...] = ()
    beneath: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Picture:
    """A slice of a case.

    Args:
        name: the case.
        rank: see :class:`~spine_ignite.report.extremes.Extreme`.
        dice: its mean Dice, in 3D.
        place: ``slice 8 of 15``.
        image: the slice as the URI of a PNG.
        size: rows and columns in pixels.
        extent: height and width in mm.
        panels: image, reference, prediction.
    """

    name: str
    rank: str
    dice: float
    place: str
    image: str
    size: tuple[int, int]
    extent: tuple[float, float]
    panels: tuple[Panel, ...]


def picture(case: ShownCase, scheme: LabelScheme) -> Picture:
    """Draw the sagittal slice with most of the spine; slices count from the patient's right, from 1."""
    grid, middle = case.grid, case.middle
    truth, found = (grid.label_to_slices(volume)[middle] for volume in (case.reference, case.prediction))
    expected = _outlines(truth, scheme)
    panels = (
        Panel("Image"),
        Panel("Reference", expected, _labels(truth, None, scheme, grid.spacing)),
        Panel(
            "Prediction",
            _outlines(found, scheme),
            _labels(found, truth, scheme, grid.spacing),
            tuple(shape.path for shape in expected),
        ),
    )
    return Picture(
        name=case.name,
        rank=case.extreme.rank,
        dice=case.extreme.result.dice,
        place=f"slice {middle + 1} of {grid.num_slices}",
        image=image_uri(grid.image_to_slices(case.image.array)[middle]),
        size=grid.size,
        extent=(grid.size[0] * grid.spacing[0], grid.size[1] * grid.spacing[1]),
        panels=panels,
    )


def _outlines(labels: Indices, scheme: LabelScheme) -> tuple[Outline, ...]:
    present = [scheme.classes[int(index)] for index in np.unique(labels) if index not in (0, IGNORE)]
    return tuple(Outline(c.name, css_color(c), outline(labels == c.index)) for c in present)


def _labels(
    labels: Indices, truth: Indices | None, scheme: LabelScheme, spacing: tuple[float, float]
) -> tuple[Label, ...]:
    """Names of the vertebrae and the sacrum, at their middle; those of discs would hide what they name."""
    written = []
    for entry in scheme.classes:
        rows, columns = np.nonzero(labels == entry.index)
        if entry.kind in ("vertebra", "sacrum") and len(rows):
            wrong = truth is not None and _other_name(truth[rows, columns], entry, scheme)
            x, y = (float(places.mean() + 0.5) * mm for places, mm in ((columns, spacing[1]), (rows, spacing[0])))
            y = min(max(y, _MARGIN), len(labels) * spacing[0] - _MARGIN)
            written.append(Label(round(x, 1), round(y, 1), entry.name, wrong))
    return tuple(written)


def _other_name(truth: Indices, entry: LabelClass, scheme: LabelScheme) -> bool:
    """Whether most of what is predicted as a level is another one in the reference; background does not count."""
    levels = [c.index for c in scheme.classes if c.kind in ("vertebra", "sacrum")]
    counts = np.bincount(truth, minlength=scheme.num_classes)[levels]
    return bool(counts.any()) and levels[int(counts.argmax())] != entry.index
