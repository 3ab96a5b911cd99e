"""How surely columns are named, and how often rightly, run beside run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from spine_ignite.compare.comparison import Comparison
from spine_ignite.compare.grids import Cell, Grid
from spine_ignite.evaluation.certainty import interval_text

_Text = Callable[[Mapping[str, Any]], tuple[str, str]]
_COLUMNS: dict[str, tuple[int, _Text]] = {
    "columns": (0, lambda found: (str(found["columns"]), "")),
    "named right": (1, lambda found: (f"{found['right']:.3f}", interval_text(found["right_interval"]).strip())),
    "Brier score": (-1, lambda found: (f"{found['brier']:.3f}", interval_text(found["brier_interval"]).strip())),
    "accepted": (1, lambda found: (str(found["accepted"]), "")),
    "wrong among them": (-1, lambda found: (str(found["accepted_wrong"]) if found["accepted"] else "-", "")),
    "variants right": (0, lambda found: (f"{found['variants_right']} of {found['variants']}", "")),
    "calibration error": (-1, lambda found: (f"{found.get('calibration_error', float('nan')):.3f}", "")),
}


def columns_grid(comparison: Comparison) -> Grid | None:
    """Return a row per run, ``-`` for one that named no levels; None if none did."""
    found = [run.summary.certainty for run in comparison.runs]
    if not any(found):
        return None
    shown = {
        heading: column
        for heading, column in _COLUMNS.items()
        if heading != "calibration error" or all("calibration_error" in figures for figures in found if figures)
    }
    rows = [tuple(Cell(*text(figures)) if figures else Cell("-") for _, text in shown.values()) for figures in found]
    better = tuple(direction for direction, _ in shown.values())
    return Grid("run", tuple(shown), better, tuple(comparison.names), tuple(rows))
