"""The figures of several runs as arrays, and the means that the tables show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spine_ignite.compare.runs import EvaluatedRun
from spine_ignite.evaluation.tables import MEASURES

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    """Every measure of every run, case and class.

    Args:
        cases: names of the cases, in the first run's order.
        labels: classes that are present in a reference or prediction of any run, in the scheme's order.
        values: per measure ``(runs, cases, classes)``; NaN where it is undefined, as it is for a class that both
            reference and prediction lack. ``accuracy`` has no classes: ``(runs, cases, 1)``.
    """

    cases: tuple[str, ...]
    labels: tuple[str, ...]
    values: dict[str, Array]

    def means(self, measure: str) -> Array:
        """Mean over the classes of each class's mean over the cases: ``(runs,)``, equal to ``Summary.means``."""
        return mean_defined(self.per_class(measure), axis=1)

    def per_class(self, measure: str) -> Array:
        """Mean over the cases in which it is defined: ``(runs, classes)``."""
        return mean_defined(self.values[measure], axis=1)

    def per_case(self, measure: str) -> Array:
        """Mean over the classes for which it is defined: ``(runs, cases)``, for Dice equal to ``CaseResult.dice``."""
        return mean_defined(self.values[measure], axis=2)


def stack(runs: Sequence[EvaluatedRun]) -> Scores:
    """Collect the runs' results; all must have been judged on the same cases and classes."""
    first = runs[0]
    present = {label.label for run in runs for case in run.summary.cases for label in case.classes}
    labels = tuple(name for name in first.summary.names if name in present)
    column = {label: index for index, label in enumerate(labels)}
    keys = list(first.cases)
    values = {name: np.full((len(runs), len(keys), len(labels)), np.nan) for name in MEASURES}
    accuracy = np.full((len(runs), len(keys), 1), np.nan)
    for i, run in enumerate(runs):
        cases = run.cases
        for j, key in enumerate(keys):
            accuracy[i, j] = cases[key].accuracy
            for result in cases[key].classes:
                for name, array in values.items():
                    array[i, j, column[result.label]] = getattr(result, name)
    return Scores(tuple(case.case for case in first.cases.values()), labels, {**values, "accuracy": accuracy})


def mean_defined(values: Array, axis: int) -> Array:
    """Mean of the values that are not NaN; NaN where there are none."""
    defined = ~np.isnan(values)
    return divide(np.where(defined, values, 0.0).sum(axis), defined.sum(axis))


def divide(total: Array, count: NDArray[np.number]) -> Array:
    """Return ``total / count``, NaN where the count is 0."""
    quotient: Array = np.divide(total, count, out=np.full(np.shape(total), np.nan), where=np.asarray(count) > 0)
    return quotient
