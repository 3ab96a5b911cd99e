"""A picture of some phantoms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from spine_ignite.data.geometry import SliceGrid
from spine_ignite.data.phantom.acquisition import make_phantom
from spine_ignite.engines.pictures import gray, overlay
from spine_ignite.files import write_atomically
from spine_ignite.labels import load_scheme


def write_picture(path: Path, cases: int, seed: int = 0) -> None:
    """Write a PNG of the first training cases: the slice with most discs, alone and with its labels."""
    scheme = load_scheme("mrspineseg")
    figure = Figure(figsize=(2.15 * 2 * cases, 5.2), layout="constrained", facecolor="black")
    axes = figure.subplots(1, 2 * cases, squeeze=False)[0]
    for number in range(cases):
        phantom = make_phantom(seed, 0, number)
        grid = SliceGrid.from_geometry(phantom.label.shape, phantom.affine)
        image, label = grid.image_to_slices(phantom.image), grid.label_to_slices(phantom.label)
        middle = int((label > 10).sum(axis=(1, 2)).argmax())
        panels = (gray(image[middle]), overlay(image[middle], np.asarray(label[middle]), scheme))
        for axis, picture in zip(axes[2 * number : 2 * number + 2], panels, strict=True):
            axis.imshow(picture, interpolation="bicubic")
            axis.set_axis_off()
    with write_atomically(path) as temporary:
        figure.savefig(temporary, dpi=80, facecolor="black")
