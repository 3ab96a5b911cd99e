"""The figures of a comparison, for a journal: 18 cm wide, 8 point, readable without colour."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from spine_ignite.compare.scores import Array
from spine_ignite.evaluation.measures import Shown
from spine_ignite.files import write_atomically
from spine_ignite.names import FIGURE_SETTINGS, in_figure

WIDTH = 7.1  # inches: two columns of most journals
_STYLE = {
    "font.size": 8,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "pdf.fonttype": 42,  # text stays text; type 3 fonts are refused by some publishers
    **FIGURE_SETTINGS,
}
_MARKERS = "osD^vP*X<>hp8dH"
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe and Ito


@contextmanager
def style() -> Iterator[None]:
    """What all figures share; make and save them inside."""
    with matplotlib.rc_context(_STYLE):
        yield


def save(figure: Figure, folder: Path, name: str) -> None:
    """Write ``name.png`` (300 dpi) and ``name.pdf``, the same bytes each time."""
    for suffix, options in (("png", {"dpi": 300}), ("pdf", {"metadata": {"CreationDate": None}})):
        with write_atomically(folder / f"{name}.{suffix}") as temporary:
            figure.savefig(temporary, **options)


def boxplot(names: Sequence[str], per_case: Array, how: Shown) -> Figure:
    """A box per run: quartiles, median (line), mean (diamond), whiskers to 1.5 lengths of the box, all cases as dots.

    Args:
        names: of the runs, from top to bottom.
        per_case: ``(runs, cases)``; NaN is left out and counted beside the name.
        how: the measure, for the axis.
    """
    values = [row[~np.isnan(row)] * how.scale for row in per_case]
    labels = [
        wrapped(name) + (f"\n(n = {len(row)} of {per_case.shape[1]})" if len(row) < per_case.shape[1] else "")
        for name, row in zip(names, values, strict=True)
    ]
    row = max(0.3, 0.06 + 0.13 * max(label.count("\n") + 1 for label in labels))
    figure = Figure(figsize=(WIDTH, 0.6 + row * len(names)), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(names))
    axes.boxplot(
        values, positions=places, orientation="horizontal", widths=0.62, showfliers=False, showmeans=True,
        patch_artist=True, boxprops={"facecolor": "0.88", "linewidth": 0.7}, whiskerprops={"linewidth": 0.7},
        capprops={"linewidth": 0.7}, medianprops={"color": "black", "linewidth": 1.6, "solid_capstyle": "butt"},
        meanprops={"marker": "D", "markerfacecolor": "white", "markeredgecolor": "black", "markersize": 4, "zorder": 4},
    )  # fmt: skip
    for place, cases in zip(places, values, strict=True):
        spread = (np.arange(len(cases)) * 0.618034 % 1 - 0.5) * 0.42  # golden ratio: even, and the same each time
        axes.plot(cases, place + spread, ".", color="0.25", markersize=2.6, alpha=0.55, markeredgewidth=0, zorder=3)
    axes.set_yticks(places, labels)
    axes.set_ylim(len(names) - 0.45, -0.55)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(f"{how.axis} per case, mean over structures")
    axes.grid(axis="x", linewidth=0.3, color="0.8")
    axes.set_axisbelow(True)
    return figure


def critical_difference(
    names: Sequence[str], mean_ranks: Array, cliques: Sequence[Sequence[int]], cases: int
) -> Figure:
    """Mean ranks on an axis, with a bar for each set of runs that do not differ significantly.

    The diagram of Demšar (Statistical comparisons of classifiers over multiple data sets, JMLR 7, 2006, figure 1), but
    the bars do not measure a critical difference of mean ranks: they join the largest sets of runs without a
    significant pair in Wilcoxon's test with Holm's correction (Benavoli et al., JMLR 17, 2016; Ismail Fawaz et al.,
    Deep learning for time series classification, Data Mining and Knowledge Discovery 33, 2019). Such a set need not be
    consecutive in rank, so a dot on the bar marks each member; a run that a bar passes without a dot differs from some
    member.

    Args:
        names: of the runs.
        mean_ranks: ``(runs,)``, 1 is best; none may be NaN.
        cliques: indices of runs.
        cases: what the ranks are means of.
    """
    count = len(names)
    order = np.argsort(mean_ranks, kind="stable")
    labels = _fitting(names, 1.68)
    margin, step = 2.1, 0.1 + 0.13 * max(label.count("\n") + 1 for label in labels)

    def x(rank: float) -> float:
        return float(margin + (WIDTH - 2 * margin) * (rank - 1) / (count - 1))

    bars = [[x(mean_ranks[i]) for i in members] for members in cliques]
    levels = _levels(bars)
    depth = 0.16 + 0.13 * (max(levels, default=-1) + 1) + 0.05
    half = math.ceil(count / 2)
    height = 0.34 + depth + step * max(half, count - half + 0.5) + 0.04
    figure = Figure(figsize=(WIDTH, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(0, height))
    axes.set_axis_off()
    top = height - 0.34
    axes.plot([x(1), x(count)], [top, top], color="black", linewidth=0.8)
    for rank in range(1, count + 1):
        axes.plot([x(rank)] * 2, [top, top + 0.06], color="black", linewidth=0.8)
        axes.text(x(rank), top + 0.09, str(rank), ha="center", va="bottom")
    axes.text(0.06, top + 0.09, f"mean rank over {cases} cases, 1 is best", va="bottom", fontsize=7)
    key = "bar: no significant difference" if len(cliques) else "all pairs differ significantly"
    axes.text(WIDTH - 0.06, top + 0.09, key, ha="right", va="bottom", fontsize=7)
    for position, i in enumerate(order):
        left = position < half
        row = position if left else count - position - 0.5  # lines of the two sides must not meet
        y = top - depth - step * (row + 0.5)
        edge, side, away = (margin - 0.34, "right", -0.05) if left else (WIDTH - margin + 0.34, "left", 0.05)
        axes.plot([x(mean_ranks[i])] * 2 + [edge], [top, y, y], color="0.35", linewidth=0.7)
        axes.text(edge, y + 0.02, f"{mean_ranks[i]:.2f}", ha="left" if left else "right", va="bottom", fontsize=6)
        axes.text(edge + away, y, labels[i], ha=side, va="center")
    for places, level in zip(bars, levels, strict=True):
        y = top - 0.16 - 0.13 * level
        axes.plot([min(places) - 0.05, max(places) + 0.05], [y, y], color="black", linewidth=2.4, solid_capstyle="butt")
        axes.plot(places, [y] * len(places), "o", color="black", markersize=4.2, linestyle="none")
    return figure


def cost_plot(
    names: Sequence[str], mean: Array, low: Array, high: Array, costs: Sequence[tuple[str, Array]], how: Shown
) -> Figure:
    """Accuracy against cost: a panel per cost with a logarithmic axis, a mark per run with its 95 % interval.

    Args:
        names: of the runs, in the order of the legend.
        mean: ``(runs,)`` of the measure.
        low: lower limits, NaN where there is none.
        high: upper limits.
        costs: label with unit, and values ``(runs,)``, NaN where unknown.
        how: the measure.
    """
    figure = Figure(
        figsize=(WIDTH, max(2.6, 0.5 + 0.2 * sum(wrapped(n).count("\n") + 1 for n in names))), layout="constrained"
    )
    panels = np.atleast_1d(figure.subplots(1, len(costs), sharey=True))
    handles: dict[int, Any] = {}
    for axes, (label, values) in zip(panels, costs, strict=True):
        for i in range(len(names)):
            if math.isnan(values[i] + mean[i]):
                continue
            colour = _COLOURS[i % len(_COLOURS)]
            if not math.isnan(low[i] + high[i]):
                axes.plot(
                    [values[i]] * 2, [low[i] * how.scale, high[i] * how.scale], color="0.6", linewidth=0.8, zorder=1
                )
            (handles[i],) = axes.plot(
                values[i], mean[i] * how.scale, _MARKERS[i % len(_MARKERS)], markersize=6, markerfacecolor=colour,
                markeredgecolor="black", markeredgewidth=0.6, linestyle="none", zorder=2,
            )  # fmt: skip
        axes.set_xscale("log")
        _plain_ticks(axes, values)
        axes.set_xlabel(label)
        axes.grid(linewidth=0.3, color="0.85")
        axes.set_axisbelow(True)
    panels[0].set_ylabel(f"{how.axis}, mean with 95 % interval")
    order = sorted(handles)
    figure.legend(
        [handles[i] for i in order],
        [wrapped(names[i]) for i in order],
        loc="outside right center",
        frameon=False,
        fontsize=7,
    )
    return figure


def wrapped(name: str, width: int = 28, lines: int = 3) -> str:
    """Break a long name into lines, after a separator if there is one; of one that is too long the middle is cut."""
    name = in_figure(name)
    if len(name) > width * lines:
        name = f"{name[: width * lines // 2 - 1]}…{name[-(width * lines // 2 - lines) :]}"
    found: list[str] = []
    while len(name) > width:
        breaks = [match.end() for match in re.finditer(r"[ _/+-]", name[:width])]
        end = breaks[-1] if breaks and len(name) - breaks[-1] <= width * (lines - len(found) - 1) else width
        found.append(name[:end].rstrip())
        name = name[end:].lstrip()
    return "\n".join([*found, name])


def _fitting(names: Sequence[str], inches: float) -> list[str]:
    """Break names into lines of which none is wider than this."""
    ruler, font = RendererAgg(1, 1, 72), FontProperties(size=_STYLE["font.size"])
    for width in range(28, 8, -1):
        labels = [wrapped(name, width) for name in names]
        lines = [line for label in labels for line in label.split("\n")]
        if max(ruler.get_text_width_height_descent(line, font, False)[0] for line in lines) <= 72 * inches:
            break
    return labels


def _levels(bars: Sequence[Sequence[float]]) -> list[int]:
    """Stack bars (places in inches) so that those of one level lie well apart."""
    ends: list[float] = []
    levels = []
    for bar in bars:
        level = next((i for i, end in enumerate(ends) if end + 0.25 < min(bar)), len(ends))
        ends[level : level + 1] = [max(bar)]
        levels.append(level)
    return levels


def _plain_ticks(axes: Any, values: Array) -> None:
    """Figures like 2, 5 and 10 on a logarithmic axis in place of powers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    known = values[~np.isnan(values)]
    low, high = known.min() / 1.5, known.max() * 1.5
    axes.set_xlim(low, high)
    decades = math.log10(high / low)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 2 else (1, 3) if decades < 4 else (1,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
