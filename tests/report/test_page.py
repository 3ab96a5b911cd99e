"""What the page says, against the files that it was made from."""

from __future__ import annotations

import csv
import json
import math
import re
import shutil
import statistics
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from spine_ignite.errors import DataError, RunError
from spine_ignite.report import write_report

ReadPage = Callable[[Path], Any]


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


CLASS_COLUMNS = {
    "Cases": ("cases", 0, 1), "Missed": ("missed", 0, 1), "Invented": ("invented", 0, 1), "Dice": ("dice", 3, 1),
    "IoU": ("iou", 3, 1), "Precision": ("precision", 3, 1), "Recall": ("recall", 3, 1),
    "HD95 (mm, area)": ("hd95", 2, 1),
    "ASSD (mm, area)": ("assd", 2, 1), "NSD (area)": ("nsd", 3, 1), "Volume error (%)": ("volume_error", 1, 100),
}  # fmt: skip


def test_the_table_of_classes_is_the_one_of_the_evaluation(page: Any, judged_run: Path) -> None:
    headings, shown = page.table("classes")
    assert headings == ["Class", *CLASS_COLUMNS]
    written = read_csv(judged_run / "evaluation" / "test" / "classes.csv")
    assert [row["label"] for row in written] == list(shown)[:-1] == ["S", "L5", "L4", "L3", "L4/L5", "L3/L4"]
    for row in written:
        for heading, (key, digits, scale) in CLASS_COLUMNS.items():
            text, sort = shown[row["label"]][heading]
            value = float(row[key]) if row[key] else math.nan
            assert text == ("-" if math.isnan(value) else f"{value * scale:.{digits}f}"), (row["label"], heading)
            assert sort == "" if math.isnan(value) else float(sort) == value
    mean = statistics.mean(float(row["dice"]) for row in written)
    assert shown["Mean of classes"]["Dice"][0] == f"{mean:.3f}"
    assert f"{mean:.3f}" in [text for _, text in page.of("strong")]


def test_the_tables_of_cases_are_those_of_the_evaluation(page: Any, judged_run: Path) -> None:
    folder = judged_run / "evaluation" / "test"
    _, shown = page.table("cases")
    _, matrix = page.table("matrix")
    plain = json.loads((folder / "summary.json").read_text())["per_case"]
    written = read_csv(folder / "cases.csv")
    assert list(shown) == list(matrix) == list(plain)
    for number, (case, kept) in enumerate(plain.items()):
        rows = [row for row in written if row["case"] == case]
        for heading, key, digits in (("Dice", "dice", 3), ("HD95 (mm, area)", "hd95", 2), ("NSD (area)", "nsd", 3)):
            mean = statistics.mean(float(row[key]) for row in rows if row[key])
            assert shown[case][heading][0] == f"{mean:.{digits}f}"
            assert float(shown[case][heading][1]) == pytest.approx(mean)
        assert shown[case]["PA"][0] == f"{kept['accuracy']:.4f}"
        assert shown[case]["Levels"][0] == f"{kept['level_rate']:.0%}"
        assert int(shown[case]["Shift"][0]) == kept["shift"]
        assert shown[case]["Post-processing"][0] == f"{number} voxels changed level"
        for row in rows:
            assert matrix[case][row["label"]][0] == f"{float(row['dice']):.2f}"
    assert shown["Case8"]["Shift"][0] == "+1"


def test_the_confusion_is_in_percent_of_the_reference_from_head_to_foot(page: Any, judged_run: Path) -> None:
    counts: dict[tuple[str, str], int] = {}
    for row in read_csv(judged_run / "evaluation" / "test" / "confusion.csv"):
        key = row["reference"], row["prediction"]
        counts[key] = counts.get(key, 0) + int(row["voxels"])
    members = {"confusion-levels": ["L3", "L4", "L5", "S"], "confusion-discs": ["L3/L4", "L4/L5"]}
    for name, structures in members.items():
        headings, shown = page.table(name)
        assert headings == ["Reference", *structures, "other structure", "background"]
        assert list(shown) == structures
        for structure, cells in shown.items():
            total = sum(count for (reference, _), count in counts.items() if reference == structure)
            elsewhere = [p for r, p in counts if r == structure and p not in (*structures, "background")]
            for heading in headings[1:]:
                predicted = elsewhere if heading == "other structure" else [heading]
                share = sum(counts.get((structure, p), 0) for p in predicted) / total
                assert float(cells[heading][1]) == pytest.approx(share)
                assert cells[heading][0] in (f"{share:.1%}", "" if share == 0 else "<0.1%")
    levels = ["L5", "L4", "L3"]
    among = sum(counts.get((r, p), 0) for r in levels for p in levels)
    beside = sum(counts.get(pair, 0) for a, b in pairwise(levels) for pair in ((a, b), (b, a)))
    sentence = f"{100 * beside / among:.1f} % have the name of a neighbour"
    assert any(sentence in text for _, text in page.of("p"))
    assert any("the whole column is shifted in Case8 (+1)" in text for _, text in page.of("p"))


