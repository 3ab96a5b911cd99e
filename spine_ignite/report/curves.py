"""Training curves: where the lines, ticks and points of a chart are. The page draws them as SVG."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spine_ignite.report.series import Series

WIDTH, HEIGHT = 420, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 12, 34
_MOST_POINTS = 120  # of a line that are drawn as dots; more would run together
_TINY = 1e-100  # taken for 0

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Tick:
    """A place on an axis, in units of the drawing, and its text."""

    place: float
    text: str


@dataclass(frozen=True, slots=True)
class Dot:
    """A point of a line, in units of the drawing, and what it stands for."""

    x: float
    y: float
    text: str


@dataclass(frozen=True, slots=True)
class Line:
    """A curve: its name, its SVG path and its points."""

    name: str
    path: str
    dots: tuple[Dot, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing ``WIDTH`` wide and ``HEIGHT`` high of some quantity by epoch.

    Args:
        title: what is drawn.
        summary: the same in words, for those who cannot see it.
        lines: the curves.
        across: ticks of the epochs.
        up: ticks of the quantity.
        mark: the epoch to be marked, and what it is.
        by: what is drawn across.
    """

    title: str
    summary: str
    lines: tuple[Line, ...]
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    mark: Tick | None = None
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    top: int = _TOP
    bottom: int = HEIGHT - _BOTTOM
    by: str = "epoch"


_CHARTS = {
    "Loss": {"training": "train/loss", "validation": "validation/loss"},
    "Validation": {"Dice": "validation/dice", "IoU": "validation/iou", "recall": "validation/recall"},
    "Learning rate": {"learning rate": "lr"},
}


def training_charts(epochs: Iterable[dict[str, Any]]) -> list[Chart]:
    """Return the charts of a training: loss, validation, learning rate; those without any figure are left out.

    Args:
        epochs: lines of ``metrics.jsonl``; they are looked at one by one, and of long curves some points are kept.
    """
    series = {key: Series() for keys in _CHARTS.values() for key in keys.values()}
    span: tuple[float, float] | None = None
    for line in epochs:
        epoch = float(line["epoch"])
        span = (epoch, epoch) if span is None else (min(span[0], epoch), max(span[1], epoch))
        for key, curve in series.items():
            value = line.get(key)
            if isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**53):
                curve.add(epoch, float(value))
    points = {key: list(curve) for key, curve in series.items()}
    best = _best(points["validation/dice"])
    charts = []
    for title, keys in _CHARTS.items():
        lines = {name: points[key] for name, key in keys.items() if points[key]}
        if lines and span is not None:
            charts.append(chart(title, lines, span, best if title == "Validation" else None))
    return charts


def chart(
    title: str,
    lines: Mapping[str, Points],
    span: tuple[float, float],
    mark: tuple[float, str] | None = None,
    by: str = "epoch",
) -> Chart:
    """Lay out a chart.

    Args:
        title: what is drawn.
        lines: points (epoch, value) by name, in the order of the epochs; at least one point.
        span: the first and the last epoch of the axis.
        mark: an epoch to be marked, and what it is.
        by: what an epoch is called, where it is something else.
    """
    ys = [y for points in lines.values() for _, y in points]
    across = ticks(*span, whole=True)
    up = ticks(min(0.0, *ys), max(ys))
    x_range = (span[0], max(span[1], span[0] + 1))
    y_range = (up[0], up[-1])

    def x(value: float) -> float:
        return _scale(value, x_range, (_LEFT, WIDTH - _RIGHT))

    def y(value: float) -> float:
        return _scale(value, y_range, (HEIGHT - _BOTTOM, _TOP))

    return Chart(
        title=title,
        summary=f"{title} by {by}: " + "; ".join(_in_words(name, points, by) for name, points in lines.items()),
        lines=tuple(_line(name, [(x(a), y(b)) for a, b in points], points, by) for name, points in lines.items()),
        across=tuple(Tick(x(value), f"{value:g}") for value in across if x_range[0] <= value <= x_range[1]),
        up=tuple(Tick(y(value), f"{value:g}") for value in up),
        mark=Tick(x(mark[0]), mark[1]) if mark is not None else None,
        by=by,
    )


def ticks(low: float, high: float, whole: bool = False, most: int = 6) -> list[float]:
    """Return up to about ``most`` round numbers, evenly spaced, from at or below ``low`` to at or above ``high``."""
    span, largest = high - low, max(abs(low), abs(high))
    if span <= max(1e-5 * largest, _TINY):  # no digits are left to tell the two apart
        span = largest if largest > _TINY else 1.0
    rough = span / (most - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(n * power for n in (1, 2, 2.5, 5, 10) if n * power >= rough * (1 - 1e-9))
    if whole:
        step = max(1.0, math.ceil(step))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{n * step:.12g}") for n in range(first, max(last, first + 1) + 1)]


def _best(dice: Points) -> tuple[float, str] | None:
    if not dice:
        return None
    epoch, value = max(dice, key=lambda point: point[1])
    return epoch, f"best Dice {value:.3f}, epoch {epoch:g}"


def _line(name: str, places: Points, points: Points, by: str) -> Line:
    path = "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dots = tuple(
        Dot(round(x, 1), round(y, 1), f"{name} {value:.4g}, {by} {epoch:g}")
        for (x, y), (epoch, value) in zip(places, points, strict=True)
    )
    return Line(name, path, dots if len(dots) <= _MOST_POINTS else ())


def _scale(value: float, source: tuple[float, float], target: tuple[float, float]) -> float:
    share = (value - source[0]) / (source[1] - source[0])
    return target[0] + share * (target[1] - target[0])


def _in_words(name: str, points: Points, by: str) -> str:
    (first, start), (last, end) = points[0], points[-1]
    return f"{name} from {start:.4g} in {by} {first:g} to {end:.4g} in {by} {last:g}"
