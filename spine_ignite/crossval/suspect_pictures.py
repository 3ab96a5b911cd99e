"""Pictures of the cases whose masks are to be looked at, and a page of them."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import matplotlib
import numpy as np
from matplotlib.figure import Figure

from spine_ignite.crossval.folds_plan import Plan, Progress
from spine_ignite.crossval.out_of_fold import Predictions, how_read, mask_source, scheme_of
from spine_ignite.crossval.suspect_table import Indices, Shown, Suspect, load_shown
from spine_ignite.drawing.panels import gray, overlay
from spine_ignite.files import write_atomically, write_text
from spine_ignite.labels import LabelScheme
from spine_ignite.names import FIGURE_SETTINGS, in_figure
from spine_ignite.ownership import Listed, listed

_WIDEST = 4.0  # columns for each row
_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Suspect masks</title><style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75em; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse } td, th { padding: .15em .8em; text-align: left; border-bottom: 1px solid #ddd }
img { max-width: 100%; display: block } section { margin: 2em 0 }
</style></head><body>
<h1>Which masks are to be looked at</h1>
<p>Each training case was predicted by a network that has not seen its patient. The score says how far mask and
prediction are apart, measured by how far they usually are; a high one is a reason to look, and no proof: it may be the
network that is wrong.</p>
{% for suspect, picture in shown %}<section>
<h2>{{ suspect.rank }}. {{ suspect.case }}</h2>
<p>Score {{ "%.2f"|format(suspect.score) }}, {{ suspect.kind }}: {{ suspect.says }}; slice {{ suspect.slice }}.</p>
<img alt="{{ suspect.case }}" src="data:image/png;base64,{{ picture }}">
</section>{% endfor %}
<h2>All cases</h2>
<table><tr>{% for name in columns %}<th>{{ name }}</th>{% endfor %}</tr>
{% for suspect in suspects %}<tr><td>{{ suspect.rank }}</td><td>{{ suspect.case }}</td><td>{{ suspect.patient }}</td>
<td>{{ suspect.fold }}</td><td>{{ "%.2f"|format(suspect.score) }}</td><td>{{ suspect.kind }}</td>
<td>{{ suspect.says }}</td></tr>
{% endfor %}</table></body></html>
"""


def show_suspects(
    plan: Plan, predictions: Predictions, suspects: Sequence[Suspect], count: int, progress: Progress | None = None
) -> None:
    """Draw the first ``count`` cases into ``suspects/``, and write them with all others as ``suspects.html``."""
    directory, scheme, reading = plan.directory, scheme_of(plan), how_read(plan)
    chosen = list(suspects[:count])
    shown = []
    for suspect in progress(chosen) if progress is not None else chosen:
        path = directory.pictures / f"{suspect.rank:03d}_{suspect.case}.png"
        found = predictions.cases[suspect.case]
        case = load_shown(found, predictions, mask_source(plan, found), reading)
        write_suspect_picture(path, case, suspect, scheme)
        shown.append((suspect, base64.b64encode(path.read_bytes()).decode("ascii")))
    kept = {directory.pictures / f"{suspect.rank:03d}_{suspect.case}.png" for suspect in chosen}
    if directory.pictures.is_dir():
        for path in set(listed(directory.pictures, (Listed("", r"\d{3,}_.+\.png"),))) - kept:  # of an earlier ranking
            if path.is_file() and not path.is_symlink():
                path.unlink()
    page = jinja2.Environment(autoescape=True).from_string(_PAGE)
    columns = ["rank", "case", "patient", "fold", "score", "kind", "what"]
    write_text(directory.page, page.render(shown=shown, suspects=suspects, columns=columns))


def write_suspect_picture(path: Path, case: Shown, suspect: Suspect, scheme: LabelScheme) -> None:
    """Write a PNG of the worst slice: the image, the mask, and the prediction with the mask's outlines in white."""
    grid, place = case.grid, suspect.slice - 1
    plane = grid.image_to_slices(case.image.array)[place]
    mask, prediction = (grid.label_to_slices(volume)[place] for volume in (case.mask, case.prediction))
    rows, columns = (n * mm for n, mm in zip(grid.size, grid.spacing, strict=True))
    wide = min(columns / rows, _WIDEST)
    with matplotlib.rc_context(FIGURE_SETTINGS):
        figure = Figure(figsize=(max(3 * 5.6 * wide, 7.0), 6.6), layout="constrained")
        axes = figure.subplots(1, 3)
        axes[0].imshow(gray(plane), aspect=grid.spacing[0] / grid.spacing[1])
        axes[1].imshow(overlay(plane, mask, scheme), aspect=grid.spacing[0] / grid.spacing[1])
        axes[2].imshow(overlay(plane, prediction, scheme), aspect=grid.spacing[0] / grid.spacing[1])
        _write_names(axes[1], mask, scheme)
        _write_names(axes[2], prediction, scheme)
        for index in np.unique(mask[mask > 0]):
            axes[2].contour(mask == index, levels=[0.5], colors="white", linewidths=0.9)
        for axis, title in zip(axes, ("image", "mask", "prediction; mask in white"), strict=True):
            axis.set_title(title, fontsize=10)
            axis.set_axis_off()
        figure.suptitle(
            f"{suspect.rank}. {in_figure(suspect.case, 60)}, slice {suspect.slice} of {grid.num_slices}, "
            f"score {suspect.score:.2f}\n{in_figure(suspect.says, 100)}",
            fontsize=10,
        )
        with write_atomically(path) as temporary:
            figure.savefig(temporary, dpi=100)


def _write_names(axis: Any, labels: Indices, scheme: LabelScheme) -> None:
    """Name vertebrae and the sacrum at their middle; names of discs would hide what they name."""
    for entry in scheme.classes:
        rows, columns = np.nonzero(labels == entry.index)
        if entry.kind in ("vertebra", "sacrum") and len(rows):
            place = {"x": columns.mean(), "y": rows.mean(), "ha": "center", "va": "center"}
            axis.text(s=in_figure(entry.name, 12), color="white", fontsize=8, **place)
