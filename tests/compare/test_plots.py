"""The figures: nothing may overlap or be cut off, whatever the runs are called."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from spine_ignite.compare import plots
from spine_ignite.compare.ranking import rank
from spine_ignite.evaluation.measures import SHOWN

LONG = [
    "2026-01-31_ccnet_resnet50s_recurrence2_lr1e-3_fold0",
    "2026-01-31_ccnet_resnet50s_recurrence2_lr1e-3_fold1",
    "unet",
    "a name without any place to break it at that is far too long for one line" * 2,
    "transunet $r50$ vit-b/16",
    "DEEPLABV3PLUS_RESNET101S_OS8 WITH WIDE MMMMMMMMMMMMMMMM",
]
NAMES = [*LONG, *(f"{name}/{number}" for number, name in enumerate(LONG))]


def texts(figure: Figure) -> list[Text]:
    """Every text that is drawn."""
    found = [text for legend in figure.legends for text in legend.get_texts()]
    for axes in figure.axes:
        found += axes.texts
        if axes.axison:
            found += [axes.xaxis.label, axes.yaxis.label]
            for axis in (axes.xaxis, axes.yaxis):
                low, high = sorted(axis.get_view_interval())
                found += [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    return [text for text in found if text.get_visible() and text.get_text().strip()]


def require_readable(figure: Figure) -> None:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    boxes = [(text.get_text(), text.get_window_extent(canvas.get_renderer())) for text in texts(figure)]
    for words, box in boxes:
        assert box.x0 >= -1, f"{words!r} is cut off"
        assert box.y0 >= -1, f"{words!r} is cut off"
        assert box.x1 <= figure.bbox.width + 1, f"{words!r} is cut off"
        assert box.y1 <= figure.bbox.height + 1, f"{words!r} is cut off"
    for (one, first), (two, second) in combinations(boxes, 2):
        wide = min(first.x1, second.x1) - max(first.x0, second.x0)
        high = min(first.y1, second.y1) - max(first.y0, second.y0)
        assert min(wide, high) <= 1.5, f"{one!r} and {two!r} overlap"


def figures(per_case: np.ndarray, names: list[str]) -> list[Figure]:
    found = rank(per_case, higher_is_better=True)
    mean = np.nanmean(per_case, axis=1)
    costs = [
        ("Parameters (M)", 10 ** np.linspace(-1, 2, len(names))),
        ("FLOPs of a slice (G)", np.full(len(names), 7.0)),
    ]
    costs[1][1][0] = np.nan
    limits = (mean, mean - 0.02, np.where(np.arange(len(names)) == 1, np.nan, mean + 0.02))
    return [
        plots.boxplot(names, per_case, SHOWN["dice"]),
        plots.critical_difference(names, found.mean_ranks, found.cliques, per_case.shape[1]),
        plots.cost_plot(names, *limits, costs, SHOWN["dice"]),
    ]


@pytest.mark.parametrize("count", [2, 3, 12])
@pytest.mark.parametrize("kind", ["close", "alike", "dominant"])
def test_texts_neither_overlap_nor_are_cut(count: int, kind: str) -> None:
    rng = np.random.default_rng(count)
    per_case = 0.8 + rng.normal(0, 0.05, (1, 20)) + rng.normal(0, 0.02, (count, 20)) * (kind != "alike")
    if kind == "dominant":
        per_case[0] += 0.3
    per_case[count - 1, :3] = np.nan
    with plots.style():
        for figure in figures(per_case, NAMES[:count]):
            require_readable(figure)


def test_dots_and_bars_stand_at_the_mean_ranks() -> None:
    names, ranks = ["a", "b", "c"], np.array([1.0, 2.5, 2.5])
    with plots.style():
        figure = plots.critical_difference(names, ranks, [(1, 2)], 9)
    (axes,) = figure.axes
    ticks = {text.get_text(): text.get_position()[0] for text in axes.texts if text.get_text() in ("1", "2", "3")}
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    assert len(dots) == 1
    assert dots[0].get_xdata() == pytest.approx([(ticks["2"] + ticks["3"]) / 2] * 2)


def test_a_name_is_broken_at_its_separators_and_cut_in_its_middle() -> None:
    assert plots.wrapped("unet") == "unet"
    assert plots.wrapped("deeplabv3plus_resnet101s_os8_fold0", 25) == "deeplabv3plus_resnet101s_\nos8_fold0"
    long = "x" * 60 + "_fold0"
    assert plots.wrapped(long, 12).endswith("_fold0"), "the end tells runs apart"
    assert all(len(line) <= 12 for line in plots.wrapped(long, 12).splitlines())
    assert len(plots.wrapped(long, 12).splitlines()) == 3


def test_figures_are_written_as_png_and_pdf(tmp_path: Path) -> None:
    with plots.style():
        plots.save(
            plots.boxplot(["a", "b"], np.random.default_rng(0).random((2, 9)), SHOWN["hd95"]), tmp_path, "boxplot"
        )
    assert (tmp_path / "boxplot.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "boxplot.pdf").read_bytes().startswith(b"%PDF")
