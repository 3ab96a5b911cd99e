from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import beta
from sklearn.metrics import brier_score_loss

from spine_ignite.compare.columns_grid import columns_grid
from spine_ignite.compare.comparison import compare
from spine_ignite.compare.markdown import markdown_page
from spine_ignite.compare.output import comparison_record
from spine_ignite.evaluation.certainty import ColumnResult, column_result, figures, sentence, variant_of
from spine_ignite.evaluation.table_files import read_tables, write_tables
from spine_ignite.evaluation.tables import Summary
from spine_ignite.inference.levels.sequence import SchemeLevels
from spine_ignite.labels import load_scheme
from spine_ignite.report.column_section import column_section

SPINE = load_scheme("spine")


def columns(count: int, seed: int = 0, each: int = 1) -> list[ColumnResult]:
    """Columns of ``count / each`` patients, right as often as they say."""
    rng = np.random.default_rng(seed)
    posterior = rng.beta(4, 1, count)
    right = rng.random(count) < posterior
    return [
        ColumnResult(f"Case{i}", f"P{i // each}", float(p), bool(p > 0.8), 0.1, bool(ok), 0, "")
        for i, (p, ok) in enumerate(zip(posterior, right, strict=True))
    ]


def confusion(*names: str, called: Sequence[str] = ()) -> Any:
    """Structures of 100 voxels in the reference, called as they are or otherwise."""
    table = np.zeros((SPINE.num_classes, SPINE.num_classes), np.int64)
    for name, other in zip(names, called or names, strict=True):
        table[SPINE.names.index(name), SPINE.names.index(other)] = 100
    return table


def test_the_figures_are_those_of_their_definitions() -> None:
    some = columns(400)
    found = figures(some)
    posterior, right = np.array([c.posterior for c in some]), np.array([c.right for c in some])
    assert found["brier"] == pytest.approx(brier_score_loss(right, posterior))
    assert found["right"] == right.mean()
    accepted = posterior > 0.8
    wrong = int((accepted & ~right).sum())
    assert (found["accepted"], found["accepted_wrong"]) == (accepted.sum(), wrong)
    assert found["selective_risk"] == pytest.approx(wrong / accepted.sum())
    assert found["selective_risk_bound"] == pytest.approx(beta.ppf(0.95, wrong + 1, accepted.sum() - wrong))
    gaps = []
    for low in np.arange(10) / 10:
        inside = (posterior >= low) & (posterior < low + 0.1)
        if inside.any():
            gaps.append(abs(posterior[inside].mean() - right[inside].mean()) * inside.sum())
    assert found["calibration_error"] == pytest.approx(sum(gaps) / 400)
    assert found["curve"][0] == {
        "posterior": 0.0, "columns": 400, "wrong": int((~right).sum()), "coverage": 1.0,
    }  # fmt: skip
    assert "calibration_error" not in figures(some[:99])
    assert figures([]) == {}
    assert sentence({}) is None
    assert f"{wrong} of them wrong" in (sentence(found) or "")


def test_patients_are_what_is_resampled() -> None:
    """Ten columns of each patient that are all alike say no more than one of them."""
    single = columns(40)
    copied = [replace(c, case=f"{c.case}_{n}") for c in single for n in range(10)]
    one, ten = figures(single), figures(copied)
    assert ten["patients"] == 40
    assert ten["brier_interval"] == pytest.approx(one["brier_interval"])
    assert ten["selective_risk_bound"] == pytest.approx(one["selective_risk_bound"])
    apart = figures([replace(c, patient=c.case) for c in copied])
    width = {name: f["brier_interval"][1] - f["brier_interval"][0] for name, f in (("ten", ten), ("apart", apart))}
    assert width["apart"] < 0.5 * width["ten"]
    assert figures([replace(c, patient="P") for c in single])["brier_interval"] is None


