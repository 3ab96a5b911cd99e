"""A picture per case: image, reference and prediction on the slice with most of the spine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from spine_ignite.drawing.panels import gray, overlay
from spine_ignite.files import write_atomically
from spine_ignite.labels import LabelScheme
from spine_ignite.names import FIGURE_SETTINGS, in_figure
from spine_ignite.volumes.geometry import SliceGrid
from spine_ignite.volumes.volume import Volume

_WIDEST = 4.0  # columns for each row: the picture of a volume with a single row would take gigabytes


def write_picture(
    path: Path,
    image: Volume,
    reference: NDArray[np.uint8],
    prediction: NDArray[np.uint8],
    scheme: LabelScheme,
    dice: float,
) -> None:
    """Write a PNG with image, reference and prediction side by side, in true proportions and with a legend.

    Args:
        path: where to.
        image: the case's image ``(I, J, K)``.
        reference: class indices of the same shape.
        prediction: likewise.
        scheme: names and colours.
        dice: the case's mean Dice, for the title.
    """
    grid = SliceGrid.from_geometry(image.array.shape, image.affine)
    truth, found = grid.label_to_slices(reference), grid.label_to_slices(prediction)
    middle = int(((truth > 0) | (found > 0)).sum(axis=(1, 2)).argmax())
    plane = grid.image_to_slices(image.array)[middle]
    panels: list[tuple[str, Any]] = [
        ("image", gray(plane)),
        ("reference", overlay(plane, truth[middle], scheme)),
        ("prediction", overlay(plane, found[middle], scheme)),
    ]
    rows, columns = (n * mm for n, mm in zip(grid.size, grid.spacing, strict=True))
    wide = min(columns / rows, _WIDEST)
    with matplotlib.rc_context(FIGURE_SETTINGS):
        figure = Figure(figsize=(3 * 4.2 * wide + 1.4, 4.7), layout="constrained")
        axes = figure.subplots(1, 3)
        for axis, (title, picture) in zip(axes, panels, strict=True):
            axis.imshow(picture, aspect=grid.spacing[0] / grid.spacing[1])
            axis.set_title(title, fontsize=10)
            axis.set_axis_off()
        present = sorted(set(np.unique(truth[middle])) | set(np.unique(found[middle])) - {0})
        handles = [_swatch(scheme, int(index)) for index in present if index]
        figure.legend(handles=handles, loc="outside right upper", fontsize=8, frameon=False)
        figure.suptitle(
            f"{in_figure(path.stem, 60)}, slice {middle + 1} of {grid.num_slices}, mean 3D Dice {dice:.3f}", fontsize=10
        )
        with write_atomically(path) as temporary:
            figure.savefig(temporary, dpi=110)


def _swatch(scheme: LabelScheme, index: int) -> Any:
    from matplotlib.patches import Patch

    entry = scheme.classes[index]
    return Patch(color=tuple(channel / 255 for channel in entry.color), label=in_figure(entry.name, 40))
