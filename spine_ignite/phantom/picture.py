"""A picture of some phantoms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from spine_ignite.drawing.panels import gray, overlay
from spine_ignite.files import write_atomically
from spine_ignite.labels import load_scheme
from spine_ignite.phantom.acquisition import make_phantom
from spine_ignite.phantom.phantom_options import PhantomOptions
from spine_ignite.volumes.geometry import SliceGrid


def write_picture(path: Path, cases: int, seed: int, options: PhantomOptions) -> None:
    """Write a PNG of the first training cases: the slice with most discs, alone and with its labels."""
    scheme = load_scheme(options.scheme)
    panels: list[tuple[NDArray[np.uint8], float]] = []
    for number in range(cases):
        phantom = make_phantom(seed, 0, number, options=options)
        grid = SliceGrid.from_geometry(phantom.label.shape, phantom.affine)
        image, label = grid.image_to_slices(phantom.image), grid.label_to_slices(phantom.label)
        discs = [c.value for c in scheme.classes if c.kind == "disc"]
        middle = int(np.isin(label, discs).sum(axis=(1, 2)).argmax())
        plane = image[middle]
        panels += [
            (gray(plane), grid.spacing[0]),
            (overlay(plane, scheme.to_indices(label[middle]), scheme), grid.spacing[0]),
        ]
    # All panels in one scale, side by side without gaps.
    heights = [len(picture) * mm for picture, mm in panels]
    widths = [picture.shape[1] * mm for picture, mm in panels]
    inch = 5.0 / max(heights)
    figure = Figure(figsize=(inch * sum(widths), 5.0), facecolor="black")
    left = 0.0
    for (picture, _), width, height in zip(panels, widths, heights, strict=True):
        axis = figure.add_axes((left / sum(widths), 0.0, width / sum(widths), height / max(heights)))
        axis.imshow(picture, interpolation="bicubic", aspect="auto")
        axis.set_axis_off()
        left += width
    with write_atomically(path) as temporary:
        figure.savefig(temporary, dpi=80, facecolor="black")
