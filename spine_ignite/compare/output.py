"""The files of a comparison."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from spine_ignite.compare import plots
from spine_ignite.compare.comparison import Comparison
from spine_ignite.compare.grids import (
    classes_csv,
    classes_grid,
    group_letters,
    main_grid,
    pair_records,
    pairs_csv,
    table_csv,
)
from spine_ignite.compare.latex import latex_table
from spine_ignite.compare.markdown import markdown_page
from spine_ignite.compare.ranking import ALPHA, smallest_p
from spine_ignite.evaluation.measures import COSTS, shown
from spine_ignite.files import write_text
from spine_ignite.names import in_json
from spine_ignite.ownership import Listed, own_folder, remove_listed
from spine_ignite.plain_json import plain_data

_TABLES = (Listed("", r"comparison\.(md|json)|(table|classes|pairs)\.csv|(table|classes)\.tex"),)
_FIGURES = (Listed("", r"(boxplot|critical_difference|cost)\.(png|pdf)"),)


def write_comparison(comparison: Comparison, folder: Path) -> None:
    """Write tables (Markdown, CSV, LaTeX), figures (PNG and PDF) and ``comparison.json``.

    Raises:
        RunError: the folder cannot be written, is in use, or holds files of others under these names.
    """
    with own_folder(folder, "comparison", "is comparing into it", (*_TABLES, *_FIGURES)):
        figures = write_figures(comparison, folder)
        # Figures of an earlier comparison in this folder would belong to other tables.
        remove_listed(folder, "comparison", _FIGURES, keep=lambda path: path.stem in figures)
        write_text(folder / "comparison.md", markdown_page(comparison, figures))
        write_text(folder / "table.csv", table_csv(comparison))
        write_text(folder / "classes.csv", classes_csv(comparison))
        write_text(folder / "pairs.csv", pairs_csv(comparison))
        write_text(folder / "table.tex", latex_table(main_grid(comparison)))
        write_text(folder / "classes.tex", latex_table(classes_grid(comparison)))
        record = json.dumps(comparison_record(comparison), indent=2, ensure_ascii=False)
        write_text(folder / "comparison.json", in_json(record) + "\n")


def write_figures(comparison: Comparison, folder: Path) -> tuple[str, ...]:
    """Write the figures that there are figures for, runs in the order of the ranking; return their names."""
    ranking, measure = comparison.ranking, comparison.measure
    how, order = shown(measure, comparison.surfaces), list(ranking.order)
    per_case = comparison.scores.per_case(measure)
    names = [comparison.names[i] for i in order]
    written = []
    with plots.style():
        plots.save(plots.boxplot(names, per_case[order], how), folder, "boxplot")
        written.append("boxplot")
        if not np.isnan(ranking.mean_ranks).any():
            complete = int((~np.isnan(per_case).any(axis=0)).sum())
            diagram = plots.critical_difference(comparison.names, ranking.mean_ranks, ranking.cliques, complete)
            plots.save(diagram, folder, "critical_difference")
            written.append("critical_difference")
        costs = _known_costs(comparison, order)
        if costs:
            estimate = comparison.estimates[measure]
            limits = (estimate.mean[order], estimate.low[order], estimate.high[order])
            plots.save(plots.cost_plot(names, *limits, costs, how), folder, "cost")
            written.append("cost")
    return tuple(written)


def _known_costs(comparison: Comparison, order: list[int]) -> list[tuple[str, Any]]:
    """Axis label and values of parameters and FLOPs, as far as they are known."""
    found = []
    for name, label in (("parameters", "Parameters (M)"), ("gflops", "FLOPs of a slice (G)")):
        scale = COSTS[name].scale
        known = [getattr(comparison.costs[i], name, None) for i in order]
        values = np.array([math.nan if value is None else value * scale for value in known])
        if not np.isnan(values).all():
            found.append((label, values))
    return found


def comparison_record(comparison: Comparison) -> dict[str, Any]:
    """Everything as plain data for JSON; NaN becomes None."""
    ranking, cases = comparison.ranking, len(comparison.scores.cases)
    letters = group_letters(comparison)
    runs = [
        {
            "name": run.name,
            "path": str(run.path),
            "split": run.split,
            "manifest": run.head,
            "settings": run.summary.settings,
            "columns": run.summary.certainty,
            "cost": {name: getattr(cost, name) for name in (*COSTS, "setting")} if cost is not None else None,
            "mean_rank": ranking.mean_ranks[i],
            "group": letters[i],
            "measures": {
                name: {"mean": found.mean[i], "low": found.low[i], "high": found.high[i]}
                for name, found in comparison.estimates.items()
            },
            "classes": dict(
                zip(comparison.scores.labels, comparison.scores.per_class(comparison.measure)[i], strict=True)
            ),
            "per_case": dict(
                zip(comparison.scores.cases, comparison.scores.per_case(comparison.measure)[i], strict=True)
            ),
        }
        for i, (run, cost) in enumerate(zip(comparison.runs, comparison.costs, strict=True))
    ]
    record = {
        "cases": cases,
        "measure": comparison.measure,
        "interval": {"method": "BCa", "level": 0.95, "resamples": comparison.resamples, "seed": comparison.seed},
        "test": {
            "pairs": "Wilcoxon signed-rank, two-sided, Holm",
            "level": ALPHA,
            "smallest_p": smallest_p(cases),
        },
        "runs": runs,
        "order": [comparison.names[i] for i in ranking.order],
        "friedman": None
        if ranking.friedman is None
        else {name: getattr(ranking.friedman, name) for name in ("statistic", "freedom", "p", "cases")},
        "groups": [[comparison.names[i] for i in members] for members in ranking.cliques],
        "pairs": pair_records(comparison),
        "notes": list(comparison.notes),
    }
    plain: dict[str, Any] = plain_data(record)
    return plain
