"""How measures are called and shown in tables and figures, and which way is better."""

from __future__ import annotations

import math
from dataclasses import dataclass


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
    """

    title: str
    digits: int
    better: int
    unit: str = ""
    scale: float = 1.0
    name: str = ""

    @property
    def heading(self) -> str:
        """Title and unit."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    @property
    def axis(self) -> str:
        """Full name and unit."""
        return f"{self.name or self.title} ({self.unit})" if self.unit else self.name or self.title

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
MISSED = Shown("Missed", 0, -1, name="structures missed over all cases")
# The columns of the paper's table; the others are in table.csv.
MAIN = ("dice", "iou", "accuracy", "recall", "fnr", "fpr", "hd95")
RANKABLE = tuple(name for name, shown in SHOWN.items() if shown.better and name != "accuracy")
