"""What a study found: the comparison over all cells, and what a comparison of single runs cannot say."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from spine_ignite.compare.comparison import Comparison, Progress, compare_scores, require_rankable
from spine_ignite.names import counted
from spine_ignite.studies.making import Study
from spine_ignite.studies.pooling import Pooled, Split, pool
from spine_ignite.studies.seal import Opening, judged_beside, read_openings, read_seal
from spine_ignite.studies.spread import DIFFERENCE, Interval, interval, needed_cases, visible_difference


@dataclass(frozen=True)
class OfMethod:
    """A method over its trainings.

    Args:
        name: of the method.
        cells: over all cells; the interval allows for what folds have in common.
        seeds: over the means of each seed.
        folds: over the means of each fold.
    """

    name: str
    cells: Interval
    seeds: Interval
    folds: Interval


@dataclass(frozen=True)
class OfPair:
    """Two methods, cell by cell and case by case.

    Args:
        first: name of a method.
        second: of another.
        cells: differences, first minus second, of cells of one fold and seed.
        deviation: of the differences per case, each the mean over trainings.
        needed: cases that a paired test needs to see the difference that was asked for.
        visible: the smallest difference that the cases there are let be seen.
    """

    first: str
    second: str
    cells: Interval
    deviation: float
    needed: float
    visible: float


@dataclass(frozen=True)
class StudyReport:
    """What a study found.

    Args:
        study: the study.
        split: which cases were judged.
        comparison: of the methods, case by case, each case as the mean over trainings.
        pooled: the figures of the cells.
        methods: over their trainings.
        pairs: of methods.
        difference: that is to be seen.
        openings: of the test set, until now.
        notes: what a reader must know besides the comparison's own.
    """

    study: Study
    split: Split
    comparison: Comparison
    pooled: Pooled
    methods: tuple[OfMethod, ...]
    pairs: tuple[OfPair, ...]
    difference: float
    openings: tuple[Opening, ...]
    notes: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """Where its tables and figures lie."""
        return self.study.directory.report(self.split)


def make_report(
    study: Study,
    split: Split = "validation",
    *,
    measure: str = "dice",
    difference: float = DIFFERENCE,
    seed: int = 0,
    resamples: int = 10_000,
    cost: bool = True,
    progress: Progress | None = None,
) -> StudyReport:
    """Compare all cells of a study; nothing is written.

    Args:
        study: the study.
        split: the validation cases, each judged by the cells that have not seen it, or the test cases, once opened.
        measure: what to rank by.
        difference: that is to be seen, in the measure's unit.
        seed: of the bootstrap over cases.
        resamples: of the bootstrap.
        cost: measure FLOPs and latency of each method.
        progress: wraps the methods whose cost is measured.

    Raises:
        UsageError: an unknown measure.
        RunError: there is nothing to compare yet, or a network has changed since its cell was done.
        DataError: results are damaged or missing.
    """
    require_rankable(measure)
    pooled = pool(study, split)
    comparison = compare_scores(
        pooled.runs, pooled.scores, measure=measure, seed=seed, resamples=resamples, cost=cost, progress=progress
    )
    figures = pooled.cells[measure]
    overlap = pooled.overlap if split == "validation" else 0.0
    methods = tuple(
        OfMethod(run.name, interval(own.ravel(), overlap), interval(own.mean(axis=1)), interval(own.mean(axis=0)))
        for run, own in zip(pooled.runs, figures, strict=True)
    )
    per_case = pooled.scores.per_case(measure)
    pairs = tuple(
        _pair(pooled, i, j, interval((figures[i] - figures[j]).ravel(), overlap), per_case[i] - per_case[j], difference)
        for i, j in combinations(range(len(pooled.runs)), 2)
    )
    notes = (*pooled.notes, *_of_test(study))
    openings = read_openings(study.directory)
    return StudyReport(study, split, comparison, pooled, methods, pairs, difference, openings, notes)


def _pair(pooled: Pooled, i: int, j: int, cells: Interval, differences: Any, difference: float) -> OfPair:
    known = differences[~np.isnan(differences)]
    deviation = float(known.std(ddof=1)) if len(known) > 1 else math.nan
    first, second = (pooled.runs[place].name for place in (i, j))
    needed, visible = needed_cases(deviation, difference), visible_difference(deviation, len(known))
    return OfPair(first, second, cells, deviation, needed, visible)


def _of_test(study: Study) -> list[str]:
    """Say how often the test set was opened, and whether it was looked at otherwise."""
    seal, openings = read_seal(study.directory), read_openings(study.directory)
    told = f"opened {counted(len(openings), 'time')}, first {openings[0].when}" if openings else "not opened"
    notes = [f"Test set: {counted(len(seal.cases), 'case')}, sealed {seal.made} ({seal.sha256[:16]}…), {told}."]
    beside = judged_beside(study.directory, [cell.name for cell in study.cells])
    if beside:
        more = f" and {len(beside) - 1} more" if len(beside) > 1 else ""
        notes.append(f"The test set was judged outside of any recorded opening: {beside[0]}{more}.")
    return notes
