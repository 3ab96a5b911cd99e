"""The figures of all cells of a study: per case, as the mean over trainings, and per cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from spine_ignite.compare.runs import EvaluatedRun, require_comparable
from spine_ignite.compare.scores import Array, Scores, mean_defined, stack
from spine_ignite.datasets.folds import read_folds
from spine_ignite.errors import RunError
from spine_ignite.evaluation.table_files import read_tables
from spine_ignite.evaluation.tables import Summary
from spine_ignite.runs.manifest import head_of
from spine_ignite.studies.cell import read_record
from spine_ignite.studies.making import Study
from spine_ignite.studies.study_directory import Cell, study_command
from spine_ignite.volumes.digests import file_sha256

Split = Literal["validation", "test"]


@dataclass(frozen=True)
class Pooled:
    """What a study found.

    Args:
        runs: one for each method, with the results of all its cells.
        scores: per method, case and class, the mean over the trainings that have judged the case.
        seeds: that count.
        cells: the means of each cell by measure, ``(methods, seeds, folds)``.
        overlap: validation over training cases of a fold, for :func:`.spread.interval`.
        notes: what is left out.
    """

    runs: tuple[EvaluatedRun, ...]
    scores: Scores
    seeds: tuple[int, ...]
    cells: dict[str, Array]
    overlap: float
    notes: tuple[str, ...]


def pool(study: Study, split: Split) -> Pooled:
    """Collect the results of all cells that are done.

    Of the validation cases each is judged by the fold that has held it out; of the test cases all are judged by all
    cells. What is compared must be judged alike, so that seeds count for all methods or for none.

    Raises:
        RunError: there are not two methods with a common seed of which all folds are done, or a network has changed.
        DataError: results are damaged, or cannot be compared.
    """
    done = {cell: _judged(study, cell, split) for cell in study.cells if _is_done(study, cell)}
    complete = {
        method: {seed for seed in study.declaration.seeds if _of(done, study, method, seed) is not None}
        for method in study.methods
    }
    methods = [method for method in study.methods if complete[method]]
    common = set.intersection(*(complete[method] for method in methods)) if methods else set()
    seeds = tuple(seed for seed in study.declaration.seeds if seed in common)
    if len(methods) < 2 or not seeds:
        raise RunError(
            f"{study.directory.root} has nothing to compare yet: a report needs two models or settings with all folds "
            f"of a seed done; {len(done)} of {len(study.cells)} cells are: "
            f"{study_command('resume', study.directory.root)}"
        )
    groups = [[_of(done, study, method, seed) or [] for seed in seeds] for method in methods]
    for fold in range(study.declaration.folds):
        first, *others = [group[fold] for seeds_of in groups for group in seeds_of]
        for other in others:
            require_comparable(first, other)
    runs = tuple(_as_one(study, method, group, split) for method, group in zip(methods, groups, strict=True))
    cells = {
        name: np.array([[[run.summary.means[name] for run in one] for one in group] for group in groups])
        for name in groups[0][0][0].summary.means
    }
    return Pooled(
        runs, _scores(groups, split), seeds, cells, _overlap(study), tuple(_left_out(study, done, methods, seeds))
    )


def _is_done(study: Study, cell: Cell) -> bool:
    """Whether a cell has come to its end, and is what it was then.

    Raises:
        RunError: it has been trained on since.
    """
    record, best = read_record(study.directory, cell.name), study.directory.run(cell.name).best
    if record is None or record.state != "done" or not best.is_file():
        return False
    if file_sha256(best) != record.weights:
        raise RunError(
            f"{best} is another network than when the cell was done; restore it, or remove {best.parent.parent} and "
            f"{study.directory.record(cell.name)} to train it again"
        )
    return True


def _judged(study: Study, cell: Cell, split: Split) -> EvaluatedRun:
    run, record = study.directory.run(cell.name), read_record(study.directory, cell.name)
    summary = read_tables(run.evaluation / split)
    if record is None or weights_of_tables(summary) != record.weights:
        raise RunError(
            f"{run.evaluation / split} was made with another network than {cell.name} was done with; evaluate the cell "
            f"again: spine-ignite evaluate {run.root} --split {split}"
        )
    return EvaluatedRun(cell.name, run.root, split, summary, run, head_of(run.root))


def weights_of_tables(summary: Summary) -> str | None:
    """Return the SHA-256 of the one network whose predictions were judged; None if there were several."""
    members = summary.settings.get("members") or []
    return str(members[0].get("weights")) if len(members) == 1 else None


def _of(done: dict[Cell, EvaluatedRun], study: Study, method: str, seed: int) -> list[EvaluatedRun] | None:
    """The cells of a method and seed, fold by fold; None unless all are done."""
    found = {cell.fold: run for cell, run in done.items() if cell.method == method and cell.seed == seed}
    folds = range(study.declaration.folds)
    return [found[fold] for fold in folds] if found.keys() >= set(folds) else None


def _as_one(study: Study, method: str, group: Sequence[Sequence[EvaluatedRun]], split: Split) -> EvaluatedRun:
    """A method with the cases of all its cells; the network of its first cell is taken for its cost."""
    all_of = [run for one in group for run in one]
    first = all_of[0]
    settings = {key: value for key, value in first.summary.settings.items() if key not in ("members", "notes")}
    cases = tuple(case for run in all_of for case in run.summary.cases)
    summary = replace(first.summary, cases=cases, settings=settings)
    root = study.directory.root
    return EvaluatedRun(method, root, split, summary, first.directory, head_of(root))


def _scores(groups: Sequence[Sequence[Sequence[EvaluatedRun]]], split: Split) -> Scores:
    """Stack what has judged the same cases, and take the mean over the trainings of each method."""
    if split == "test":
        stacked = stack([run for group in groups for one in group for run in one])
    else:
        stacked = stack([_joined(one) for group in groups for one in group])
    rows = len(next(iter(stacked.values.values()))) // len(groups)
    values = {
        name: mean_defined(array.reshape(len(groups), rows, *array.shape[1:]), axis=1)
        for name, array in stacked.values.items()
    }
    return replace(stacked, values=values)


def _joined(folds: Sequence[EvaluatedRun]) -> EvaluatedRun:
    cases = tuple(case for run in folds for case in run.summary.cases)
    return replace(folds[0], summary=replace(folds[0].summary, cases=cases))


def _overlap(study: Study) -> float:
    folds = read_folds(study.directory.splits).folds
    return float(np.mean([len(fold.val) / len(fold.train) for fold in folds]))


def _left_out(study: Study, done: dict[Cell, EvaluatedRun], methods: Sequence[str], seeds: Sequence[int]) -> list[str]:
    notes = []
    if len(done) < len(study.cells):
        notes.append(f"{len(study.cells) - len(done)} of {len(study.cells)} cells are not done.")
    without = [method for method in study.methods if method not in methods]
    if without:
        notes.append(f"Left out, since no seed of them is whole: {', '.join(without)}.")
    others = [str(seed) for seed in study.declaration.seeds if seed not in seeds]
    if others:
        notes.append(f"Left out, since not whole for all that is compared: seed {', '.join(others)}.")
    return notes