def test_a_run_that_was_not_judged_gives_its_training(judged_run: Path, tmp_path: Path, read_page: ReadPage) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for name in ("config.yaml", "metrics.jsonl", "environment.json"):
        shutil.copy(judged_run / name, run)
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 8, "train/lo')  # as a crash leaves it
    lines = ("", "nonsense", '{"epoch": 3, "code": "all-background", "sentence": "Nothing is found."}')
    (run / "doctor.jsonl").write_text("\n".join(lines))
    page = read_page(write_report(run).path)
    assert {"classes", "cases"}.isdisjoint(page.tables)
    notes = [" ".join(text.split()) for attributes, text in page.of("p") if "note" in attributes.get("class", "")]
    assert notes[0].startswith("The test split of this run is not judged, so this page is about its training only.")
    assert notes[1] == "Nothing is found."
    assert f"spine-ignite evaluate {run}" in [text for _, text in page.of("code")]
    (drawing,) = (a["aria-label"] for a, _ in page.of("svg") if a.get("aria-label", "").startswith("Loss"))
    assert drawing == "Loss by epoch: training from 2 in epoch 1 to 0.2857 in epoch 7"
    settings = {row[0][0]: row[1][0] for row in page.tables["configuration-table"]}
    assert settings["train.epochs"] == "null"
    assert settings["data.root"] == f"{judged_run.parent / 'data'} default dataset"
    assert {row[0][0]: row[1][0] for row in page.tables["environment-table"]}["versions.torch"] == "2.13.0"
    assert len(page.scripts()) == 1, "no viewer, so no NiiVue"


def test_what_there_is_no_page_for(judged_run: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is not a run directory: it has no config.yaml"):
        write_report(tmp_path)
    shutil.copy(judged_run / "config.yaml", tmp_path)
    with pytest.raises(
        RunError, match="has nothing to report: no epoch is finished and its test split is not judged; "
    ):
        write_report(tmp_path)
    (tmp_path / "evaluation" / "test").mkdir(parents=True)
    (tmp_path / "evaluation" / "test" / "summary.json").write_text("{}")
    with pytest.raises(DataError, match="cannot be read .* make it again with: spine-ignite evaluate"):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_cases_that_are_gone_or_changed_are_named_and_the_rest_is_shown(
    judged_run: Path, tmp_path: Path, read_page: ReadPage
) -> None:
    run = tmp_path / "run"
    shutil.copytree(judged_run, run)
    (run / "predictions" / "test" / "Case5.nii.gz").unlink()
    shutil.copy(run / "predictions" / "test" / "Case6.nii.gz", run / "predictions" / "test" / "Case7.nii.gz")
    report = write_report(run, cases=1)
    gone, changed = sorted(report.problems)
    assert gone.startswith("Case Case5 cannot be shown: ")
    assert changed == (
        "Case Case7 cannot be shown: its mask or prediction has changed since it was judged; evaluate the run again."
    )
    assert report.viewed == ("Case8",)
    captions = {text for _, text in read_page(report.path).of("strong")}
    assert {"Case6", "Case8"} <= captions
    assert captions.isdisjoint({"Case5", "Case7"})
    lost = write_report(run, tmp_path / "lost.html", data=tmp_path / "nowhere")
    (sentence,) = lost.problems
    assert re.match(r"No case can be shown: dataset folder .*nowhere does not exist; .* --data\.$", sentence)
    assert "Dice" in read_page(lost.path).table("classes")[1]["S"]


def test_settings_are_told_and_no_clean_up_is_none(judged_run: Path, tmp_path: Path, read_page: ReadPage) -> None:
    run = tmp_path / "run"
    shutil.copytree(judged_run, run)
    summary = run / "evaluation" / "test" / "summary.json"
    plain = json.loads(summary.read_text())
    plain["settings"] |= {"postprocess": [], "tta": True, "members": [{}, {}]}
    for case in plain["per_case"].values():
        case["postprocessing"] = None
    summary.write_text(json.dumps(plain))
    page = read_page(write_report(run, cases=0).path)
    assert "Post-processing" not in page.table("cases")[0]
    assert "post-processing: none; test-time augmentation; an ensemble of 2 networks" in page.of("p")[1][1]
