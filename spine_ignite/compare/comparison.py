"""Compare evaluated runs: means with intervals, costs, ranking."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from spine_ignite.compare.bootstrap import intervals
from spine_ignite.compare.cost import REPEATS, Cost, run_cost
from spine_ignite.compare.ranking import ALPHA, Ranking, rank, smallest_p
from spine_ignite.compare.runs import EvaluatedRun, open_runs, trained_apart
from spine_ignite.compare.scores import Array, Scores, stack
from spine_ignite.errors import SpineIgniteError, UsageError, suggest
from spine_ignite.evaluation.measures import RANKABLE, SHOWN, Surfaces

Progress = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Estimate:
    """Means of a measure with their 95 % intervals, ``(runs,)`` each."""

    mean: Array
    low: Array
    high: Array


@dataclass(frozen=True, slots=True)
class Comparison:
    """Several runs beside each other.

    Args:
        runs: in the order given.
        scores: all figures per run, case and class.
        estimates: per measure, the mean over classes of the mean over cases, as in a run's own summary.
        measure: what the ranking, the classes' table and the figures are about.
        ranking: of the runs by it, on the means per case.
        differences: mean difference per case of each pair in ``ranking.pairs``, with its interval.
        costs: per run; None where there is no network, or it cannot be built here.
        resamples: of the bootstrap.
        seed: of the bootstrap.
        notes: what a reader of the tables must know, a sentence each.
    """

    runs: tuple[EvaluatedRun, ...]
    scores: Scores
    estimates: dict[str, Estimate]
    measure: str
    ranking: Ranking
    differences: Estimate
    costs: tuple[Cost | None, ...]
    resamples: int
    seed: int
    notes: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """The runs' names."""
        return [run.name for run in self.runs]

    @property
    def surfaces(self) -> Surfaces:
        """What the surface measures count, the same in all runs."""
        return self.runs[0].summary.surfaces


