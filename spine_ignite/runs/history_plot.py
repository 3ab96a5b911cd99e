"""A run's epochs as a figure: the loss, and the Dice on the validation cases."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from spine_ignite.drawing.shown_figure import ShownFigure

_LOSSES = {"train/loss": "training", "validation/loss": "validation"}
_DICE = "validation/dice"


def plot_history(rows: Sequence[Mapping[str, Any]], title: str) -> ShownFigure:
    """Return the curves of an epoch's rows, as ``metrics.jsonl`` holds them.

    Args:
        rows: one an epoch; what a row lacks is left out of its curve.
        title: of the figure.
    """
    figure = ShownFigure(figsize=(9, 3.4), layout="constrained")
    loss, dice = figure.subplots(1, 2)
    for name, label in _LOSSES.items():
        _draw(loss, rows, name, label)
    _draw(dice, rows, _DICE, "validation")
    loss.set(xlabel="epoch", ylabel="loss")
    dice.set(xlabel="epoch", ylabel="mean Dice", ylim=(0, 1))
    for axes in (loss, dice):
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(frameon=False)
    figure.suptitle(title.replace("$", r"\$"))
    return figure


def _draw(axes: Any, rows: Sequence[Mapping[str, Any]], name: str, label: str) -> None:
    values = [(row["epoch"], row.get(name)) for row in rows]
    points = [(x, y) for x, y in values if isinstance(y, (int, float)) and math.isfinite(y)]
    if points:
        axes.plot(*zip(*points, strict=True), marker="." if len(points) < 40 else None, label=label)
