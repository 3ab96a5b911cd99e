from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from spine_ignite.errors import DataError
from spine_ignite.evaluation.case_results import CaseResult, ClassResult, evaluate_case
from spine_ignite.evaluation.table_files import read_tables, write_tables
from spine_ignite.evaluation.tables import Summary, level_sentence, readable_rows
from spine_ignite.labels import load_scheme

SCHEME = load_scheme("lumbar-vertebrae")


def case(name: str, reference: tuple[int, ...], prediction: tuple[int, ...]) -> CaseResult:
    """A case in which slab ``n`` has the class at place ``n`` of the tuples; slabs are 2 x 3 x 3 voxels."""
    volumes = [
        np.repeat(np.array(names, np.uint8), 2)[:, None, None] * np.ones((1, 3, 3), np.uint8)
        for names in (reference, prediction)
    ]
    return evaluate_case(name, volumes[0], volumes[1], (1.0, 2.0, 0.5), SCHEME, surfaces="voxels")


@pytest.fixture
def summary() -> Summary:
    cases = (case("a", (0, 1, 2, 0, 0), (0, 1, 0, 3, 0)), case("b", (0, 1, 2, 0, 0), (0, 1, 2, 0, 0)))
    return Summary(cases, SCHEME.names, 1.5, {"scheme": SCHEME.name, "postprocess": ["levels"]}, surfaces="voxels")


def test_means_are_over_cases_and_then_over_classes(summary: Summary) -> None:
    found = {c.label: c for c in summary.classes}
    assert [c.label for c in summary.classes] == ["L5", "L4", "L3"]
    assert (found["L4"].cases, found["L4"].missed, found["L4"].invented) == (2, 1, 0)
    assert (found["L3"].cases, found["L3"].missed, found["L3"].invented) == (1, 0, 1)
    assert found["L4"].means["dice"] == 0.5
    assert found["L4"].means["hd95"] == 0.0, "the mean over the one case in which it is defined"
    assert summary.means["dice"] == pytest.approx((1.0 + 0.5 + 0.0) / 3)
    assert summary.means["accuracy"] == pytest.approx((0.6 + 1.0) / 2)
    assert summary.means["level_rate"] == pytest.approx((0.5 + 1.0) / 2)
    assert summary.confusion[1, 1] == 36
    assert summary.confusion[2, 0] == 18
    assert readable_rows(summary)[1][-1][:4] == ["mean", "2", "", "0.5000"]


def test_what_is_written_is_read_back(summary: Summary, tmp_path: Path) -> None:
    write_tables(summary, tmp_path)
    again = read_tables(tmp_path)
    assert again.names == summary.names
    assert again.settings == summary.settings
    assert again.tolerance == 1.5
    assert again.surfaces == summary.surfaces == "voxels"
    assert again.means == pytest.approx(summary.means, nan_ok=True)
    for kept, original in zip(again.cases, summary.cases, strict=True):
        np.testing.assert_array_equal(kept.confusion, original.confusion)
        assert (kept.reference, kept.shift, kept.accuracy) == (original.reference, original.shift, original.accuracy)
        for one, other in zip(kept.classes, original.classes, strict=True):
            np.testing.assert_equal(one.to_dict(), other.to_dict())


def test_the_files_are_plain(summary: Summary, tmp_path: Path) -> None:
    write_tables(summary, tmp_path)
    with (tmp_path / "cases.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["case"], row["label"]) for row in rows] == [
        ("a", "L5"),
        ("a", "L4"),
        ("a", "L3"),
        ("b", "L5"),
        ("b", "L4"),
    ]
    assert rows[1]["hd95"] == "", "what is not defined is an empty cell"
    plain = json.loads((tmp_path / "summary.json").read_text(), parse_constant=pytest.fail)
    assert plain["classes"]["L3"]["invented"] == 1


@pytest.mark.parametrize("name", ["cases.csv", "classes.csv", "confusion.csv", "summary.json"])
def test_a_damaged_evaluation_is_refused(summary: Summary, tmp_path: Path, name: str) -> None:
    write_tables(summary, tmp_path)
    (tmp_path / name).write_text("case,label,reference\nx,y,z\n")
    with pytest.raises(DataError, match="make it again with: spine-ignite evaluate"):
        read_tables(tmp_path)


def test_tables_of_two_evaluations_are_never_taken_for_one(
    summary: Summary, tmp_path: Path, die_at_rename: Callable[..., None]
) -> None:
    """A process is killed before each of its renames; what can be read is the one evaluation or the other."""
    other = replace(summary, cases=summary.cases[:1])
    for rename in range(5):
        folder = tmp_path / str(rename)
        write_tables(other, folder)
        die_at_rename(rename, False, partial(write_tables, summary, folder))
        if 0 < rename < 4:
            with pytest.raises(DataError, match="an evaluation was interrupted, or a table was changed; make it again"):
                read_tables(folder)
        else:
            assert len(read_tables(folder).cases) == (2 if rename else 1)


def test_what_failed_and_what_was_cleaned_up_is_kept(summary: Summary, tmp_path: Path) -> None:
    write_tables(replace(summary, clean_ups={"a": "2 voxels"}, failed={"c": "c.nii.gz is truncated"}), tmp_path)
    again = read_tables(tmp_path)
    assert (again.clean_ups, again.failed) == ({"a": "2 voxels"}, {"c": "c.nii.gz is truncated"})


def test_no_evaluation_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no evaluation in .* make it with: spine-ignite evaluate$"):
        read_tables(tmp_path)


@pytest.mark.parametrize(("split", "asked"), [("test", ""), ("validation", " --split validation")])
def test_the_command_that_makes_a_run_s_evaluation_is_given_whole(split: str, asked: str) -> None:
    with pytest.raises(DataError, match=f"make it with: spine-ignite evaluate 'my runs/unet'{asked}$"):
        read_tables(Path("my runs/unet/evaluation") / split)


def test_levels_in_a_sentence(summary: Summary) -> None:
    shifted = Summary((*summary.cases, case("c", (1, 2, 3), (2, 3, 4))), SCHEME.names)
    assert shifted.means["shifted"] == pytest.approx(1 / 3)
    assert level_sentence(shifted) == (
        "Levels: 50.0% of the vertebrae have their own, the mean over cases; the whole column is shifted in c (+1)"
    )
    assert "no column is shifted" in str(level_sentence(summary))
    empty = Summary((case("d", (0, 0), (0, 0)),), SCHEME.names)
    assert level_sentence(empty) is None
    assert math.isnan(empty.means["shifted"])


def test_a_notebook_shows_the_table_with_names_escaped() -> None:
    confusion = np.array([[10, 0], [1, 9]])
    measures = dict.fromkeys(ClassResult.__slots__, 0.5) | {"case": "a", "label": "<b>L5</b>"}
    result = CaseResult("a", 0.95, (ClassResult(**measures),), math.nan, 0, "", confusion)  # type: ignore[arg-type]
    shown = Summary((result,), ("background", "<b>L5</b>"))._repr_html_()
    assert "<td>&lt;b&gt;L5&lt;/b&gt;</td><td>1</td>" in shown
    assert "<b>" not in shown


def test_a_console_shows_the_table_of_the_classes(summary: Summary) -> None:
    columns, rows = readable_rows(summary)
    shown = [line.split() for line in repr(summary).splitlines()]
    assert shown == [" ".join(cells).split() for cells in (columns, *rows)]