def compare(
    paths: Sequence[Path],
    *,
    split: str = "test",
    names: Sequence[str] | None = None,
    measure: str = "dice",
    seed: int = 0,
    resamples: int = 10_000,
    cost: bool = True,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Comparison:
    """Compare runs that were judged on the same cases.

    Args:
        paths: run directories, or folders that ``evaluate --predictions … -o DIR`` wrote.
        split: which evaluation of a run directory.
        names: what to call the runs; by default their folders' names.
        measure: what to rank by.
        seed: of the bootstrap; the same seed gives the same figures.
        resamples: of the bootstrap.
        cost: measure FLOPs and latency, unless that was done before.
        device: where to measure them.
        progress: wraps the runs whose cost is measured.

    Raises:
        UsageError: fewer than two runs, one given twice, unfit names or an unknown measure.
        DataError: a run was not judged, or not in the same way as the others.
    """
    require_rankable(measure)
    runs = open_runs(paths, split, names)
    return compare_scores(
        runs, stack(runs), measure=measure, seed=seed, resamples=resamples, cost=cost, device=device, progress=progress
    )


def require_rankable(measure: str) -> None:
    """Refuse a measure that runs cannot be ranked by.

    Raises:
        UsageError: it is none that there is.
    """
    if measure not in RANKABLE:
        closest = suggest(measure, RANKABLE)
        raise UsageError(f"runs cannot be ranked by '{measure}'.{closest} Choose one of {', '.join(RANKABLE)}")


def compare_scores(
    runs: Sequence[EvaluatedRun],
    scores: Scores,
    *,
    measure: str = "dice",
    seed: int = 0,
    resamples: int = 10_000,
    cost: bool = True,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Comparison:
    """Compare runs, or what stands for several runs as their mean, by the figures of each case.

    Args:
        runs: what tables and figures name.
        scores: their figures, a row for each.
        measure: what to rank by.
        seed: of the bootstrap; the same seed gives the same figures.
        resamples: of the bootstrap.
        cost: measure FLOPs and latency, unless that was done before.
        device: where to measure them.
        progress: wraps the runs whose cost is measured.

    Raises:
        DataError: the record of a run's split is damaged.
    """
    per_case = scores.per_case(measure)
    ranking = rank(per_case, SHOWN[measure].better > 0)
    paired = np.stack([per_case[i] - per_case[j] for i, j in combinations(range(len(runs)), 2)])[..., None]
    measures = list(scores.values)
    limits = intervals([*scores.values.values(), paired], resamples, seed)
    estimates = {
        name: Estimate(scores.means(name), *limit.T) for name, limit in zip(measures, limits[:-1], strict=True)
    }
    differences = Estimate(np.array([pair.difference for pair in ranking.pairs]), *limits[-1].T)
    costs, problems = _costs(runs, device if cost else None, progress)
    notes = (*_notes(runs, scores, measure, ranking), *_cost_notes(costs), *problems)
    return Comparison(tuple(runs), scores, estimates, measure, ranking, differences, costs, resamples, seed, notes)


def _costs(
    runs: Sequence[EvaluatedRun], device: str | None, progress: Progress | None
) -> tuple[tuple[Cost | None, ...], list[str]]:
    """The costs, and why some are not known: that must not stand in the way of the comparison."""
    costs: list[Cost | None] = []
    problems = []
    for run in progress(runs) if progress is not None else runs:
        try:
            found = run_cost(run.directory, len(run.summary.names), device) if run.directory is not None else None
        except SpineIgniteError as error:
            problems.append(f"The cost of {run.name} is not known: {error}.")
            found = None
        costs.append(found)
    return tuple(costs), problems


def _notes(runs: Sequence[EvaluatedRun], scores: Scores, measure: str, ranking: Ranking) -> list[str]:
    notes = [_too_few(len(scores.cases), len(ranking.pairs))]
    compared = {"postprocess": "Post-processing", "checkpoint": "Checkpoint", "tta": "Test-time augmentation"}
    for setting, told in compared.items():
        found = [_plain(run.summary.settings.get(setting)) for run in runs]
        if len(set(found)) > 1:
            notes.append(f"{told} differs: {_grouped(runs, found)}.")
    notes += [f"{run.name}: {note}." for run in runs for note in run.summary.settings.get("notes", ())]
    notes += trained_apart(runs)
    undefined = scores.per_case(measure)
    incomplete = int(np.isnan(undefined).any(axis=0).sum())
    if incomplete:
        notes.append(
            f"{SHOWN[measure].title} is undefined for some run in {incomplete} of {len(scores.cases)} cases; these "
            "are left out of the mean ranks and of the pairs that they concern."
        )
    if any(missed_structures(run) for run in runs):
        notes.append(
            "Distances are undefined for a structure that a prediction lacks, so read HD95 and ASSD together with the "
            "number of structures missed over all cases."
        )
    return [note for note in notes if note]


def _too_few(cases: int, pairs: int) -> str:
    """Say so where no outcome of the tests could be significant."""
    least = smallest_p(cases)
    if least >= ALPHA:
        return (
            f"No significance can come from {cases} cases: the smallest p that Wilcoxon's test can give with them is "
            f"{least:.3g}; at least 6 cases are needed."
        )
    if least * pairs >= ALPHA:
        return (
            f"No pair can be significant: the smallest p that Wilcoxon's test can give with {cases} cases is "
            f"{least:.3g}, which Holm's correction for {pairs} pairs makes {min(1.0, least * pairs):.3g}; judge more "
            "cases or compare fewer runs."
        )
    return ""


def _cost_notes(costs: Sequence[Cost | None]) -> list[str]:
    measured = [cost.setting for cost in costs if cost is not None and cost.setting]
    if not measured:
        return []
    sizes = {" x ".join(map(str, setting["size"])) for setting in measured}
    where = {f"{setting['device']}, {setting['precision']}, torch {setting['torch']}" for setting in measured}
    size = f"of {sizes.pop()} pixels" if len(sizes) == 1 else "of the run's own size"
    return [
        f"FLOPs (a multiplication and an addition count as two) and latency (median of {REPEATS} passes) are those of "
        f"one slice {size} on {' / '.join(sorted(where))}."
    ]


def missed_structures(run: EvaluatedRun) -> int:
    """Structures that the reference has and the prediction lacks, over all cases."""
    return sum(label.missed for label in run.summary.classes)


def _plain(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    return "not recorded" if value is None else str(value)


def _grouped(runs: Sequence[EvaluatedRun], values: Sequence[str]) -> str:
    groups: dict[str, list[str]] = {}
    for run, value in zip(runs, values, strict=True):
        groups.setdefault(value, []).append(run.name)
    return "; ".join(f"{value}: {', '.join(names)}" for value, names in groups.items())
