"""The files of a comparison: what stands in them, and that they come out the same each time."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from spine_ignite.compare import Comparison, compare, comparison_record, write_comparison
from spine_ignite.compare.grids import Cell, Grid, classes_grid, group_letters, main_grid
from spine_ignite.compare.latex import latex_table
from spine_ignite.errors import RunError, UsageError
from spine_ignite.evaluation.table_files import read_tables
from spine_ignite.names import in_latex

WriteEvaluation = Callable[..., Path]
NAMES = ["a_b & c", "50 % | *x*", "[$3]"]


@pytest.fixture(scope="module")
def runs(
    write_evaluation: WriteEvaluation, dice: NDArray[np.float64], tmp_path_factory: pytest.TempPathFactory
) -> list[Path]:
    root = tmp_path_factory.mktemp("runs")
    return [write_evaluation(root / str(i), values) for i, values in enumerate(dice)]


@pytest.fixture(scope="module")
def comparison(runs: list[Path]) -> Comparison:
    return compare(runs, names=NAMES, resamples=500, cost=False)


@pytest.fixture(scope="module")
def folder(comparison: Comparison, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("comparison")
    write_comparison(comparison, folder)
    return folder


def test_all_files_are_there_and_the_same_each_time(folder: Path, runs: list[Path], tmp_path: Path) -> None:
    tables = ["classes.csv", "classes.tex", "comparison.json", "comparison.md", "pairs.csv", "table.csv", "table.tex"]
    figures = [f"{name}.{suffix}" for name in ("boxplot", "critical_difference") for suffix in ("pdf", "png")]
    assert {path.name for path in folder.iterdir()} == {".spine-ignite", *tables, *figures}, (
        "no costs, no figure of them"
    )
    write_comparison(compare(runs, names=NAMES, resamples=500, cost=False), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        path.name: path.read_bytes() for path in folder.iterdir()
    }


def test_the_csv_tables_hold_the_figures_in_full(folder: Path, comparison: Comparison, runs: list[Path]) -> None:
    rows = list(csv.DictReader((folder / "table.csv").open()))
    assert [row["run"] for row in rows] == NAMES
    for row, run in zip(rows, runs, strict=True):
        means = read_tables(run).means
        for name in ("dice", "iou", "accuracy", "recall", "fnr", "fpr", "hd95", "assd", "nsd", "volume_error"):
            assert float(row[name]) == pytest.approx(means[name]), name
        for name in ("dice", "hd95"):
            assert float(row[f"{name}_low"]) < float(row[name]) < float(row[f"{name}_high"])
        assert row["parameters"] == row["latency_ms"] == ""
    assert [row["missed"] for row in rows] == ["0", "1", "0"]
    classes = list(csv.DictReader((folder / "classes.csv").open()))
    assert [row["class"] for row in classes] == ["L5", "L4", "L3", "mean"]
    assert float(classes[0][NAMES[1]]) == pytest.approx(read_tables(runs[1]).classes[0].means["dice"])
    pairs = list(csv.DictReader((folder / "pairs.csv").open()))
    assert [(row["first"], row["second"]) for row in pairs] == [
        (NAMES[0], NAMES[1]), (NAMES[0], NAMES[2]), (NAMES[1], NAMES[2])
    ]  # fmt: skip
    assert float(pairs[1]["difference_low"]) > 0
    assert (pairs[1]["first_better"], pairs[1]["second_better"], pairs[1]["significant"]) == ("12", "0", "True")
    assert float(pairs[1]["p_holm"]) == pytest.approx(3 * 2.0**-11)


def test_the_record_is_plain_and_has_no_nan(folder: Path, comparison: Comparison) -> None:
    text = (folder / "comparison.json").read_text()
    record = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert record == json.loads(json.dumps(comparison_record(comparison)))
    assert record["order"][0] == NAMES[0]
    assert record["runs"][0]["measures"]["dice"]["mean"] == pytest.approx(comparison.estimates["dice"].mean[0])
    assert record["friedman"]["freedom"] == 2
    assert record["runs"][0]["cost"] is None


def test_markdown_shows_names_as_they_are_and_every_row_has_all_columns(folder: Path) -> None:
    text = (folder / "comparison.md").read_text()
    tables = re.findall(r"(?:^\|.*\n)+", text, flags=re.M)
    assert len(tables) == 4
    for table in tables:
        counts = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(counts) == 1
    assert r"50 % \| \*x\*" in tables[0]
    assert "**" in tables[0]
    assert "![boxplot](boxplot.png)" in text
    assert "12 cases" in text
    assert "500 resamples of whole cases, seed 0" in text


def test_latex_escapes_names_and_every_row_has_all_columns(folder: Path) -> None:
    for name, columns in (("table.tex", 9), ("classes.tex", 4)):
        text = (folder / name).read_text()
        assert text.startswith(r"% needs \usepackage{booktabs}")
        body = text.split("\\midrule", 1)[1].split("\\bottomrule")[0]
        rows = [line for line in body.splitlines() if line.endswith(("\\\\", "\\\\[2pt]"))]
        assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {columns - 1}
        assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")
        assert text.count(r"\toprule") == text.count(r"\bottomrule") == 1
    assert r"a\_b \& c & \textbf{" in (folder / "table.tex").read_text()
    assert in_latex(r"\{}~^#<") == (r"\textbackslash{}\{\}\textasciitilde{}\textasciicircum{}\#\textless{}")


def test_the_best_is_bold_and_the_second_underlined_as_shown() -> None:
    cells = tuple((Cell(text, "", place),) for text, place in (("0.9", 1), ("0.8", 2), ("-", 0), ("-0.7", 0)))
    text = latex_table(Grid("run", ("Dice",), (1,), ("a", "b", "c", "d"), cells))
    assert r"a & \textbf{0.9}" in text
    assert r"b & \underline{0.8}" in text
    assert "c & -- " in text
    assert "d & $-$0.7 " in text


def test_many_classes_columns_are_turned_upright() -> None:
    names = tuple(f"a long name of run {i}" for i in range(12))
    cells = (tuple(Cell("0.9") for _ in names),)
    assert r"\rotatebox{90}{a long name of run 3}" in latex_table(Grid("class", names, (0,) * 12, ("L5",), cells))


def test_places_follow_the_direction_of_the_measure(comparison: Comparison) -> None:
    grid = main_grid(comparison)
    assert grid.headings == ("Dice", "IoU", "PA", "Recall", "FNR", "FPR (10⁻³)", "HD95 (mm, area)", "Missed")
    dice = [float(row[0].text) for row in grid.rows]
    distance = [float(row[6].text) for row in grid.rows]
    assert [row[0].place for row in grid.rows][int(np.argmax(dice))] == 1
    assert [row[6].place for row in grid.rows][int(np.argmin(distance))] == 1
    assert [row[7].place for row in grid.rows] == [1, 2, 1]
    assert grid.rows[0][7].interval == ""
    assert classes_grid(comparison).names == ("L5", "L4", "L3", "mean")


def test_letters_are_shared_by_runs_that_do_not_differ(
    write_evaluation: WriteEvaluation, dice: NDArray[np.float64], tmp_path: Path
) -> None:
    """The second run twice: the copies are alike, and each differs from the first."""
    values = [dice[0], dice[2], dice[2]]
    folders = [write_evaluation(tmp_path / str(i), one) for i, one in enumerate(values)]
    comparison = compare(folders, resamples=100, cost=False)
    assert group_letters(comparison) == ["a", "b", "b"]
    assert comparison.ranking.pairs[2].p_holm == 1.0
    assert comparison.ranking.cliques == ((1, 2),)
    write_comparison(comparison, tmp_path / "out")


def test_few_cases_and_what_differs_are_told(
    write_evaluation: WriteEvaluation, dice: NDArray[np.float64], tmp_path: Path
) -> None:
    settings = {"scheme": "lumbar-vertebrae", "checkpoint": "best.pt", "postprocess": ["levels"]}
    first = write_evaluation(tmp_path / "a", dice[0, :5])
    second = write_evaluation(tmp_path / "b", dice[2, :5], settings=settings)
    found = compare([first, second], resamples=100, cost=False)
    assert found.notes[0] == (
        "No significance can come from 5 cases: the smallest p that Wilcoxon's test can give with them is 0.0625; "
        "at least 6 cases are needed."
    )
    assert "Post-processing differs: none: a; levels: b." in found.notes
    third = write_evaluation(tmp_path / "c", dice[1, :5])
    folders = [write_evaluation(tmp_path / f"{i}", dice[i % 3, :6]) for i in range(4)]
    many = compare(folders, resamples=100, cost=False)
    assert many.notes[0] == (
        "No pair can be significant: the smallest p that Wilcoxon's test can give with 6 cases is 0.0312, which Holm's "
        "correction for 6 pairs makes 0.188; judge more cases or compare fewer runs."
    )
    one_case = [write_evaluation(tmp_path / f"one{i}", dice[i, :1]) for i in range(3)]
    alone = compare(one_case, resamples=100, cost=False)
    assert np.isnan(alone.estimates["dice"].low).all()
    write_comparison(alone, tmp_path / "out")
    assert third.exists()


def test_an_unknown_measure_is_refused(runs: list[Path]) -> None:
    with pytest.raises(UsageError, match="cannot be ranked by 'volume_error'. Choose one of dice, iou, precision"):
        compare(runs, measure="volume_error", cost=False)


def test_ranking_by_a_distance_leaves_out_what_it_is_undefined_for(
    write_evaluation: WriteEvaluation, dice: NDArray[np.float64], tmp_path: Path
) -> None:
    values = dice.copy()
    values[2, 3] = 0.0  # all structures of a case missed: no distance at all
    folders = [write_evaluation(tmp_path / str(i), one) for i, one in enumerate(values)]
    found = compare(folders, measure="hd95", resamples=100, cost=False)
    assert found.ranking.order[0] == 0
    assert [pair.cases for pair in found.ranking.pairs] == [12, 11, 11]
    assert any("HD95 is undefined for some run in 1 of 12 cases" in note for note in found.notes)
    write_comparison(found, tmp_path / "out")
    assert (tmp_path / "out" / "critical_difference.png").stat().st_size > 1000


def test_a_comparison_takes_no_names_of_others_and_leaves_no_figure_of_an_earlier_one(
    comparison: Comparison, tmp_path: Path
) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    write_comparison(comparison, tmp_path)
    (tmp_path / "cost.pdf").write_text("of an earlier comparison")
    write_comparison(comparison, tmp_path)
    assert not (tmp_path / "cost.pdf").exists()
    assert (tmp_path / "thesis.tex").read_text() == "mine"
    (tmp_path / "paper").mkdir()
    for name in ("table.tex", "boxplot.png", "classes.csv"):
        (tmp_path / "paper" / name).write_text("mine")
        with pytest.raises(RunError, match=f"did not make as a comparison, .*{name} for one"):
            write_comparison(comparison, tmp_path / "paper")
        assert [path.name for path in (tmp_path / "paper").iterdir()] == [name]
        (tmp_path / "paper" / name).unlink()
