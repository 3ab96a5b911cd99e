"""How measures are called and shown in tables and figures, and which way is better."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

Surfaces = Literal["area", "voxels"]  # what measures of surfaces count


@dataclass(frozen=True, slots=True)
class Shown:
    """A column of figures.

    Args:
        title: of a table's column.
        digits: behind the decimal point.
        better: 1 if higher is better, -1 if lower is, 0 if neither.
        unit: of what is shown.
        scale: what the figure is multiplied with to be shown.
        name: for the axis of a figure, where the title is an abbreviation.
        counted: what it counts, where that may be one thing or another.
    """

    title: str
    digits: int
    better: int
    unit: str = ""
    scale: float = 1.0
    name: str = ""
    counted: str = ""

    @property
    def heading(self) -> str:
        """Title, unit, and what is counted."""
        return self._with_details(self.title)

    @property
    def axis(self) -> str:
        """Full name, unit, and what is counted."""
        return self._with_details(self.name or self.title)

    def _with_details(self, title: str) -> str:
        details = ", ".join(detail for detail in (self.unit, self.counted) if detail)
        return f"{title} ({details})" if details else title

    def text(self, value: float | None) -> str:
        """The figure as shown; ``-`` where there is none."""
        if value is None or math.isnan(value):
            return "-"
        return f"{value * self.scale:.{self.digits}f}"


COSTS = {
    "parameters": Shown("Params", 2, -1, "M", 1e-6, "parameters"),
    "gflops": Shown("FLOPs", 2, -1, "G", 1.0, "operations of a slice"),
    "latency_ms": Shown("Latency", 1, -1, "ms"),
}
SHOWN = {
    "dice": Shown("Dice", 3, 1),
    "iou": Shown("IoU", 3, 1),
    "accuracy": Shown("PA", 4, 1, name="pixel accuracy"),
    "precision": Shown("Precision", 3, 1),
    "recall": Shown("Recall", 3, 1),
    "fnr": Shown("FNR", 3, -1, name="false negative rate"),
    "fpr": Shown("FPR", 2, -1, "10⁻³", 1e3, "false positive rate"),
    "hd95": Shown("HD95", 2, -1, "mm"),
    "assd": Shown("ASSD", 2, -1, "mm"),
    "nsd": Shown("NSD", 3, 1),
    "volume_error": Shown("Volume error", 3, 0),
}
OF_SURFACES = ("hd95", "assd", "nsd")
MISSED = Shown("Missed", 0, -1, name="structures missed over all cases")
# The columns of the paper's table; the others are in table.csv.
MAIN = ("dice", "iou", "accuracy", "recall", "fnr", "fpr", "hd95")
RANKABLE = tuple(name for name, shown in SHOWN.items() if shown.better and name != "accuracy")


def shown(name: str, surfaces: Surfaces) -> Shown:
    """Return how a measure is shown where surfaces were counted in this way."""
    return replace(SHOWN[name], counted=surfaces) if name in OF_SURFACES else SHOWN[name]
