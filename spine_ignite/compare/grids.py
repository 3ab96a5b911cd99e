"""The tables of a comparison: cells as they are shown, and CSV with all digits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from spine_ignite.compare.comparison import Comparison, missed_structures
from spine_ignite.csv_files import csv_text
from spine_ignite.evaluation.measures import COSTS, MAIN, MISSED, SHOWN, Shown, shown


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure as shown.

    Args:
        text: the figure, ``-`` where there is none.
        interval: its limits, or empty.
        place: 1 for the best of its column, 2 for the second, else 0; equal as shown is equally placed.
    """

    text: str
    interval: str = ""
    place: int = 0


@dataclass(frozen=True, slots=True)
class Grid:
    """A table: named rows of cells under headings; ``better`` of each column as in :class:`Shown`."""

    corner: str
    headings: tuple[str, ...]
    better: tuple[int, ...]
    names: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def main_grid(comparison: Comparison, measures: Sequence[str] = MAIN) -> Grid:
    """A row per run: costs where any is known, measures with their intervals, structures missed where any are."""
    columns: list[list[Cell]] = []
    titles: list[Shown] = []
    for name, cost in COSTS.items():
        values = [getattr(found, name) if found is not None else None for found in comparison.costs]
        if any(value is not None for value in values):
            columns.append(_place([Cell(cost.text(value)) for value in values], cost.better))
            titles.append(cost)
    for name in measures:
        estimate, how = comparison.estimates[name], shown(name, comparison.surfaces)
        limits = zip(estimate.low, estimate.high, strict=True)
        cells = [Cell(how.text(mean), interval(how, *limit)) for mean, limit in zip(estimate.mean, limits, strict=True)]
        columns.append(_place(cells, how.better))
        titles.append(how)
    missed = [missed_structures(run) for run in comparison.runs]
    if any(missed):
        columns.append(_place([Cell(str(count)) for count in missed], MISSED.better))
        titles.append(MISSED)
    return Grid(
        "run",
        tuple(how.heading for how in titles),
        tuple(how.better for how in titles),
        tuple(comparison.names),
        tuple(zip(*columns, strict=True)),
    )


def classes_grid(comparison: Comparison) -> Grid:
    """A row per class and one for their mean, a column per run, of the measure that is ranked by."""
    how = shown(comparison.measure, comparison.surfaces)
    values = [*comparison.scores.per_class(comparison.measure).T, comparison.estimates[comparison.measure].mean]
    rows = tuple(tuple(_place([Cell(how.text(value)) for value in row], how.better)) for row in values)
    return Grid(
        _of_class(comparison),
        tuple(comparison.names),
        (0,) * len(comparison.names),
        (*comparison.scores.labels, "mean"),
        rows,
    )


def _of_class(comparison: Comparison) -> str:
    how = shown(comparison.measure, comparison.surfaces)
    return f"class, {how.heading}" if how.counted else "class"


def ranking_rows(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of the ranking; runs that share a letter do not differ significantly."""
    how, ranking = shown(comparison.measure, comparison.surfaces), comparison.ranking
    estimate, letters = comparison.estimates[comparison.measure], group_letters(comparison)
    rows = [
        [
            str(place),
            comparison.names[i],
            "-" if math.isnan(ranking.mean_ranks[i]) else f"{ranking.mean_ranks[i]:.2f}",
            f"{how.text(estimate.mean[i])} {interval(how, estimate.low[i], estimate.high[i])}".strip(),
            letters[i],
        ]
        for place, i in enumerate(ranking.order, 1)
    ]
    return ["", "run", "mean rank", f"{how.heading} [95 % interval]", "group"], rows


def group_letters(comparison: Comparison) -> list[str]:
    """A letter for each clique, and one of its own for a run that differs from all: per run, in the order given."""
    ranking = comparison.ranking
    joined = {i for members in ranking.cliques for i in members}
    place = {run: position for position, run in enumerate(ranking.order)}
    groups = [*ranking.cliques, *((i,) for i in ranking.order if i not in joined)]
    groups.sort(key=lambda members: [place[i] for i in members])
    letters = [""] * len(ranking.order)
    for number, members in enumerate(groups):
        for i in members:
            letters[i] += chr(ord("a") + number) if number < 26 else f"({number})"
    return letters


def interval(how: Shown, low: float, high: float) -> str:
    """Limits as shown, or nothing where they are undefined."""
    return "" if math.isnan(low + high) else f"[{how.text(low)}, {how.text(high)}]"


def table_csv(comparison: Comparison) -> str:
    """A row per run with every measure, its limits, and what it was judged with; figures in full."""
    rows = []
    for i, (run, cost) in enumerate(zip(comparison.runs, comparison.costs, strict=True)):
        row: dict[str, Any] = {
            "run": run.name,
            "path": str(run.path),
            "cases": len(comparison.scores.cases),
            "surfaces": comparison.surfaces,
            "parameters": cost.parameters if cost else None,
            "gflops": cost.gflops if cost else None,
            "latency_ms": cost.latency_ms if cost else None,
            "input": " x ".join(map(str, cost.setting["size"])) if cost and cost.setting else None,
            "mean_rank": comparison.ranking.mean_ranks[i],
            "missed": missed_structures(run),
            "invented": sum(label.invented for label in run.summary.classes),
        }
        row |= {name: run.summary.means[name] for name in ("level_rate", "shifted")}
        for name in SHOWN:
            estimate = comparison.estimates[name]
            row |= {name: estimate.mean[i], f"{name}_low": estimate.low[i], f"{name}_high": estimate.high[i]}
        rows.append(row)
    return csv_text(list(rows[0]), (list(row.values()) for row in rows))


def classes_csv(comparison: Comparison) -> str:
    """A row per class, a column per run; figures in full."""
    values = comparison.scores.per_class(comparison.measure)
    means = comparison.estimates[comparison.measure].mean
    rows = [[label, *values[:, i].tolist()] for i, label in enumerate(comparison.scores.labels)]
    return csv_text([_of_class(comparison), *comparison.names], [*rows, ["mean", *means.tolist()]])


def pairs_csv(comparison: Comparison) -> str:
    """A row per pair of runs: difference with its interval, test, corrected p."""
    records = pair_records(comparison)
    return csv_text(list(records[0]), (list(record.values()) for record in records))


def pair_records(comparison: Comparison) -> list[dict[str, Any]]:
    """The pairs as plain data."""
    differences = comparison.differences
    return [
        {
            "first": comparison.names[pair.first],
            "second": comparison.names[pair.second],
            "cases": pair.cases,
            "difference": pair.difference,
            "difference_low": float(differences.low[i]),
            "difference_high": float(differences.high[i]),
            "first_better": pair.wins,
            "second_better": pair.losses,
            "statistic": pair.statistic,
            "p": pair.p,
            "p_holm": pair.p_holm,
            "significant": pair.significant,
        }
        for i, pair in enumerate(comparison.ranking.pairs)
    ]


def _place(cells: Sequence[Cell], better: int) -> list[Cell]:
    """Mark the best and the second best; nothing where neither direction is better or all are equal."""
    figures = {cell.text for cell in cells if cell.text != "-"}
    ranked = sorted(figures, key=float, reverse=better > 0)
    if not better or len(ranked) < 2:
        return list(cells)
    places = {text: place for place, text in enumerate(ranked[:2], 1)}
    return [Cell(cell.text, cell.interval, places.get(cell.text, 0)) for cell in cells]