def test_variants_are_read_off_the_reference() -> None:
    levels = SchemeLevels(SPINE)
    usual = ("S", "L5", "L4", "L3", "L2", "L1", "T12", "T11")
    assert variant_of(confusion(*usual), levels) == ""
    assert variant_of(confusion("S", "L6", *usual[1:]), levels) == "6 lumbar"
    assert variant_of(confusion("S", *usual[2:]), levels) == "4 lumbar"
    assert variant_of(confusion(*usual[2:]), levels) == "", "without the sacrum L5 may be out of sight"
    assert variant_of(confusion(*usual[:6], "T13", *usual[6:]), levels) == "13 thoracic"
    assert variant_of(confusion("S", "L6", *usual[1:6], "T11"), levels) == "6 lumbar, 11 thoracic"


def test_a_column_is_judged_as_what_it_is() -> None:
    said = {"column": {"posterior": 0.9, "verdict": "accepted", "risk": 0.02}}
    names = ("S", "L4", "L3", "L2", "L1", "T12")
    found = column_result("Case1", "P", confusion(*names), said, SPINE)
    assert found == ColumnResult("Case1", "P", 0.9, True, 0.02, True, 0, "4 lumbar")
    usual = confusion(*names, called=("S", "L5", "L4", "L3", "L2", "L1"))
    found = column_result("Case1", "P", usual, said, SPINE)
    assert found is not None
    assert (found.right, found.variant) == (False, "4 lumbar")
    assert column_result("Case1", "P", confusion("S"), said, SPINE) is None


@pytest.fixture
def summary(judged_run: Path) -> Summary:
    """An evaluation of a run, with columns of its cases."""
    plain = read_tables(judged_run / "evaluation" / "test")
    assert plain.columns == ()
    found = tuple(
        replace(c, case=case.case, variant="6 lumbar") for c, case in zip(columns(9), plain.cases, strict=False)
    )
    return replace(plain, columns=found)


def test_columns_are_kept_with_the_tables(summary: Summary, tmp_path: Path) -> None:
    write_tables(summary, tmp_path)
    assert read_tables(tmp_path).columns == summary.columns
    written = json.loads((tmp_path / "summary.json").read_text())
    assert written["columns"] == json.loads(json.dumps(summary.certainty))
    first = summary.columns[0]
    assert written["per_case"][first.case]["column"]["posterior"] == first.posterior


def test_the_comparison_shows_those_that_have_any(summary: Summary, tmp_path: Path) -> None:
    write_tables(summary, tmp_path / "with")
    write_tables(replace(summary, columns=()), tmp_path / "without")
    comparison = compare([tmp_path / "with", tmp_path / "without"], cost=False, resamples=100)
    grid = columns_grid(comparison)
    assert grid is not None
    assert grid.rows[0][0].text == str(len(summary.columns))
    assert {cell.text for cell in grid.rows[1]} == {"-"}
    assert "## Certainty of levels" in markdown_page(comparison, [])
    runs = comparison_record(comparison)["runs"]
    assert (runs[0]["columns"]["columns"], runs[1]["columns"]) == (len(summary.columns), {})
    (tmp_path / "third").mkdir()
    write_tables(replace(summary, columns=()), tmp_path / "third")
    nothing = compare([tmp_path / "without", tmp_path / "third"], cost=False, resamples=100)
    assert columns_grid(nothing) is None
    assert "Certainty" not in markdown_page(nothing, [])


def test_the_report_shows_wrong_columns_first_and_a_diagram_of_many(summary: Summary) -> None:
    assert column_section(replace(summary, columns=())) is None
    section = column_section(summary)
    assert section is not None
    assert section.reliability is None
    many = columns(200)
    section = column_section(replace(summary, columns=tuple(many)))
    assert section is not None
    assert section.reliability is not None
    assert "by posterior" in section.reliability.summary
    wrong = sum(not c.right for c in many)
    assert [row[3].text for row in section.cases.rows] == ["wrong"] * wrong + ["right"] * (200 - wrong)
    first = [float(row[1].text) for row in section.cases.rows[:wrong]]
    assert first == sorted(first, reverse=True)
