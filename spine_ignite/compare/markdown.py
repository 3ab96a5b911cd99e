"""A comparison as a Markdown page."""

from __future__ import annotations

from collections.abc import Sequence

from spine_ignite.compare.columns_grid import columns_grid
from spine_ignite.compare.comparison import Comparison
from spine_ignite.compare.grids import Cell, Grid, classes_grid, main_grid, ranking_rows
from spine_ignite.compare.ranking import Ranking
from spine_ignite.evaluation.measures import SHOWN, shown
from spine_ignite.names import in_markdown

_ARROWS = {1: " ↑", -1: " ↓", 0: ""}
_OF_SURFACES = {
    "area": "HD95, ASSD and NSD weigh the elements of surfaces by their area (Nikolov et al. 2021).",
    "voxels": "HD95, ASSD and NSD count the voxels of surfaces, as MONAI does.",
}
_CAPTIONS = {
    "boxplot": "Each dot is a case. Box: quartiles; line: median; diamond: mean; whiskers: the farthest case within "
    "1.5 lengths of the box.",
    "critical_difference": "Mean ranks. A bar joins a largest set of runs without a significant difference, with a dot "
    "for each member.",
    "cost": "Accuracy against cost, with 95 % intervals; costs on logarithmic axes.",
}


def markdown_page(comparison: Comparison, figures: Sequence[str]) -> str:
    """Return the page: tables, ranking, notes, how it was computed; ``figures`` are file names beside it."""
    how = shown(comparison.measure, comparison.surfaces)
    runs, cases = len(comparison.runs), len(comparison.scores.cases)
    splits = {run.split for run in comparison.runs if run.split}
    judged = f" of the {splits.pop()} split" if len(splits) == 1 else ""
    columns, rows = ranking_rows(comparison)
    parts = [
        f"# {runs} runs on {cases} cases",
        f"{cases} cases{judged}, {len(comparison.scores.labels)} structures. In brackets 95 % intervals; best bold, "
        "second in italics; PA is pixel accuracy, ↑ higher is better, ↓ lower is.",
        grid_table(main_grid(comparison)),
        *(f"{in_markdown(note)}\n" for note in comparison.notes),
        f"## {how.heading} per structure",
        grid_table(classes_grid(comparison)),
        f"## Ranking by {how.heading} per case",
        _table([in_markdown(column) for column in columns], [[in_markdown(cell) for cell in row] for row in rows]),
        "Runs that share a letter do not differ significantly. " + friedman_sentence(comparison.ranking),
        "p of each pair, Wilcoxon's signed-rank test with Holm's correction; below 0.05 bold:",
        _pairs(comparison),
        *_columns(comparison),
        *(f"![{name}]({name}.png)\n\n{_CAPTIONS[name]}" for name in figures),
        "## How this was computed",
        method(comparison),
        *_heads(comparison),
    ]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _columns(comparison: Comparison) -> list[str]:
    """What is said of the columns, where a run named their levels."""
    grid = columns_grid(comparison)
    if grid is None:
        return []
    told = "Columns whose levels were named as a whole; in brackets 95 % intervals, by resampling patients."
    return ["## Certainty of levels", told, grid_table(grid)]


def grid_table(grid: Grid) -> str:
    """Return a grid as a Markdown table."""
    headings = [in_markdown(text) + _ARROWS[better] for text, better in zip(grid.headings, grid.better, strict=True)]
    rows = [[in_markdown(name), *map(_cell, row)] for name, row in zip(grid.names, grid.rows, strict=True)]
    return _table([grid.corner, *headings], rows)


def friedman_sentence(ranking: Ranking) -> str:
    """Say what Friedman's test gives; nothing for two runs."""
    found = ranking.friedman
    if found is None:
        return ""
    return (
        f"Friedman's test that all runs are alike: chi-square {found.statistic:.2f} with {found.freedom} degrees of "
        f"freedom, p {p_text(found.p)}, {found.cases} cases."
    )


def p_text(p: float) -> str:
    """A p-value for people: three decimals, or that it is below them."""
    return "-" if p != p else "< 0.001" if p < 0.001 else f"{p:.3f}"


def method(comparison: Comparison) -> str:
    """Say how the figures came about, for a methods section."""
    return (
        "Each measure is the mean over structures of its mean over the cases in which it is defined (pixel accuracy: "
        "the mean over cases); a structure that both reference and prediction lack is left out. Intervals: "
        f"bias-corrected and accelerated bootstrap (Efron 1987), {comparison.resamples} resamples of whole cases, seed "
        f"{comparison.seed}. Pairs: two-sided Wilcoxon signed-rank test on the mean {SHOWN[comparison.measure].title} "
        "of each case (differences of zero left out; exact where cases and ties permit) with Holm's correction (1979) "
        "for all pairs; groups are the largest sets of runs without a significant difference (Demšar 2006; Benavoli et "
        "al. 2016; Ismail Fawaz et al. 2019). Mean ranks are over cases, ties share a rank. "
        + _OF_SURFACES[comparison.surfaces]
    )


def _heads(comparison: Comparison) -> list[str]:
    """The heads of the runs' manifests, if there are any."""
    heads = [f"- {in_markdown(run.name)}: `{run.head}`" for run in comparison.runs if run.head is not None]
    said = "Heads of the runs' manifests, each to be compared with `spine-ignite verify RUN --expect HEAD`:"
    return [said, "\n".join(heads)] if heads else []


def _pairs(comparison: Comparison) -> str:
    names, order = comparison.names, comparison.ranking.order
    found = {frozenset((pair.first, pair.second)): pair for pair in comparison.ranking.pairs}
    rows = []
    for place, i in enumerate(order, 1):
        cells = []
        for j in order:
            pair = found.get(frozenset((i, j)))
            text = "" if pair is None else p_text(pair.p_holm)
            cells.append(f"**{in_markdown(text)}**" if pair is not None and pair.significant else in_markdown(text))
        rows.append([f"{place} {in_markdown(names[i])}", *cells])
    return _table(["", *(str(place) for place in range(1, len(order) + 1))], rows)


def _cell(cell: Cell) -> str:
    text = {1: f"**{cell.text}**", 2: f"*{cell.text}*"}.get(cell.place, cell.text)
    return f"{text} {in_markdown(cell.interval)}" if cell.interval else text


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(columns) + " |", "| " + " | ".join("---" for _ in columns) + " |"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])
