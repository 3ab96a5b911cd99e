"""The report of a study, from evaluations that are written as its cells write them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from spine_ignite import cli
from spine_ignite.datasets.folds import read_folds
from spine_ignite.errors import RunError, UsageError
from spine_ignite.evaluation.case_results import CaseResult, ClassResult
from spine_ignite.evaluation.table_files import write_tables
from spine_ignite.evaluation.tables import Summary
from spine_ignite.studies.cell import note_end
from spine_ignite.studies.making import Study
from spine_ignite.studies.spread import interval, needed_cases
from spine_ignite.studies.study_output import report_study
from spine_ignite.volumes.digests import file_sha256

Make = Callable[..., Study]
OTHER = {"name": "wide", "model": "unet", "set": {"model.width": 8, "model.depth": 2}}
NAMES = ("background", "L5", "L4")


def case_result(case: str, dice: tuple[float, float]) -> CaseResult:
    """A case with two structures of a given Dice."""
    classes = tuple(
        ClassResult(case, label, d, d / (2 - d), d, d, 1 - d, 1e-3, 20 * (1 - d), 4 * (1 - d), d, 1.0, 1.0, 0.0)
        for label, d in zip(NAMES[1:], dice, strict=True)
    )
    return CaseResult(case, 0.9, classes, 1.0, 0, f"mask of {case}", np.eye(3, dtype=np.int64))


@pytest.fixture
def judged(make: Make) -> Callable[..., tuple[Study, dict[tuple[str, int, str], float]]]:
    """``judged(seeds=…)``: a study whose cells are done, and the Dice of each method, seed and case."""

    def write(split: str = "validation", **changes: Any) -> tuple[Study, dict[tuple[str, int, str], float]]:
        study = make(**{"models": ["unet", OTHER], "seeds": [0, 1], **changes})
        rng, expected = np.random.default_rng(7), {}
        folds = read_folds(study.directory.splits)
        for cell in study.cells:
            run = study.directory.run(cell.name)
            run.best.parent.mkdir(parents=True)
            run.best.write_text(cell.name)
            run.config.write_text("")
            weights = file_sha256(run.best)
            names = folds.folds[cell.fold].val if split == "validation" else [case.name for case in folds.test]
            cases = []
            for name in names:
                dice = (float(rng.uniform(0.5, 0.9)), float(rng.uniform(0.3, 0.6)))
                cases.append(case_result(name, dice))
                key = (cell.method, cell.seed, name if split == "validation" else f"{cell.fold} {name}")
                expected[key] = sum(dice) / 2
            settings = {"scheme": "lumbar-vertebrae", "split": split, "members": [{"weights": weights}]}
            write_tables(Summary(tuple(cases), NAMES, settings=settings), run.evaluation / split)
            note_end(study.directory, cell.name, "done", weights=weights)
        return study, expected

    return write


def mean_of(expected: dict[tuple[str, int, str], float], method: str, case: str) -> float:
    return float(np.mean([value for (m, _, name), value in expected.items() if m == method and name.endswith(case)]))


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_case_counts_with_its_mean_over_the_trainings_that_judged_it(judged: Any, split: Any) -> None:
    study, expected = judged(split)
    report = report_study(study, split, cost=False)
    cases = report.comparison.scores.cases
    assert len(cases) == (4 if split == "validation" else 2)
    for row, method in zip(report.comparison.scores.per_case("dice"), ("unet-base", "wide-base"), strict=True):
        assert row == pytest.approx([mean_of(expected, method, case) for case in cases])


def test_intervals_and_cases_needed_are_those_of_the_cells(judged: Any) -> None:
    study, expected = judged()
    report = report_study(study, cost=False)
    folds = read_folds(study.directory.splits).folds

    def cell_means(method: str) -> NDArray[np.float64]:
        return np.array([[np.mean([expected[method, seed, c] for c in fold.val]) for fold in folds] for seed in (0, 1)])

    overlap = float(np.mean([len(fold.val) / len(fold.train) for fold in folds]))
    one, two = cell_means("unet-base"), cell_means("wide-base")
    assert report.methods[0].cells == interval(report.pooled.cells["dice"][0].ravel(), overlap)
    assert report.methods[0].cells.mean == pytest.approx(one.mean())
    assert report.methods[0].seeds.deviation == pytest.approx(one.mean(axis=1).std(ddof=1))
    assert report.methods[0].folds.deviation == pytest.approx(one.mean(axis=0).std(ddof=1))
    (pair,) = report.pairs
    assert pair.cells.mean == pytest.approx((one - two).mean())
    cases = report.comparison.scores.cases
    differences = [mean_of(expected, "unet-base", case) - mean_of(expected, "wide-base", case) for case in cases]
    assert pair.deviation == pytest.approx(np.std(differences, ddof=1))
    assert pair.needed == needed_cases(pair.deviation, 0.01)


def test_the_files_and_the_printed_record_say_the_same(judged: Any, capsys: pytest.CaptureFixture[str]) -> None:
    study, expected = judged()
    assert cli.run(["study", "report", str(study.directory.root), "--no-cost", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    folder = study.directory.report("validation")
    assert json.loads((folder / "study.json").read_text()) == printed
    rows = list(csv.DictReader((folder / "cells.csv").open()))
    assert len(rows) == 8
    case = read_folds(study.directory.splits).folds[1].val
    found = next(r for r in rows if (r["method"], r["seed"], r["fold"]) == ("wide-base", "1", "1"))
    assert float(found["dice"]) == pytest.approx(np.mean([expected["wide-base", 1, name] for name in case]))
    page = (folder / "study.md").read_text()
    assert "not opened" in page
    assert "| unet-base - wide-base |" in page
    assert (folder / "comparison.md").is_file()


def test_what_is_not_whole_is_left_out_and_said(judged: Any) -> None:
    study, _ = judged(seeds=[0, 1], models=["unet", OTHER, {**OTHER, "name": "third"}])
    study.directory.record("unet-base-fold1-seed1").unlink()
    for cell in study.cells:
        if cell.model == "third":
            study.directory.record(cell.name).unlink()
    report = report_study(study, cost=False)
    assert [run.name for run in report.pooled.runs] == ["unet-base", "wide-base"]
    assert report.pooled.seeds == (0,)
    assert report.notes[:3] == (
        "5 of 12 cells are not done.",
        "Left out, since no seed of them is whole: third-base.",
        "Left out, since not whole for all that is compared: seed 1.",
    )
    study.directory.record("unet-base-fold1-seed0").unlink()
    with pytest.raises(RunError, match="has nothing to compare yet"):
        report_study(study, cost=False)


def test_what_was_changed_since_is_refused(judged: Any) -> None:
    study, _ = judged()
    best = study.directory.run("wide-base-fold0-seed1").best
    best.write_text("another")
    with pytest.raises(RunError, match="is another network than when the cell was done"):
        report_study(study, cost=False)
    best.write_text("wide-base-fold0-seed1")
    other = study.directory.run("wide-base-fold1-seed1").evaluation / "validation"
    for path in other.iterdir():
        path.write_bytes(
            (study.directory.run("unet-base-fold1-seed1").evaluation / "validation" / path.name).read_bytes()
        )
    with pytest.raises(RunError, match="was made with another network than wide-base-fold1-seed1"):
        report_study(study, cost=False)
    with pytest.raises(UsageError, match="cannot be ranked by 'dise'"):
        report_study(study, measure="dise")
